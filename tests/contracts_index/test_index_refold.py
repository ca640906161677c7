"""An aggregate folded anew in the index (`runtime.store.ProjectionStore.refold`): as if nothing had been missed."""

from collections.abc import Sequence
from dataclasses import replace
from zlib import crc32

import numpy as np
import pytest
from contracts.codec import Recorded
from contracts.errors import ConcurrencyConflict
from contracts.events import (
    MemoryAdded,
    MemoryCategorized,
    MemoryDeleted,
    MemoryPaused,
    MemoryRestored,
    MemoryRevised,
)
from contracts.subjects import Aggregate, app, memory
from contracts_index.adapters import DIMENSION, found, vector
from indexer.embedding.embedder import Vectors
from indexer.embedding.micro_batcher import MicroBatcher
from indexer.embedding.remembering import RememberingEmbedder
from indexer.index import MemoryIndex, SearchFilter
from indexer.store import IndexStore
from support.embedders import Ready
from support.keys import FixedKeys
from support.recorded_events import UID, recorded

M = memory(UID, "m")
HISTORY = [
    recorded(1, MemoryAdded(memory_id="m", text="Likes tea", categories=("food",))),
    recorded(3, MemoryRevised(memory_id="m", version=2, text="Likes coffee")),
    recorded(4, MemoryCategorized(memory_id="m", categories=("home",), by="classifier")),
    recorded(5, MemoryDeleted(memory_id="m")),
    recorded(6, MemoryRestored(memory_id="m")),
    recorded(7, MemoryPaused(memory_id="m")),
]
OTHER = recorded(2, MemoryAdded(memory_id="n", text="Lives in Zürich"))
PAUSED_AT_HOME = SearchFilter(UID, states=("paused",), categories=("home",))
ANYWHERE = SearchFilter(UID, states=("active", "paused", "archived", "deleted"))


class Embedder:
    """A vector of its own for each text."""

    id = "test/1"
    dimension = DIMENSION

    def embed(self, texts: Sequence[str]) -> Vectors:
        return np.stack([vector(crc32(text.encode())) for text in texts])

    def chunks(self, text: str) -> tuple[str, ...]:
        return (text,)


def without(*sequences: int) -> list[Recorded]:
    """The log in which these events of the memory could not be applied."""
    log = sorted([*HISTORY, OTHER], key=lambda event: event.position.sequence)
    return [replace(e, payload=None) if e.position.sequence in sequences else e for e in log]


@pytest.mark.guarantee("G12")
@pytest.mark.parametrize("missed", [(1, 3, 4, 5, 6, 7), (3, 4, 5, 6, 7), (4, 7), (6, 7), ()])
async def test_a_memory_folded_anew_is_as_if_nothing_had_been_missed(
    index: MemoryIndex, missed: tuple[int, ...]
) -> None:
    async with MicroBatcher(Embedder()) as batcher:
        store = IndexStore(index, RememberingEmbedder(Ready(batcher), None, FixedKeys()))
        await store.claim(0, 1)
        await store.apply(without(*missed), 1)
        before = await store.checkpoint(0)
        for _ in range(2):
            await store.refold(M, HISTORY, 1)
            assert await found(index, PAUSED_AT_HOME) == {"m": 2}
            assert await found(index, ANYWHERE) == {"m": 2, "n": 1}
        assert await store.checkpoint(0) == before
        hits = await index.search(vector(crc32(b"Likes coffee")), "coffee", PAUSED_AT_HOME, 1)
        assert [(hit.memory_id, hit.version) for hit in hits] == [("m", 2)]


async def test_a_history_that_leads_to_nothing_leaves_nothing(index: MemoryIndex) -> None:
    async with MicroBatcher(Embedder()) as batcher:
        store = IndexStore(index, RememberingEmbedder(Ready(batcher), None, FixedKeys()))
        await store.claim(0, 1)
        await store.apply(without(), 1)
        await store.refold(M, [replace(event, payload=None) for event in HISTORY], 1)
        assert await found(index, ANYWHERE) == {"n": 1}


async def test_another_kind_of_aggregate_leads_to_nothing_in_the_index(index: MemoryIndex) -> None:
    async with MicroBatcher(Embedder()) as batcher:
        store = IndexStore(index, RememberingEmbedder(Ready(batcher), None, FixedKeys()))
        await store.claim(0, 1)
        await store.apply(without(), 1)
        for other in (app(UID, "a"), Aggregate(UID, "user", UID)):
            await store.refold(other, HISTORY[:1], 1)
        assert await found(index, PAUSED_AT_HOME) == {"m": 2}


async def test_a_former_owner_may_not_fold_anew(index: MemoryIndex) -> None:
    async with MicroBatcher(Embedder()) as batcher:
        store = IndexStore(index, RememberingEmbedder(Ready(batcher), None, FixedKeys()))
        await store.claim(0, 1)
        await store.apply(without(), 1)
        await store.claim(0, 2)
        with pytest.raises(ConcurrencyConflict):
            await store.refold(M, HISTORY[:1], 1)
        assert await found(index, PAUSED_AT_HOME) == {"m": 2}
