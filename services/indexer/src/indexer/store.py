"""The index as a projection's store: embed what is new, then apply changes and checkpoint together."""

import asyncio
from collections.abc import Sequence

import numpy as np
from contracts.codec import Recorded
from contracts.errors import ConcurrencyConflict
from contracts.positions import Checkpoint
from contracts.subjects import Aggregate

from indexer.embedding.micro_batcher import MicroBatcher
from indexer.index import Change, MemoryIndex, PutVersion, Remove, Revise, SetCategories, SetState, Vector
from indexer.projection import AddedText, Draft, needing_vectors, project


class IndexStore:
    """`runtime.store.ProjectionStore` over a `MemoryIndex`, which fences other instances. The fence here is between
    two owners in this process."""

    def __init__(self, index: MemoryIndex, embedder: MicroBatcher) -> None:
        self._index = index
        self._embedder = embedder
        self._epochs: dict[int, int] = {}

    async def checkpoint(self, shard: int) -> Checkpoint | None:
        return await self._index.checkpoint(shard)

    async def claim(self, shard: int, epoch: int) -> None:
        self._fence(shard, epoch)
        self._epochs[shard] = epoch
        await self._index.claim(shard, epoch)

    async def apply(self, batch: Sequence[Recorded], epoch: int) -> None:
        shard = batch[-1].position.shard
        drafts = [draft for draft in map(project, batch) if draft is not None]
        changes = await self._embed(drafts)
        self._fence(shard, epoch)
        last = batch[-1]
        await self._index.apply(changes, Checkpoint(last.position, last.meta.id, last.sha256))

    async def refold(self, aggregate: Aggregate, history: Sequence[Recorded], epoch: int) -> None:
        """See `ProjectionStore`. Only memories lead to anything here. Interrupted, it leaves the memory as it was, or
        some of it as it shall be, and is asked for again: the dead letters stay until it is done."""
        if aggregate.kind != "memory":
            return
        last = history[-1].position
        changes = await self._embed([draft for draft in map(project, history) if draft is not None])
        self._fence(last.shard, epoch)
        await self._index.refold(last.shard, changes or [Remove(aggregate.id, last.sequence)])

    def _fence(self, shard: int, epoch: int) -> None:
        current = self._epochs.get(shard, 0)
        if epoch < current:
            raise ConcurrencyConflict(f"shard {shard} of the index was taken over by epoch {current}")

    async def _vectors(self, texts: Sequence[str]) -> Vector:
        """Their vectors, in their order. Texts of like length go together: the shorter ones of a run are padded."""
        if not texts:
            return np.empty((0, 0), np.float32)
        by_length = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        sorted_vectors = await self._embedder.embed([texts[place] for place in by_length])
        vectors = np.empty_like(sorted_vectors)
        vectors[by_length] = sorted_vectors
        return vectors

    async def _embed(self, drafts: Sequence[Draft]) -> list[Change]:
        chosen = needing_vectors(drafts)
        chunks: dict[int, tuple[str, ...]] = {}
        for number in chosen:
            draft = drafts[number]
            assert not isinstance(draft, SetState | SetCategories)
            chunks[number] = self._embedder.embedder.chunks(draft.text)
            if len(chunks) % 64 == 0:
                await asyncio.sleep(0)  # tokenizing a large batch must not hold up queries
        order = sorted(chunks)
        texts = [text for number in order for text in chunks[number]]
        vectors = await self._vectors(texts)
        changes: list[Change] = []
        at = 0
        for number, draft in enumerate(drafts):
            if isinstance(draft, SetState | SetCategories):
                changes.append(draft)
                continue
            pieces = chunks.get(number, ())
            rows = vectors[at : at + len(pieces)]
            at += len(pieces)
            if isinstance(draft, AddedText):
                changes.append(
                    PutVersion(
                        memory_id=draft.memory_id,
                        uid=draft.uid,
                        app_id=draft.app_id,
                        version=1,
                        state="active",
                        categories=draft.categories,
                        created_at=draft.created_at,
                        updated_at=draft.created_at,
                        chunks=pieces,
                        vectors=rows,
                        sequence=draft.sequence,
                    )
                )
            else:
                changes.append(
                    Revise(
                        draft.memory_id,
                        draft.version,
                        draft.categories,
                        draft.updated_at,
                        pieces,
                        rows,
                        draft.sequence,
                    )
                )
        return changes
