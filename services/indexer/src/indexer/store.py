"""The index as a projection's store: embed what is new, then apply changes and checkpoint together."""

from collections.abc import Sequence

from contracts.codec import Recorded
from contracts.errors import ConcurrencyConflict
from contracts.positions import Checkpoint
from contracts.subjects import Aggregate
from runtime.spans import indexing

from indexer.embedding.remembering import Embedded, RememberingEmbedder, Text
from indexer.index import Change, MemoryIndex, PutVersion, Remove, Revise, SetCategories, SetState, of_user
from indexer.projection import AddedText, Draft, RevisedText, project


class IndexStore:
    """`runtime.store.ProjectionStore` over a `MemoryIndex`, which fences other instances. The fence here is between
    two owners in this process."""

    def __init__(self, index: MemoryIndex, embedder: RememberingEmbedder) -> None:
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
        with indexing("upsert", self._index.kind):
            await self._index.apply(changes, Checkpoint(last.position, last.meta.id, last.sha256))

    async def refold(self, aggregate: Aggregate, history: Sequence[Recorded], epoch: int) -> None:
        """See `ProjectionStore`. Only memories lead to anything here. Interrupted, it leaves the memory as it was, or
        some of it as it shall be, and is asked for again: the dead letters stay until it is done."""
        if aggregate.kind != "memory":
            return
        last = history[-1].position
        changes = await self._embed([draft for draft in map(project, history) if draft is not None])
        self._fence(last.shard, epoch)
        await self._index.refold(last.shard, changes or [Remove(of_user(aggregate.uid, aggregate.id), last.sequence)])

    def _fence(self, shard: int, epoch: int) -> None:
        current = self._epochs.get(shard, 0)
        if epoch < current:
            raise ConcurrencyConflict(f"shard {shard} of the index was taken over by epoch {current}")

    async def _embed(self, drafts: Sequence[Draft]) -> list[Change]:
        """Also texts that a later one of the batch replaces: they are found in searches of the past."""
        texts = [draft for draft in drafts if isinstance(draft, AddedText | RevisedText)]
        embedded = iter(await self._embedder.embed([Text(draft.uid, draft.text) for draft in texts]))
        return [
            draft if isinstance(draft, SetState | SetCategories) else _change(draft, next(embedded)) for draft in drafts
        ]


def _change(draft: AddedText | RevisedText, text: Embedded) -> Change:
    if isinstance(draft, RevisedText):
        return Revise(
            memory_id=draft.memory_id,
            version=draft.version,
            state=draft.state,
            categories=draft.categories,
            updated_at=draft.updated_at,
            chunks=text.chunks,
            vectors=text.vectors,
            hashes=text.hashes,
            sequence=draft.sequence,
        )
    return PutVersion(
        memory_id=draft.memory_id,
        uid=draft.uid,
        app_id=draft.app_id,
        version=1,
        state=draft.state,
        categories=draft.categories,
        created_at=draft.created_at,
        updated_at=draft.updated_at,
        chunks=text.chunks,
        vectors=text.vectors,
        hashes=text.hashes,
        sequence=draft.sequence,
    )
