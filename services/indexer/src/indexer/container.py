"""Composition of the indexer: embedder, index, its projection, and search."""

import asyncio
import contextlib

from contracts.api import ServiceHealth
from contracts.errors import ConfigurationError, MemlogError
from contracts.streams import INDEX, events
from pydantic import JsonValue
from runtime.health import answer_health, projections_health
from runtime.projection import ProjectionRunner
from runtime.service import Context, run_until_stopped
from runtime.settings import Settings
from runtime.waiting import Positions

from indexer.embed import EmbedResponder
from indexer.embedding.cache import VectorCache
from indexer.embedding.embedder import Embedder
from indexer.embedding.micro_batcher import MicroBatcher
from indexer.embedding.minilm import MiniLM
from indexer.embedding.remembering import RememberingEmbedder
from indexer.index import MemoryIndex
from indexer.qdrant_edge import EdgeIndex
from indexer.search import SearchResponder
from indexer.store import IndexStore

NAME = "indexer"
_BATCH = 128
"""Events a commit: small enough that a write among many becomes searchable soon."""
_WATCH_EVERY_S = 5.0


async def serve(context: Context) -> None:
    """Index the log and answer searches until stopped."""
    settings = context.settings
    if settings.cache_path is None:
        raise ConfigurationError("the indexer needs MEMLOG_CACHE_PATH (a folder of its own)")
    embedder = await asyncio.to_thread(MiniLM.open, settings.cache_path, settings.embed_threads or 1)
    index = await open_index(settings, embedder)
    cache = open_cache(settings)
    positions = Positions(context.client)
    await positions.open()
    try:
        async with MicroBatcher(embedder) as batcher:
            remembering = RememberingEmbedder(batcher, cache, context.keys)
            store = IndexStore(index, remembering)
            runners = [
                ProjectionRunner(
                    INDEX,
                    shard,
                    events(shard).name,
                    store,
                    context.client,
                    context.js,
                    context.events,
                    context.keys,
                    batch=_BATCH,
                )
                for shard in range(context.shards)
            ]

            def describe() -> ServiceHealth:
                counts = remembering.counts
                facts: dict[str, JsonValue] = {
                    "embedder": embedder.id,
                    "index": index.kind,
                    "vectors_from_cache": counts.hits,
                    "vectors_made": counts.misses,
                }
                health = projections_health(NAME, [runner.status for runner in runners], facts)
                if index.failure is None:
                    return health
                detail = "; ".join(filter(None, (f"index: {index.failure}", health.detail)))
                return health.model_copy(update={"ok": False, "detail": detail})

            responder = SearchResponder(context.client, index, batcher, positions, context.shards)
            await answer_health(context.client, NAME, describe)
            vectors = EmbedResponder(context.client, batcher)
            await responder.open()
            await vectors.open()
            context.ready.set()
            try:
                await run_until_stopped(
                    context.stop,
                    *(context.leases.run_owned(f"{INDEX}.{r.status.shard}", r.run) for r in runners),
                    _watch(index),
                )
            finally:
                await vectors.close()
                await responder.close()
    finally:
        await positions.close()
        await index.close()
        if cache is not None:
            await cache.close()


async def _watch(index: MemoryIndex) -> None:
    """Keep health's word about the index true while nothing else calls it, until cancelled."""
    while True:
        with contextlib.suppress(MemlogError):
            await index.probe()
        await asyncio.sleep(_WATCH_EVERY_S)


def open_cache(settings: Settings) -> VectorCache | None:
    """None when it is switched off."""
    if settings.cache_path is None or settings.embedding_cache_mb == 0:
        return None
    return VectorCache(settings.cache_path, settings.embedding_cache_mb * 1024 * 1024)


async def open_index(settings: Settings, embedder: Embedder) -> MemoryIndex:
    """On the server that MEMLOG_QDRANT_URL names, else in a folder of this process. Raises `ConfigurationError`."""
    if settings.qdrant_url is not None:
        # Not at the top: the client and what it brings cost 57 MB and a second or two, which Edge need not pay.
        from indexer.qdrant_server import ServerIndex
        from indexer.qdrant_server_connection import connect_qdrant

        key = None if settings.qdrant_api_key is None else settings.qdrant_api_key.get_secret_value()
        client = connect_qdrant(settings.qdrant_url, key, settings.qdrant_ca_file)
        return await ServerIndex.open(client, settings.qdrant_collection, embedder.id, embedder.dimension)
    if settings.index_path is None:
        raise ConfigurationError("the indexer needs MEMLOG_QDRANT_URL, or MEMLOG_INDEX_PATH (a folder of its own)")
    return EdgeIndex.open(settings.index_path, embedder.id, embedder.dimension)
