"""A running categorizer, and the part of an indexer that it needs: the embedder behind its NATS endpoint."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from categorizer.container import NAME, serve
from contracts.api import Announcement
from contracts.streams import INDEX
from contracts.subjects import position_request_subject
from indexer.embed import EmbedResponder
from indexer.embedding.embedder import Vectors
from indexer.embedding.micro_batcher import MicroBatcher
from indexer.embedding.minilm import MiniLM
from nats.aio.msg import Msg
from runtime.nats import subscribe
from runtime.service import open_context
from support.embedders import Ready
from support.servers import Log, opened


class FaultyEmbedder:
    """MiniLM, but that it fails for texts that hold one of `bad`. `seen` are the texts that it was asked for."""

    def __init__(self, minilm: MiniLM) -> None:
        self._minilm = minilm
        self.bad: set[str] = set()
        self.seen: list[str] = []

    @property
    def id(self) -> str:
        return self._minilm.id

    @property
    def dimension(self) -> int:
        return self._minilm.dimension

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.seen += texts
        if any(bad in text for bad in self.bad for text in texts):
            raise ValueError("cannot embed this")
        return self._minilm.embed(texts)

    def chunks(self, text: str) -> tuple[str, ...]:
        return self._minilm.chunks(text)


@asynccontextmanager
async def embedding(log: Log, embedder: FaultyEmbedder) -> AsyncGenerator[None]:
    """An indexer that has indexed everything, for the length of the block."""

    async def asked(message: Msg) -> None:
        _, _, _, name, shard = message.subject.split(".")
        reply = Announcement(projection=name, shard=int(shard), sequence=10**9)
        await message.respond(reply.model_dump_json().encode())

    async with opened(log.settings) as indexer, MicroBatcher(embedder) as batcher:
        responder = EmbedResponder(indexer.client, Ready(batcher))
        for shard in range(log.shards):
            await subscribe(indexer.client, position_request_subject(INDEX, shard), asked)
        await responder.open()
        await indexer.client.flush()
        try:
            yield
        finally:
            await responder.close()


@asynccontextmanager
async def categorizing(log: Log, **settings: object) -> AsyncGenerator[None]:
    """A categorizer for the length of the block, on a connection of its own; stopped in order at the end. `settings`
    are others than the log's."""
    stop, ready = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with open_context(NAME, log.settings.model_copy(update=settings), stop, ready) as context:
            await serve(context)

    task = asyncio.create_task(live())
    try:
        async with asyncio.timeout(60):
            await ready.wait()
        yield
    finally:
        stop.set()
        await asyncio.wait((task,), timeout=60)
        assert task.done(), "the categorizer did not stop"
    task.result()
