"""Composition of the indexer: embedder, index, its projection, and search."""

import asyncio

from contracts.api import ServiceHealth
from contracts.errors import ConfigurationError
from contracts.streams import INDEX, events
from runtime.health import answer_health, projections_health
from runtime.projection import ProjectionRunner
from runtime.service import Context, run_until_stopped
from runtime.waiting import Positions

from indexer.embedding.micro_batcher import MicroBatcher
from indexer.embedding.minilm import MiniLM
from indexer.qdrant_edge import EdgeIndex
from indexer.search import SearchResponder
from indexer.store import IndexStore

NAME = "indexer"
_BATCH = 128
"""Events a commit: small enough that a write among many becomes searchable soon."""


async def serve(context: Context) -> None:
    """Index the log and answer searches until stopped."""
    settings = context.settings
    if settings.index_path is None or settings.cache_path is None:
        raise ConfigurationError("the indexer needs MEMLOG_INDEX_PATH and MEMLOG_CACHE_PATH (folders of its own)")
    embedder = await asyncio.to_thread(MiniLM.open, settings.cache_path, settings.embed_threads or 1)
    index = EdgeIndex.open(settings.index_path, embedder.id, embedder.dimension)
    positions = Positions(context.client)
    await positions.open()
    try:
        async with MicroBatcher(embedder) as batcher:
            store = IndexStore(index, batcher)
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
                facts = {"embedder": embedder.id, "index": "qdrant-edge"}
                return projections_health(NAME, [runner.status for runner in runners], {**facts})

            responder = SearchResponder(context.client, index, batcher, positions, context.shards)
            await answer_health(context.client, NAME, describe)
            await responder.open()
            context.ready.set()
            try:
                await run_until_stopped(
                    context.stop,
                    *(context.leases.run_owned(f"{INDEX}.{r.status.shard}", r.run) for r in runners),
                )
            finally:
                await responder.close()
    finally:
        await positions.close()
        index.close()
