"""The embedder of a generation, which may take its time to come."""

import asyncio

import pytest
from contracts.errors import Unavailable
from indexer.embedding import late
from indexer.embedding.choosing import MINILM, EmbedderChoice, SharedEmbeddings
from indexer.embedding.embedder import Embedding
from indexer.embedding.late import LateEmbedding
from indexer.embedding.micro_batcher import MicroBatcher
from support.embedders import CountingEmbedder


class Slow:
    """Opens when it is let, or fails as it is told."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.error: Exception | None = None
        self.asked = 0

    async def open(self, _: EmbedderChoice) -> Embedding:
        self.asked += 1
        await self.let.wait()
        if self.error is not None:
            raise self.error
        return MicroBatcher(CountingEmbedder())


async def test_one_that_takes_its_time_is_not_waited_for_by_who_has_none_and_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(late.LateEmbedding.get, "__defaults__", (0.05,))
    slow = Slow()
    embedding = LateEmbedding(MINILM, "test/1", SharedEmbeddings(slow.open))
    for _ in range(2):
        with pytest.raises(Unavailable, match="is being opened"):
            await embedding.get()
    patient = asyncio.create_task(embedding.get(patience=None))
    await asyncio.sleep(0.1)
    assert (patient.done(), slow.asked, embedding.failure) == (False, 1, None)
    slow.let.set()
    assert (await patient).embedder.id == "test/1"
    assert await embedding.get() is await patient
    await embedding.close()


async def test_what_goes_wrong_is_told_whatever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late, "_AGAIN_S", 0.0)
    slow = Slow()
    slow.let.set()
    slow.error = ValueError("a broken model")
    embedding = LateEmbedding(MINILM, "test/1", SharedEmbeddings(slow.open))
    with pytest.raises(Unavailable, match="ValueError: a broken model"):
        await embedding.get()
    assert embedding.failure == "ValueError: a broken model"
    slow.error = None
    assert (await embedding.get()).embedder.id == "test/1"
    assert embedding.failure is None
    await embedding.close()
    with pytest.raises(Unavailable, match="closed"):
        await embedding.get()


async def test_one_that_is_closed_while_it_is_opened_opens_nothing() -> None:
    slow = Slow()
    embedding = LateEmbedding(MINILM, "test/1", SharedEmbeddings(slow.open))
    waiting = asyncio.create_task(embedding.get(patience=None))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await embedding.close()
    with pytest.raises(Unavailable):
        await waiting
    assert not embedding.opened
