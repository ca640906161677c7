"""Composition of the indexer: the generations of the index with their embedders, its projection, and search."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from contracts.api import ServiceHealth
from contracts.errors import ConfigurationError, NotFound
from contracts.streams import INDEX, events
from pydantic import JsonValue
from runtime.filling import fill
from runtime.health import answer_health
from runtime.kept_projection import KeptProjection, kept_health
from runtime.metrics import EMBEDDER_FAILING
from runtime.service import Context, run_until_stopped
from runtime.settings import Settings
from runtime.waiting import Positions

from indexer.edge_shelf import EdgeShelf
from indexer.embed import EmbedResponder
from indexer.embedding.cache import VectorCache
from indexer.embedding.choosing import MINILM, EmbedderOptions, SharedEmbeddings, open_embedding
from indexer.embedding.late import LateEmbedding
from indexer.embedding.minilm import MINILM_ID
from indexer.embedding.remembering import Counts
from indexer.keeper import IndexKeeper, Means
from indexer.search import SearchResponder
from indexer.shelf import Shelf

NAME = "indexer"
_BATCH = 128
"""Events a commit: small enough that a write among many becomes searchable soon."""
_WATCH_EVERY_S = 5.0


async def serve(context: Context) -> None:
    """Index the log and answer searches until stopped."""
    positions = Positions(context.client)
    await positions.open()
    try:
        async with means(context) as all_means, keeping(context.settings, all_means) as keeper:
            await keeper.start()
            kept = KeptProjection(context, keeper, _stream, batch=_BATCH, switched=lambda _: keeper.watch())
            await kept.open()

            def describe() -> ServiceHealth:
                return index_health(keeper, kept, all_means.counts)

            responder = SearchResponder(context.client, keeper, positions, context.shards)
            # Whoever asks for vectors was made for these, whatever the index is made with.
            source = LateEmbedding(MINILM, MINILM_ID, all_means.shared)
            vectors = EmbedResponder(context.client, source)
            await answer_health(context.client, NAME, describe, context.probe)
            await responder.open()
            await vectors.open()
            context.ready.set()
            try:
                await run_until_stopped(context.stop, *kept.work(), _watch(keeper))
            finally:
                await vectors.close()
                await responder.close()
                await source.close()
    finally:
        await positions.close()


def filling(projection: str, number: int, from_scratch: bool) -> Callable[[Context], Awaitable[None]]:
    """Fills one generation, in a process of its own."""

    async def serve_filling(context: Context) -> None:
        if projection != INDEX:
            raise NotFound(f"the indexer has no projection {projection}")
        async with means(context) as all_means:
            shelf = await open_shelf(context.settings, only_look=True)
            try:
                record = next((each for each in await shelf.records() if each.number == number), None)
                if record is None:
                    raise NotFound(f"the index has no generation {number}")
                generation = all_means.open(record, await shelf.open_index(record), believe=not from_scratch)
                try:
                    await generation.embedding.get(patience=None)
                    await fill(context, _stream, {INDEX: generation.store}, counts=all_means.counts.as_facts)
                finally:
                    await generation.embedding.close()
                    await generation.index.close()
            finally:
                await shelf.close()

    return serve_filling


def index_health(keeper: IndexKeeper, kept: KeptProjection, counts: Counts) -> ServiceHealth:
    """How the index is: which embedder and generation searches see, and what is wrong with them."""
    shown = keeper.shown
    facts: dict[str, JsonValue] = {
        "embedder": None if shown is None else shown.record.embedder,
        "index": None if shown is None else shown.index.kind,
        "generation": None if shown is None else shown.number,
        **counts.as_facts(),
    }
    if keeper.embedder_failure is not None:
        facts["embedder_failure"] = keeper.embedder_failure
    health = kept_health(NAME, [kept], facts)
    if keeper.failure is None:
        return health
    return health.model_copy(update={"ok": False, "detail": "; ".join(filter(None, (keeper.failure, health.detail)))})


@asynccontextmanager
async def means(context: Context) -> AsyncGenerator[Means]:
    """Cache and embedders, closed at the end."""
    settings = context.settings
    if settings.cache_path is None:
        raise ConfigurationError("the indexer needs MEMLOG_CACHE_PATH (a folder of its own)")
    options = EmbedderOptions(
        cache=settings.cache_path,
        graphs=settings.graph_path,
        threads=settings.embed_threads or 1,
        base_url=settings.embedder_base_url.rstrip("/"),
        api_key=settings.embedder_api_key,
        openai_key=settings.openai_api_key,
    )
    limit = settings.embedding_cache_mb * 1024 * 1024
    cache = VectorCache(settings.cache_path, limit) if limit else None
    shared = SharedEmbeddings(lambda choice: open_embedding(choice, options))
    try:
        yield Means(options, shared, cache, context.keys, context.shards, Counts())
    finally:
        await shared.close()
        if cache is not None:
            await cache.close()


@asynccontextmanager
async def keeping(settings: Settings, all_means: Means) -> AsyncGenerator[IndexKeeper]:
    """The generations of the index, closed at the end."""
    keeper = IndexKeeper(await open_shelf(settings), all_means, settings.embedder)
    try:
        yield keeper
    finally:
        await keeper.close()


async def open_shelf(settings: Settings, *, only_look: bool = False) -> Shelf:
    """On the server that MEMLOG_QDRANT_URL names, else in a folder, which one process has, and others `only_look` at.
    Raises `ConfigurationError`."""
    if settings.qdrant_url is not None:
        # Not at the top: the client and what it brings cost 57 MB and a second or two, which Edge need not pay.
        from indexer.qdrant_server_connection import connect_qdrant
        from indexer.server_shelf import ServerShelf

        key = None if settings.qdrant_api_key is None else settings.qdrant_api_key.get_secret_value()
        client = connect_qdrant(settings.qdrant_url, key, settings.qdrant_ca_file)
        return ServerShelf(client, settings.qdrant_collection, replicas=settings.qdrant_replicas)
    if settings.index_path is None:
        raise ConfigurationError("the indexer needs MEMLOG_QDRANT_URL, or MEMLOG_INDEX_PATH (a folder of its own)")
    return EdgeShelf.look(settings.index_path) if only_look else EdgeShelf.open(settings.index_path)


async def _watch(keeper: IndexKeeper) -> None:
    """Keep health's word about the index true while nothing else calls it, until cancelled."""
    with EMBEDDER_FAILING.known(lambda: [(float(keeper.embedder_failure is not None), {})]):
        while True:
            await keeper.watch()
            await asyncio.sleep(_WATCH_EVERY_S)


def _stream(shard: int) -> str:
    return events(shard).name
