import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from contracts.errors import Unavailable
from indexer.embedding.embedder import Vectors
from indexer.embedding.micro_batcher import BatchLimits, MicroBatcher

BOUND = 60


class HeldEmbedder:
    """Embeds a text as its length, one batch each time that `let` is called; `bad` texts fail their batch."""

    id = "held/1"
    dimension = 1

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.started = threading.Semaphore(0)
        self._permits = threading.Semaphore(0)

    def let(self, batches: int = 1) -> None:
        self._permits.release(batches)

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.batches.append(list(texts))
        self.started.release()
        assert self._permits.acquire(timeout=BOUND)
        if "bad" in texts:
            raise ValueError("a bad text")
        return np.array([[len(text)] for text in texts], np.float32)

    def chunks(self, text: str) -> tuple[str, ...]:
        return (text,)


async def begun(embedder: HeldEmbedder) -> None:
    """A batch has reached the embedder."""
    assert await asyncio.to_thread(embedder.started.acquire, timeout=BOUND)


async def all_queued() -> None:
    """Tasks made before this have run up to their first wait."""
    await asyncio.sleep(0)


async def test_what_waits_during_a_batch_goes_into_the_next_one_in_order() -> None:
    embedder = HeldEmbedder()
    async with asyncio.timeout(BOUND), MicroBatcher(embedder) as batcher, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(batcher.embed(["a"]))
        await begun(embedder)
        second = tasks.create_task(batcher.embed(["bb", "ccc"]))
        third = tasks.create_task(batcher.embed(["dddd"]))
        await all_queued()
        embedder.let(2)
        assert (await first).tolist() == [[1]]
        assert (await second).tolist() == [[2], [3]]
        assert (await third).tolist() == [[4]]
    assert embedder.batches == [["a"], ["bb", "ccc", "dddd"]]


async def test_a_query_goes_ahead_of_indexing_that_waits_longer() -> None:
    embedder = HeldEmbedder()
    limits = BatchLimits(texts=2)
    async with asyncio.timeout(BOUND), MicroBatcher(embedder, limits) as batcher, asyncio.TaskGroup() as tasks:
        indexing = tasks.create_task(batcher.embed([f"text {i}" for i in range(5)]))
        await begun(embedder)
        query = tasks.create_task(batcher.embed(["query"], urgent=True))
        await all_queued()
        embedder.let(2)
        assert (await query).tolist() == [[5]]
        assert not indexing.done()
        embedder.let(2)
        assert (await indexing).shape == (5, 1)
    assert embedder.batches == [["text 0", "text 1"], ["query"], ["text 2", "text 3"], ["text 4"]]


async def test_batches_are_bounded_by_characters_but_hold_at_least_one_text() -> None:
    embedder = HeldEmbedder()
    embedder.let(9)
    async with (
        asyncio.timeout(BOUND),
        MicroBatcher(embedder, BatchLimits(characters=10, quiet_characters=10)) as batcher,
    ):
        await batcher.embed(["x" * 6, "y" * 4, "z" * 20, "w"])
    assert embedder.batches == [["x" * 6, "y" * 4], ["z" * 20], ["w"]]


async def test_batches_are_larger_while_nobody_asks_and_small_after_a_query() -> None:
    embedder = HeldEmbedder()
    embedder.let(9)
    limits = BatchLimits(characters=4, quiet_characters=8, quiet_s=60.0)
    async with asyncio.timeout(BOUND), MicroBatcher(embedder, limits) as batcher:
        await batcher.embed(["aa", "bb", "cc", "dd"])
        await batcher.embed(["query"], urgent=True)
        await batcher.embed(["ee", "ff", "gg", "hh"])
    assert embedder.batches == [["aa", "bb", "cc", "dd"], ["query"], ["ee", "ff"], ["gg", "hh"]]


async def test_an_error_reaches_the_callers_of_its_batch_only() -> None:
    embedder = HeldEmbedder()
    async with asyncio.timeout(BOUND), MicroBatcher(embedder, BatchLimits(texts=2)) as batcher:
        first = asyncio.create_task(batcher.embed(["a"]))
        await begun(embedder)
        poisoned = asyncio.create_task(batcher.embed(["bad", "b", "never embedded"]))
        after = asyncio.create_task(batcher.embed(["cc"]))
        await all_queued()
        embedder.let(3)
        with pytest.raises(ValueError, match="a bad text"):
            await poisoned
        assert (await first).tolist() == [[1]]
        assert (await after).tolist() == [[2]]
    assert embedder.batches == [["a"], ["bad", "b"], ["cc"]]


async def test_a_cancelled_caller_costs_no_further_batch() -> None:
    embedder = HeldEmbedder()
    async with asyncio.timeout(BOUND), MicroBatcher(embedder, BatchLimits(texts=1)) as batcher:
        cancelled = asyncio.create_task(batcher.embed(["a", "b", "c"]))
        await begun(embedder)
        other = asyncio.create_task(batcher.embed(["d"]))
        await all_queued()
        cancelled.cancel()
        await asyncio.wait([cancelled])
        embedder.let(2)
        await other
    assert embedder.batches == [["a"], ["d"]]


async def test_a_query_asked_again_is_not_embedded_again() -> None:
    embedder = HeldEmbedder()
    embedder.let(9)
    limits = BatchLimits(cached_queries=2)
    async with asyncio.timeout(BOUND), MicroBatcher(embedder, limits) as batcher:
        for query in ("a", "bb", "a", "ccc", "a", "bb"):
            assert (await batcher.embed([query], urgent=True)).tolist() == [[len(query)]]
    assert embedder.batches == [["a"], ["bb"], ["ccc"], ["bb"]], "the least recently used one is forgotten"


async def test_what_nobody_waits_for_comes_after_indexing() -> None:
    embedder = HeldEmbedder()
    async with asyncio.timeout(BOUND), MicroBatcher(embedder, BatchLimits(texts=1)) as batcher:
        indexing = asyncio.create_task(batcher.embed(["a"]))
        await begun(embedder)
        background = asyncio.create_task(batcher.embed(["bb"], background=True))
        more = asyncio.create_task(batcher.embed(["ccc"]))
        await all_queued()
        embedder.let(3)
        await asyncio.gather(indexing, background, more)
    assert embedder.batches == [["a"], ["ccc"], ["bb"]]


async def test_a_text_that_was_just_indexed_costs_nothing_again() -> None:
    embedder = HeldEmbedder()
    embedder.let(9)
    async with asyncio.timeout(BOUND), MicroBatcher(embedder, BatchLimits(cached_texts=2)) as batcher:
        await batcher.embed(["a", "bb"])
        assert (await batcher.embed(["bb", "a"], background=True)).tolist() == [[2], [1]]
        await batcher.embed(["ccc"])
        assert (await batcher.embed(["bb"], background=True)).tolist() == [[2]]
    assert embedder.batches == [["a", "bb"], ["ccc"], ["bb"]], "the least recently used one is forgotten"


async def test_texts_take_no_place_of_queries() -> None:
    embedder = HeldEmbedder()
    embedder.let(9)
    limits = BatchLimits(cached_queries=1, cached_texts=1)
    async with asyncio.timeout(BOUND), MicroBatcher(embedder, limits) as batcher:
        await batcher.embed(["query"], urgent=True)
        await batcher.embed(["a", "bb"])
        await batcher.embed(["query"], urgent=True)
    assert embedder.batches == [["query"], ["a", "bb"]]


async def test_closing_ends_the_running_batch_and_refuses_the_rest() -> None:
    embedder = HeldEmbedder()
    batcher = MicroBatcher(embedder, BatchLimits(texts=1))
    async with asyncio.timeout(BOUND):
        running = asyncio.create_task(batcher.embed(["a"]))
        await begun(embedder)
        waiting = asyncio.create_task(batcher.embed(["b"]))
        await all_queued()
        closing = asyncio.create_task(batcher.close())
        await all_queued()
        embedder.let()
        await closing
        assert (await running).tolist() == [[1]]
        with pytest.raises(Unavailable):
            await waiting
        with pytest.raises(Unavailable):
            await batcher.embed(["c"])


async def test_no_texts_need_no_batch() -> None:
    embedder = HeldEmbedder()
    async with asyncio.timeout(BOUND), MicroBatcher(embedder) as batcher:
        assert (await batcher.embed([])).shape == (0, 1)
    assert embedder.batches == []
