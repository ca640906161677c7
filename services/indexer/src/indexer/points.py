"""What the points of an index are, whichever Qdrant holds them.

- A *chunk* for each piece of each text that a memory has or had: vectors, and the payload that filters read. A text
  that was replaced has a scope of its own: searches of now never meet it, those of the past do.
- A *head* for each memory ever seen, without vectors: the sequence of its last applied change, which drops stale
  ones, and what a later change needs to know. It outlives the memory, as its tombstone.
- A *checkpoint* for each shard of the log.
"""

import json
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from contracts.positions import Checkpoint, Position

from indexer.folding import Head, Plan
from indexer.index import Hit, PutVersion, SearchFilter, bare

_IDS = uuid.UUID("6f2c8f0e-5d0b-4c43-9c53-0b7a5a3f6f1d")

_HEAD_FIELDS = tuple(each.name for each in fields(Head))

_PAST = "past"
"""Stands where a state stands, for a text that was replaced."""
_ALL_SCOPES = ("active", "paused", "archived", "deleted", _PAST)

Payload = dict[str, Any]


def scope(uid: str, state: str) -> str:
    """The payload value for user and state together: one look-up instead of two conditions a point."""
    return f"{uid}|{state}"


def scopes(where: SearchFilter) -> tuple[str, ...]:
    """Of the chunks among which a search looks."""
    return tuple(scope(where.uid, state) for state in (where.states if where.past is None else _ALL_SCOPES))


def chunk_id(put: PutVersion, ordinal: int) -> uuid.UUID:
    return _id("chunk", put.memory_id, put.version, ordinal)


@lru_cache(maxsize=16_384)  # wanted twice by each batch: to read the head, and to write it
def head_id(memory_id: str) -> uuid.UUID:
    return _id("head", memory_id)


def checkpoint_id(shard: int) -> uuid.UUID:
    return _id("checkpoint", shard)


def _id(*parts: str | int) -> uuid.UUID:
    return uuid.uuid5(_IDS, json.dumps(parts))


def texts_of(plan: Plan) -> Iterator[tuple[PutVersion, Payload]]:
    """Each text that the plan brings, with what all its chunks share; see `own_payload` for the rest."""
    for put in plan.puts.values():
        for text in put.texts:
            payload = _chunk_payload(text)
            yield text, payload if text is put.current else payload | _past_payload(text.uid)


def _chunk_payload(put: PutVersion) -> Payload:
    return {
        "memory_id": put.memory_id,
        "version": put.version,
        "sequence": put.sequence,
        "created_at": put.created_at,
        "app_id": put.app_id,
        "scope": scope(put.uid, put.state),
        "categories": list(put.categories),
    }


def _past_payload(uid: str) -> Payload:
    """What sets the chunks of a replaced text apart. Its categories were those of its memory, and change no more."""
    return {"scope": scope(uid, _PAST), "categories": []}


def own_payload(put: PutVersion, ordinal: int) -> Payload:
    """What a chunk has for itself: its place in the text, and its text's keyed hash."""
    return {"ordinal": ordinal, "text_hash": put.hashes[ordinal]}


def head_payload(memory_id: str, head: Head) -> Payload:
    # Not under the names of a chunk's payload: no filter of chunks may ever meet a head. As one text, and not by
    # `asdict`: each of its values by itself, and that function, take Edge longer than all else does for a memory.
    return {"head_of": memory_id, "head": json.dumps([getattr(head, name) for name in _HEAD_FIELDS])}


def head_in(payload: Mapping[str, Any]) -> Head | None:
    """The head that a point is; None when it is none."""
    stored = payload.get("head")
    if stored is None:
        return None
    # As earlier versions wrote it: an object.
    return Head(*json.loads(stored)) if isinstance(stored, str) else Head(**stored)


def heads_of(payloads: Iterable[Payload]) -> dict[str, Head]:
    """Stored heads by memory id."""
    return {payload["head_of"]: head for payload in payloads if (head := head_in(payload)) is not None}


def checkpoint_payload(checkpoint: Checkpoint) -> Payload:
    return {
        "sequence": checkpoint.position.sequence,
        "event_id": checkpoint.event_id,
        "sha256": checkpoint.sha256,
    }


def checkpoint_of(shard: int, stored: Payload) -> Checkpoint:
    return Checkpoint(Position(shard, stored["sequence"]), stored["event_id"], stored["sha256"])


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The chunks of one version of these memories get this payload, besides what they have."""

    memory_ids: list[str]
    version: int
    payload: Payload


def rewrites(plan: Plan) -> list[Rewrite]:
    """What changes of chunks that stay; those that get the same payload are written in one call."""
    groups: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for memory_id, put in plan.puts.items():
        if 0 < put.before < put.since:
            groups[json.dumps(_past_payload(put.current.uid)), put.before].append(memory_id)
    for memory_id, update in plan.updates.items():
        head = plan.heads[memory_id]
        payload: Payload = {}
        if update.state is not None:
            payload["scope"] = scope(head.uid, update.state)
        if update.categories is not None:
            payload["categories"] = list(update.categories)
        groups[json.dumps(payload), head.version].append(memory_id)
    return [Rewrite(ids, version, json.loads(payload)) for (payload, version), ids in groups.items()]


def leftovers(plan: Plan) -> list[tuple[list[str], int]]:
    """Memories, and the version from which on their stored chunks go, but for those that the plan brings: of texts that
    are put anew or removed, and what a crash left of versions that no head tells of."""
    groups: defaultdict[int, list[str]] = defaultdict(list)
    for memory_id, put in plan.puts.items():
        groups[put.since if put.since > 1 else 0].append(memory_id)
    if plan.removed:
        groups[0] += plan.removed
    return [(memory_ids, since) for since, memory_ids in groups.items()]


def best_of_each_memory(chunks: Iterable[tuple[Mapping[str, Any], float]]) -> list[Hit]:
    """Payload and score of chunks, best first: so a memory's first one is its best."""
    hits: dict[str, Hit] = {}
    for payload, score in chunks:
        memory_id = payload["memory_id"]
        if memory_id not in hits:
            hits[memory_id] = Hit(bare(memory_id), payload["version"], score)
    return list(hits.values())
