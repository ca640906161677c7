"""Keepers of generations on either shelf, with embedders that need no model."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from contracts.codec import Recorded
from contracts.errors import ConfigurationError, MemlogError
from contracts_index.adapters import REPLICAS, SERVER_URL, connect_server, server_alias
from contracts_index.local_server import LocalServer, LocalWords
from indexer.edge_shelf import EdgeShelf
from indexer.embedding.cache import VectorCache
from indexer.embedding.choosing import EmbedderChoice, EmbedderOptions, SharedEmbeddings
from indexer.embedding.embedder import Embedding, Vectors, normalized
from indexer.embedding.micro_batcher import MicroBatcher
from indexer.embedding.remembering import Counts
from indexer.index import SearchFilter
from indexer.keeper import IndexKeeper, Means
from indexer.server_shelf import ServerShelf
from indexer.shelf import Shelf
from runtime.store import ProjectionStore
from support.embedders import CountingEmbedder
from support.keys import FixedKeys
from support.recorded_events import UID

BASE = "http://localhost:11434/v1"


class WordsEmbedder(CountingEmbedder):
    """Cuts texts into `words` words; `noise` is added to each vector."""

    def __init__(self, id: str, dimension: int, words: int = 3) -> None:
        super().__init__(id, dimension)
        self.noise = 0.0
        self._words = words

    def embed(self, texts: Sequence[str]) -> Vectors:
        rows = super().embed(texts)
        noise = np.random.default_rng(0).normal(size=rows.shape)
        return normalized((rows + self.noise * noise).astype(np.float32))

    def chunks(self, text: str) -> tuple[str, ...]:
        words = text.split()
        return tuple(" ".join(words[i : i + self._words]) for i in range(0, len(words), self._words)) or (text,)


@dataclass(slots=True)
class Embedders:
    """What can be opened, by spec; `broken` ones raise what is said."""

    known: dict[str, WordsEmbedder] = field(
        default_factory=lambda: {
            "minilm": WordsEmbedder("minilm/1", 8),
            "openai:other": WordsEmbedder("openai:other/16", 16, words=2),
        }
    )
    broken: dict[str, MemlogError] = field(default_factory=dict[str, MemlogError])
    opened: int = 0

    async def open(self, choice: EmbedderChoice) -> Embedding:
        if choice.spec in self.broken:
            raise self.broken[choice.spec]
        if choice.spec not in self.known:
            raise ConfigurationError(f"there is no embedder {choice.spec}")
        self.opened += 1
        return MicroBatcher(self.known[choice.spec])


@dataclass(slots=True)
class Place:
    """Where one index is kept, and what it takes to open it again and again."""

    folder: Path
    make_shelf: Callable[[], Awaitable[Shelf]]
    embedders: Embedders = field(default_factory=Embedders)
    keys: FixedKeys = field(default_factory=FixedKeys)
    shards: int = 1
    cached: bool = False

    async def keeper(self, wanted: str | None = None) -> IndexKeeper:
        """As a process that starts has it."""
        options = EmbedderOptions(self.folder, base_url=BASE)
        cache = VectorCache(self.folder, 2**26) if self.cached else None
        shared = SharedEmbeddings(self.embedders.open)
        means = Means(options, shared, cache, self.keys, self.shards, Counts())
        keeper = IndexKeeper(await self.make_shelf(), means, wanted)
        try:
            await keeper.start()
        except BaseException:
            await keeper.close()
            raise
        return keeper


async def on_edge(folder: Path) -> Place:
    async def make() -> Shelf:
        return EdgeShelf.open(folder / "index")

    return Place(folder, make)


async def on_local_server(folder: Path) -> Place:
    async def make() -> Shelf:
        return ServerShelf(LocalServer(folder / "server"), "memlog", LocalWords())

    return Place(folder, make)


async def on_server(folder: Path) -> Place:
    async def make() -> Shelf:
        return ServerShelf(connect_server(), server_alias(folder), replicas=REPLICAS)

    return Place(folder, make)


SHELVES: dict[str, Callable[[Path], Awaitable[Place]]] = {"edge": on_edge, "local-server": on_local_server}
if SERVER_URL:
    SHELVES["server"] = on_server


async def feed(store: ProjectionStore, log: Sequence[Recorded], epoch: int = 1, batch: int = 100) -> ProjectionStore:
    """Claim, and apply what is in the log, as a shard's owner does."""
    for shard in sorted({event.position.shard for event in log}):
        await store.claim(shard, epoch)
        events = [event for event in log if event.position.shard == shard]
        for start in range(0, len(events), batch):
            await store.apply(events[start : start + batch], epoch)
    return store


async def rebuild(
    keeper: IndexKeeper, log: Sequence[Recorded], embedder: str | None = None, *, epoch: int = 1, batch: int = 100
) -> int:
    """A generation that follows, having got the log; its number."""
    number = (await keeper.create(embedder, False)).number
    await feed(await keeper.open(number), log, epoch, batch)
    await keeper.note(number, "following")
    return number


async def states(keeper: IndexKeeper) -> dict[int, str]:
    return {generation.number: generation.state for generation in await keeper.generations()}


async def searched(keeper: IndexKeeper, query: str) -> tuple[int, list[str]]:
    """The generation that answers, and the memories that it finds, best first."""
    async with keeper.searchable() as generation:
        embedding = await generation.embedding.get()
        [vector] = await embedding.embed([query], urgent=True)
        hits = await generation.index.search(vector, query, SearchFilter(UID), 10)
        return generation.number, [hit.memory_id for hit in hits]
