"""The index on a Qdrant server.

Points are those of `indexer.points`, and each write waits until the server shows it. The server has no transactions,
so the order of calls is what makes a crash between two of them heal: chunks first, then heads, then the checkpoint.
Without its head a memory's change is not taken for stale and is done again, over what the crash left; without its
checkpoint the batch comes again, and its heads say that it is done.

Several instances may exist; the owner of a shard writes, fenced by its lease's epoch. The epoch that owns a shard is
in its checkpoint's point, and each point tells the epoch that wrote it last. An owner looks at the former before it
writes, and its writes touch no point of a newer epoch. What remains: Qdrant inserts a point that is not there whatever
the condition. So chunks come back that were sent before the owner was replaced and arrive after the new one removed
them (a request that was under way for that long). They stay until the memory's next change of text; the gateway,
which looks every hit up, drops them. No head and no checkpoint comes back that way, as none is ever removed.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import numpy as np
import structlog
from contracts.errors import ConcurrencyConflict, MemlogError, Unavailable
from contracts.positions import Checkpoint
from qdrant_client import AsyncQdrantClient, models

from indexer.folding import Plan, fold, fold_anew
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
from indexer.qdrant_server_collection import require_collection
from indexer.qdrant_server_connection import qdrant_errors
from indexer.qdrant_server_query import (
    ServerWords,
    Words,
    any_of,
    chunk_filter,
    fused,
    in_version,
    matching,
    prefetches,
    since_version,
    up_to_epoch,
    with_id,
)
from indexer.scoring import BM25, DENSE

log = structlog.get_logger()
_POINTS_A_REQUEST = 256
"""Some 3 MB of JSON: far below the server's limit of 32, and soon enough done for the time-out."""
# With replicas, writes of different requests keep their order only through a leader.
_ORDERING = models.WriteOrdering.MEDIUM


class ServerIndex(MemoryIndex):
    """`MemoryIndex` on a Qdrant server, which may come and go: a call that it does not answer raises `Unavailable`."""

    kind = "qdrant-server"
    settles_s = 5.0

    def __init__(
        self, client: AsyncQdrantClient, collection: str, embedder_id: str, dimension: int, words: Words | None = None
    ) -> None:
        self.failure: str | None = None
        self._client = client
        self._made_for = (collection, embedder_id, dimension)
        self._words = words or ServerWords()
        self._collection: str | None = None
        self._opening = asyncio.Lock()
        self._epochs: dict[int, int] = {}
        self._seen: dict[int, Checkpoint | None] = {}

    @classmethod
    async def open(
        cls, client: AsyncQdrantClient, collection: str, embedder_id: str, dimension: int, words: Words | None = None
    ) -> "ServerIndex":
        """The index in a collection, which was made before; the client stays the caller's. A server that does not
        answer yet, or has not got it, is no error: the first call that it answers does the rest.

        Raises `ConfigurationError` as `require_collection` does, and when the server refuses the key.
        """
        index = cls(client, collection, embedder_id, dimension, words)
        try:
            with qdrant_errors("answer"):
                await index._opened()
        except Unavailable as error:
            index._fail(error)
        return index

    async def claim(self, shard: int, epoch: int) -> None:
        """See `MemoryIndex.claim`."""
        point = checkpoint_id(shard)
        async with self._serving("take a claim") as collection:
            await self._client.upsert(
                collection,
                [models.PointStruct(id=str(point), vector={}, payload={"epoch": epoch})],
                wait=True,
                ordering=_ORDERING,
                update_mode=models.UpdateMode.INSERT_ONLY,
            )
            await self._client.set_payload(
                collection,
                {"epoch": epoch},
                points=matching(with_id(point), up_to_epoch(epoch)),
                wait=True,
                ordering=_ORDERING,
            )
            _require_owner(shard, epoch, await self._payloads(collection, [point]))
        self._epochs[shard] = epoch

    async def apply(self, changes: Sequence[Change], checkpoint: Checkpoint) -> None:
        """See `MemoryIndex.apply`. Also raises `Unavailable` when the stored checkpoint is not the one that this owner
        left (the collection was lost and made anew): going on would leave a gap, going back to it does not."""
        shard = checkpoint.position.shard
        epoch = self._epochs.get(shard, 0)
        heads = {head_id(change.memory_id) for change in changes}
        async with self._serving("write") as collection:
            stored = await self._payloads(collection, [checkpoint_id(shard), *heads])
            self._require_place(shard, epoch, stored)
            plan = fold(changes, heads_of(payload for payload in stored if "head" in payload))
            await self._write(collection, epoch, plan)
            # In a request of its own: of one request, points of different shards of the server may arrive alone.
            await self._upsert(collection, epoch, [_bare(checkpoint_id(shard), checkpoint_payload(checkpoint))])
            _require_owner(shard, epoch, await self._payloads(collection, [checkpoint_id(shard)]))
        self._seen[shard] = checkpoint

    async def refold(self, shard: int, changes: Sequence[Change]) -> None:
        """See `MemoryIndex.refold`."""
        epoch = self._epochs.get(shard, 0)
        async with self._serving("write") as collection:
            _require_owner(shard, epoch, await self._payloads(collection, [checkpoint_id(shard)]))
            await self._write(collection, epoch, fold_anew(changes))
            _require_owner(shard, epoch, await self._payloads(collection, [checkpoint_id(shard)]))

    async def checkpoint(self, shard: int) -> Checkpoint | None:
        """See `MemoryIndex.checkpoint`."""
        async with self._serving("say how far it is") as collection:
            stored = await self._payloads(collection, [checkpoint_id(shard)])
        self._seen[shard] = _checkpoint_among(shard, stored)
        return self._seen[shard]

    async def search(self, vector: Vector, text: str, where: SearchFilter, limit: int) -> list[Hit]:
        """See `MemoryIndex.search`. BM25's document frequencies are those of what `where` lets be seen."""
        allowed = chunk_filter(where)
        if allowed is None or limit < 1:
            return []
        dense, words = vector.tolist(), self._words.of_query(text)
        points = 2 * limit
        async with self._serving("search") as collection:
            while True:
                answer = await self._client.query_points(
                    collection,
                    prefetch=prefetches(dense, words, allowed, points),
                    query=fused(),
                    limit=points,
                    with_payload=["memory_id", "version"],
                )
                hits = best_of_each_memory((point.payload or {}, point.score) for point in answer.points)
                # Chunks of few memories can fill the list: look deeper until there are enough, or no more.
                if len(hits) >= limit or len(answer.points) < points:
                    return hits[:limit]
                points *= 4

    async def count(self, where: SearchFilter) -> int:
        """See `MemoryIndex.count`."""
        allowed = chunk_filter(where, first_chunks=True)
        if allowed is None:
            return 0
        async with self._serving("count") as collection:
            return (await self._client.count(collection, count_filter=allowed, exact=True)).count

    async def epoch(self, shard: int) -> int:
        """See `MemoryIndex.epoch`."""
        async with self._serving("say who owns a shard") as collection:
            stored = await self._payloads(collection, [checkpoint_id(shard)])
        return max((payload["epoch"] for payload in stored), default=0)

    async def scroll(self, after: UUID | None, limit: int, *, vectors: bool) -> list[StoredPoint]:
        """See `MemoryIndex.scroll`."""
        async with self._serving("show its points") as collection:
            # It begins with the point `after` itself, if that is still there.
            found, _ = await self._client.scroll(
                collection,
                offset=None if after is None else str(after),
                limit=limit + 1,
                with_payload=True,
                with_vectors=[DENSE] if vectors else False,
            )
        return [point for point in map(_stored, found) if point.id != after][:limit]

    async def read(self, ids: Sequence[UUID], *, vectors: bool) -> list[StoredPoint]:
        """See `MemoryIndex.read`."""
        async with self._serving("show its points") as collection:
            found = await self._client.retrieve(
                collection, [str(id) for id in ids], with_payload=True, with_vectors=[DENSE] if vectors else False
            )
        return [_stored(record) for record in found]

    async def probe(self) -> None:
        """See `MemoryIndex.probe`."""
        async with self._serving("answer") as collection:
            await self._client.get_collection(collection)

    async def close(self) -> None:
        """Nothing of its own to let go of."""

    @asynccontextmanager
    async def _serving(self, doing: str) -> AsyncGenerator[str]:
        """The collection, with failures in Memlog's terms. After one, the next call looks whether it is still
        there: the server may have come back without it."""
        try:
            with qdrant_errors(doing):
                yield await self._opened()
        except ConcurrencyConflict:
            raise
        except MemlogError as error:
            self._collection = None
            self._fail(error)
            # Also for what a person must mend: an event that meets another error is taken for bad, and put aside.
            raise Unavailable(error.message) from error
        if self.failure is not None:
            log.info("index_answers_again", index=self.kind)
            self.failure = None

    def _fail(self, error: MemlogError) -> None:
        if self.failure is None:
            log.warning("index_failed", index=self.kind, error=error.message)
        self.failure = error.message

    async def _opened(self) -> str:
        if self._collection is None:
            async with self._opening:
                if self._collection is None:
                    await require_collection(self._client, *self._made_for)
                    self._collection = self._made_for[0]
        return self._collection

    async def _payloads(self, collection: str, ids: Iterable[UUID]) -> list[Payload]:
        records = await self._client.retrieve(collection, [str(id) for id in ids], with_payload=True)
        return [record.payload or {} for record in records]

    def _require_place(self, shard: int, epoch: int, stored: Sequence[Payload]) -> None:
        _require_owner(shard, epoch, stored)
        found = _checkpoint_among(shard, stored)
        if shard in self._seen and found != self._seen[shard]:
            raise Unavailable(
                f"the index stands at {found and found.position} of shard {shard}, and this owner had left "
                f"{self._seen[shard]}: resume from the checkpoint"
            )

    def _chunks(self, put: PutVersion, payload: Payload) -> list[models.PointStruct]:
        payload = payload | {"uid": put.uid}
        return [
            models.PointStruct(
                id=str(chunk_id(put, ordinal)),
                vector={DENSE: vector.tolist(), BM25: self._words.of_chunk(text)},
                payload=payload | own_payload(put, ordinal),
            )
            for ordinal, (text, vector) in enumerate(zip(put.chunks, put.vectors, strict=True))
        ]

    async def _write(self, collection: str, epoch: int, plan: Plan) -> None:
        """Write what the plan says, its heads last."""
        chunks = [point for text, payload in texts_of(plan) for point in self._chunks(text, payload)]
        await self._upsert(collection, epoch, chunks)
        await self._drop_leftovers(collection, epoch, plan, [point.id for point in chunks])
        for each in rewrites(plan):
            where = matching(any_of("memory_id", each.memory_ids), in_version(each.version), up_to_epoch(epoch))
            await self._client.set_payload(
                collection, each.payload | {"epoch": epoch}, points=where, wait=True, ordering=_ORDERING
            )
        heads = [_bare(head_id(memory_id), head_payload(memory_id, head)) for memory_id, head in plan.heads.items()]
        await self._upsert(collection, epoch, heads)

    async def _upsert(self, collection: str, epoch: int, points: Sequence[models.PointStruct]) -> None:
        for start in range(0, len(points), _POINTS_A_REQUEST):
            part = points[start : start + _POINTS_A_REQUEST]
            await self._client.upsert(
                collection,
                [point.model_copy(update={"payload": (point.payload or {}) | {"epoch": epoch}}) for point in part],
                wait=True,
                ordering=_ORDERING,
                update_filter=matching(up_to_epoch(epoch)),
            )

    async def _drop_leftovers(
        self, collection: str, epoch: int, plan: Plan, keep: Sequence[models.ExtendedPointId]
    ) -> None:
        kept = [models.HasIdCondition(has_id=list(keep))] if keep else []
        for memory_ids, since in leftovers(plan):
            of_versions = [since_version(since)] if since else []
            where = matching(any_of("memory_id", memory_ids), *of_versions, up_to_epoch(epoch), but=kept)
            await self._client.delete(collection, models.FilterSelector(filter=where), wait=True, ordering=_ORDERING)


def _stored(record: models.Record) -> StoredPoint:
    """Without the epoch: who wrote it says nothing of what it is."""
    payload = {key: value for key, value in (record.payload or {}).items() if key != "epoch"}
    dense = record.vector.get(DENSE) if isinstance(record.vector, dict) else None
    return StoredPoint(UUID(str(record.id)), payload, None if dense is None else np.array(dense, np.float32))


def _bare(id: UUID, payload: Payload) -> models.PointStruct:
    return models.PointStruct(id=str(id), vector={}, payload=payload)


def _checkpoint_among(shard: int, stored: Iterable[Mapping[str, Any]]) -> Checkpoint | None:
    for payload in stored:
        if "sha256" in payload:
            return checkpoint_of(shard, dict(payload))
    return None


def _require_owner(shard: int, epoch: int, stored: Iterable[Mapping[str, Any]]) -> None:
    for payload in stored:
        if "head" not in payload and payload["epoch"] > epoch:
            raise ConcurrencyConflict(f"shard {shard} of the index was taken over by epoch {payload['epoch']}")
