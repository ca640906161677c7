"""Whether two generations of the index hold the same, and what one holds in a hash: in small steps, since in Qdrant
Edge each step stops the interpreter, while writes go on."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

import numpy as np
from contracts.errors import Conflict, Unavailable

from indexer.index import MemoryIndex, StoredPoint, bare
from indexer.points import head_in

_STEP = 128
_PAUSE_S = 0.002
_MIN_COSINE = 0.9999
"""A text embedded alone and in a batch differs in the last bits."""
_SETTLE = 200
"""Points looked at again in one go."""
_LEVEL_S, _LOOK_S = 5.0, 0.01
_HASHED_AT_REST = 3
_BOUND_TO_THE_LOG = ("sequence", "event_id", "sha256", "text_hash")
"""What the same memories have otherwise in another log: positions, and hashes that are keyed."""

Row = Mapping[str, Any]


async def first_difference(serving: MemoryIndex, other: MemoryIndex, shards: int, *, same_vectors: bool) -> str | None:
    """The first difference, in words without content; None when they are equal. Without `same_vectors`, what the
    embedder makes is left out: vectors, and where texts are cut. Writes go on meanwhile: what differs then is looked at
    again until it is sure. Raises `Conflict` when that cannot be found out."""
    suspects: list[UUID] = []
    async for left, right in _side_by_side(serving, other, same_vectors):
        if _difference(left, right, same_vectors) is not None:
            suspects += {point.id for point in (left, right) if point is not None}
        if len(suspects) >= _SETTLE:
            if (found := await _Suspects(serving, other, suspects, shards, same_vectors).settled()) is not None:
                return found
            suspects.clear()
    return await _Suspects(serving, other, suspects, shards, same_vectors).settled()


async def state_hash(index: MemoryIndex, shards: int) -> str:
    """A hash (hex) over the payloads of all points in the order of their ids, but for what belongs to one recording of
    the log. Raises `Unavailable` when writes go on all the while."""
    for _ in range(_HASHED_AT_REST):
        before = await _positions(index, shards)
        digest = sha256()
        async for point in _all(index, vectors=False):
            if not _says_nothing(point) and ("head_of" in point.payload or "memory_id" in point.payload):
                digest.update(json.dumps([str(point.id), _timeless(point.payload)], sort_keys=True).encode() + b"\n")
        if await _positions(index, shards) == before:
            return digest.hexdigest()
    raise Unavailable("the index changes all the while: its state has no hash; try again when fewer writes come in")


async def _all(index: MemoryIndex, *, vectors: bool) -> AsyncGenerator[StoredPoint]:
    after: UUID | None = None
    while True:
        points = await index.scroll(after, _STEP, vectors=vectors)
        for point in points:
            yield point
        if len(points) < _STEP:
            return
        after = points[-1].id
        await asyncio.sleep(_PAUSE_S)


async def _side_by_side(
    serving: MemoryIndex, other: MemoryIndex, vectors: bool
) -> AsyncGenerator[tuple[StoredPoint | None, StoredPoint | None]]:
    """All points of both, by id: None where one has none."""
    lefts, rights = _all(serving, vectors=vectors), _all(other, vectors=vectors)
    left, right = await anext(lefts, None), await anext(rights, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left.id < right.id):
            yield left, None
            left = await anext(lefts, None)
        elif left is None or right.id < left.id:
            yield None, right
            right = await anext(rights, None)
        else:
            yield left, right
            left, right = await anext(lefts, None), await anext(rights, None)


@dataclass(slots=True)
class _Suspect:
    """How a point was seen to differ, and since when it has been just that."""

    seen: tuple[str, str]
    since: float


class _Suspects:
    """Points that differed when they were looked at, one of the two perhaps being a batch ahead.

    One differs for sure if it does where both stores are at the same position, and no write is under way: in a store
    whose writes take their time, when it has been the same for as long as a write may take. Where writes never rest,
    both having passed what either had at first will do.
    """

    def __init__(
        self, serving: MemoryIndex, other: MemoryIndex, ids: Iterable[UUID], shards: int, same_vectors: bool
    ) -> None:
        self._serving = serving
        self._other = other
        self._left = {id_: _Suspect(("", ""), 0.0) for id_ in sorted(ids)}
        self._shards = shards
        self._same_vectors = same_vectors
        self._settles = max(serving.settles_s, other.settles_s)

    async def settled(self) -> str | None:
        """The first that differs. Raises `Conflict` when one of them changes all the while, or one store stays
        behind the other."""
        now = asyncio.get_running_loop().time
        deadline = now() + self._settles + _LEVEL_S
        first: list[int] | None = None
        while self._left:
            before = await self._positions()
            differences = await self._look(now())
            if not self._left:
                return None
            after = await self._positions()
            first = first or [max(pair) for pair in zip(*before, strict=True)]
            level = before == after and before[0] == before[1]
            passed = self._settles > 0 and all(
                min(pair) >= at for pair, at in zip(zip(*after, strict=True), first, strict=True)
            )
            sure = [id_ for id_, suspect in self._left.items() if now() - suspect.since >= self._settles]
            if sure and (level or passed):
                return differences[sure[0]]
            if now() > deadline:
                raise Conflict(f"they are at different positions, {before[0]} and {before[1]}, and cannot be compared")
            await asyncio.sleep(_LOOK_S)
        return None

    async def _look(self, now: float) -> dict[UUID, str]:
        """How those differ that still do; the others are dropped."""
        ids = list(self._left)
        lefts = {point.id: point for point in await self._serving.read(ids, vectors=self._same_vectors)}
        rights = {point.id: point for point in await self._other.read(ids, vectors=self._same_vectors)}
        found: dict[UUID, str] = {}
        for id_ in ids:
            left, right = lefts.get(id_), rights.get(id_)
            difference = _difference(left, right, self._same_vectors)
            if difference is None:
                del self._left[id_]
                continue
            found[id_] = difference
            seen = (repr(left and left.payload), repr(right and right.payload))
            if seen != self._left[id_].seen:
                self._left[id_] = _Suspect(seen, now)
        return found

    async def _positions(self) -> tuple[list[int], list[int]]:
        return await _positions(self._serving, self._shards), await _positions(self._other, self._shards)


async def _positions(index: MemoryIndex, shards: int) -> list[int]:
    checkpoints = [await index.checkpoint(shard) for shard in range(shards)]
    return [0 if at is None else at.position.sequence for at in checkpoints]


def _difference(left: StoredPoint | None, right: StoredPoint | None, same_vectors: bool) -> str | None:
    """`left` is what serves."""
    left, right = (None if point is None or _says_nothing(point) else point for point in (left, right))
    known = left or right
    if known is None:
        return None
    if not same_vectors and known.payload.get("ordinal", 0) > 0:
        return None
    if left is None or right is None:
        return f"{_name(known)} is {'not in the serving one' if left is None else 'missing'}"
    ours, theirs = _comparable(left.payload, same_vectors), _comparable(right.payload, same_vectors)
    if ours != theirs:
        keys = sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
        return f"{_name(known)} differs in {', '.join(keys)}"
    if same_vectors and not _same(left, right):
        return f"{_name(known)} has another vector"
    return None


def _says_nothing(point: StoredPoint) -> bool:
    """A tombstone keeps stale writes out. A fresh fold of the log may do without: it is the same to all who search."""
    head = head_in(point.payload)
    return head is not None and head.deleted


def _same(left: StoredPoint, right: StoredPoint) -> bool:
    if left.vector is None or right.vector is None:
        return left.vector is right.vector
    if left.vector.shape != right.vector.shape:
        return False
    lengths = float(np.linalg.norm(left.vector) * np.linalg.norm(right.vector))
    return float(left.vector @ right.vector) >= _MIN_COSINE * lengths


def _comparable(payload: Row, same_vectors: bool) -> dict[str, Any]:
    """What two generations of one log have in common."""
    # Of the first piece, and where these end differs.
    return _plain({key: value for key, value in payload.items() if same_vectors or key != "text_hash"})


def _timeless(payload: Row) -> dict[str, Any]:
    kept = _plain({key: value for key, value in payload.items() if key not in _BOUND_TO_THE_LOG})
    if "head" in kept:
        del kept["head"]["sequence"]
    return kept


def _plain(payload: Row) -> dict[str, Any]:
    """With its head, if it is one, as an object."""
    head = head_in(payload)
    return dict(payload) if head is None else {**payload, "head": {**asdict(head), "categories": [*head.categories]}}


def _name(point: StoredPoint) -> str:
    payload = point.payload
    if "head_of" in payload:
        return f"the head of memory {bare(payload['head_of'])}"
    if "memory_id" in payload:
        return f"piece {payload['ordinal']} of memory {bare(payload['memory_id'])}, version {payload['version']},"
    return "the checkpoint"
