"""The index in Qdrant Edge: Qdrant's engine in this process, on a folder of its own.

Every call of the engine holds the interpreter lock, so calls are few and small, and `optimize` (which takes
seconds) is never called: search is exact.

Points are those of `indexer.points`; heads and checkpoint are written together.

The write-ahead log makes each engine call atomic under kill -9, and heads and checkpoint go last: a crash
between two calls leaves the old heads, so the batch is not taken for stale and is done again, over what it
left.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import qdrant_edge as engine
from contracts.errors import ConfigurationError
from contracts.positions import Checkpoint

from indexer.edge_query import any_of, bm25_model, chunk_filter, hybrid_query, in_version, since_version
from indexer.folding import Head, Plan, fold, fold_anew
from indexer.index import Change, Hit, MemoryIndex, PutVersion, SearchFilter, StoredPoint, Vector
from indexer.points import (
    Payload,
    best_of_each_memory,
    checkpoint_id,
    checkpoint_of,
    checkpoint_payload,
    chunk_id,
    head_id,
    head_payload,
    heads_of,
    leftovers,
    own_payload,
    rewrites,
    texts_of,
)
from indexer.scoring import BM25, DENSE

# Written last when a folder is made: a folder without it is one whose making was interrupted.
_META = "index.json"
_LOCK = "lock"
_SHARD = "shard"
_FORMAT = 1
# A flush stops the interpreter for some 50 ms; without any, opening after a crash would replay everything.
_FLUSH_AFTER_POINTS = 5000


class EdgeIndex(MemoryIndex):
    """`MemoryIndex` on one Qdrant Edge folder. No method ever waits: the engine's calls are short, and a thread would
    gain nothing, as they hold the interpreter lock. One process holds the folder, so no claim has to be stored."""

    kind = "qdrant-edge"
    settles_s = 0.0
    failure = None

    def __init__(self, shard: engine.EdgeShard, lock: int) -> None:
        self._shard = shard
        self._lock = lock
        self._bm25 = bm25_model()
        self._unflushed = 0
        self._epochs: dict[int, int] = {}

    @classmethod
    def open(cls, folder: Path, embedder_id: str, dimension: int) -> "EdgeIndex":
        """Open the index in `folder`, or make it.

        Raises `ConfigurationError` if it was made for another embedder, dimension or format (vectors of two
        embedders never mix: rebuild the index), or if it is open already, here or in another process.
        """
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_folder(folder)
        try:
            return cls(_open_shard(folder, embedder_id, dimension), lock)
        except BaseException:
            os.close(lock)
            raise

    async def claim(self, shard: int, epoch: int) -> None:
        """See `MemoryIndex.claim`."""
        self._epochs[shard] = max(epoch, self._epochs.get(shard, 0))

    async def epoch(self, shard: int) -> int:
        """See `MemoryIndex.epoch`."""
        return self._epochs.get(shard, 0)

    async def apply(self, changes: Sequence[Change], checkpoint: Checkpoint) -> None:
        """See `MemoryIndex.apply`."""
        plan = fold(changes, self._heads({change.memory_id for change in changes}))
        self._write(plan, [engine.Point(checkpoint_id(checkpoint.position.shard), {}, checkpoint_payload(checkpoint))])

    async def refold(self, shard: int, changes: Sequence[Change]) -> None:
        """See `MemoryIndex.refold`."""
        self._write(fold_anew(changes), [])

    def _write(self, plan: Plan, last: list[engine.Point]) -> None:
        """Write what the plan says; its heads go with `last`, in one call."""
        chunks = [point for text, payload in texts_of(plan) for point in self._chunks(text, payload)]
        if chunks:
            self._shard.update(engine.UpdateOperation.upsert_points(chunks))
        self._drop_leftovers(plan, {point.id for point in chunks})
        for each in rewrites(plan):
            where = engine.Filter(must=[any_of("memory_id", each.memory_ids), in_version(each.version)])
            self._shard.update(engine.UpdateOperation.set_payload_by_filter(where, each.payload))
        heads = [
            engine.Point(head_id(memory_id), {}, head_payload(memory_id, head))
            for memory_id, head in plan.heads.items()
        ]
        self._shard.update(engine.UpdateOperation.upsert_points([*heads, *last]))

        self._unflushed += len(chunks) + len(heads) + len(last)
        if self._unflushed >= _FLUSH_AFTER_POINTS:
            self._shard.flush()
            self._unflushed = 0

    async def checkpoint(self, shard: int) -> Checkpoint | None:
        """See `MemoryIndex.checkpoint`."""
        stored = self._payloads([checkpoint_id(shard)])
        return checkpoint_of(shard, stored[0]) if stored else None

    async def search(self, vector: Vector, text: str, where: SearchFilter, limit: int) -> list[Hit]:
        """See `MemoryIndex.search`. BM25's document frequencies are those of what `where` lets be seen."""
        allowed = chunk_filter(where)
        if allowed is None or limit < 1:
            return []
        dense, words = vector.tolist(), self._bm25.embed_query(text)
        points = 2 * limit
        while True:
            found = self._shard.query(hybrid_query(dense, words, allowed, points))
            hits = best_of_each_memory((point.payload or {}, point.score) for point in found)
            # Chunks of few memories can fill the list: look deeper until there are enough, or no more.
            if len(hits) >= limit or len(found) < points:
                return hits[:limit]
            points *= 4

    async def count(self, where: SearchFilter) -> int:
        """See `MemoryIndex.count`."""
        allowed = chunk_filter(where, first_chunks=True)
        return 0 if allowed is None else self._shard.count(engine.CountRequest(filter=allowed, exact=True))

    async def scroll(self, after: UUID | None, limit: int, *, vectors: bool) -> list[StoredPoint]:
        """See `MemoryIndex.scroll`."""
        # It begins with the point `after` itself, if that is still there.
        request = engine.ScrollRequest(
            offset=after, limit=limit + 1, with_payload=True, with_vector=[DENSE] if vectors else False
        )
        found, _ = self._shard.scroll(request)
        return [_stored(record) for record in found if record.id != after][:limit]

    async def read(self, ids: Sequence[UUID], *, vectors: bool) -> list[StoredPoint]:
        """See `MemoryIndex.read`."""
        return [_stored(record) for record in self._shard.retrieve(list(ids), True, vectors)]

    async def probe(self) -> None:
        """See `MemoryIndex.probe`: the engine is in this process."""

    async def close(self) -> None:
        """Flush, and let go of the folder."""
        self._shard.flush()
        self._shard.close()
        os.close(self._lock)

    def _payloads(self, ids: list["engine.PointId"]) -> list[dict[str, Any]]:
        return [record.payload or {} for record in self._shard.retrieve(ids, True, False)]

    def _heads(self, memory_ids: Iterable[str]) -> dict[str, Head]:
        return heads_of(self._payloads([head_id(memory_id) for memory_id in memory_ids]))

    def _chunks(self, put: PutVersion, payload: Payload) -> list[engine.Point]:
        return [
            engine.Point(
                chunk_id(put, ordinal),
                {DENSE: vector.tolist(), BM25: self._bm25.embed_document(text)},
                payload | own_payload(put, ordinal),
            )
            for ordinal, (text, vector) in enumerate(zip(put.chunks, put.vectors, strict=True))
        ]

    def _drop_leftovers(self, plan: Plan, keep: set["engine.PointId"]) -> None:
        must_not: list[engine.ConditionType] = [engine.HasIdCondition(keep)] if keep else []
        for memory_ids, since in leftovers(plan):
            must: list[engine.ConditionType] = [
                any_of("memory_id", memory_ids),
                *([since_version(since)] if since else []),
            ]
            where = engine.Filter(must=must, must_not=must_not)
            self._shard.update(engine.UpdateOperation.delete_points_by_filter(where))


def _stored(record: engine.Record) -> StoredPoint:
    assert isinstance(record.id, UUID)
    dense = record.vector.get(DENSE) if isinstance(record.vector, dict) else None
    return StoredPoint(record.id, record.payload or {}, None if dense is None else np.array(dense, np.float32))


def lock_folder(folder: Path) -> int:
    """The descriptor that holds the lock. Raises `ConfigurationError` when the folder is open already, here or in
    another process."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigurationError(f"the index '{folder.name}' is open in another process") from None
    return descriptor


def _open_shard(folder: Path, embedder_id: str, dimension: int) -> engine.EdgeShard:
    data, meta_file = folder / _SHARD, folder / _META
    meta = {"format": _FORMAT, "embedder": embedder_id, "dimension": dimension}
    if meta_file.exists():
        found = json.loads(meta_file.read_text())
        if found != meta:
            raise ConfigurationError(
                f"the index '{folder.name}' was made for {found}, not for {meta}: rebuild the index"
            )
        return engine.EdgeShard.load(str(data))
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    shard = engine.EdgeShard.create(str(data), _config(dimension))
    for name in ("memory_id", "scope", "app_id", "categories"):
        kind = engine.PayloadSchemaType.Keyword
        shard.update(engine.UpdateOperation.create_field_index(name, kind))
    for name in ("created_at", "ordinal", "version"):
        kind = engine.PayloadSchemaType.Integer
        shard.update(engine.UpdateOperation.create_field_index(name, kind))
    shard.flush()
    scratch = folder / (_META + ".new")
    scratch.write_text(json.dumps(meta))
    scratch.replace(meta_file)
    return shard


def _config(dimension: int) -> engine.EdgeConfig:
    return engine.EdgeConfig(
        vectors={DENSE: engine.EdgeVectorParams(dimension, engine.Distance.Cosine)},
        sparse_vectors={BM25: engine.EdgeSparseVectorParams(modifier=engine.Modifier.Idf)},
        # One segment and the interpreter lock held: more threads only cost a hand-over.
        max_search_threads=1,
    )
