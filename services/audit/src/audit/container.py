"""Composition of audit: the read models over the events, the access log over the reads, in PostgreSQL."""

from collections.abc import Awaitable, Callable

from contracts.api import ServiceHealth
from contracts.errors import NotFound
from contracts.streams import ACCESS_LOG, READ_MODELS, access, events
from runtime.filling import fill
from runtime.health import answer_health, projections_health
from runtime.postgres import DERIVED_STORE, create_pool
from runtime.projection import ProjectionRunner
from runtime.service import Context, run_until_stopped

from audit.generations import Generation, access_models, read_models
from audit.keeper import PostgresKeeper
from audit.register import settle
from audit.schema import install
from audit.store import PostgresStore

NAME = "audit"
_MAKE: dict[str, Callable[[int], Generation]] = {READ_MODELS: read_models, ACCESS_LOG: access_models}
_FILL_S = 300.0
"""Seconds a statement of a fill may take: its batches are large, and it gives way to what serves."""


async def serve(context: Context) -> None:
    """Project read models and access log until stopped."""
    dsn = context.settings.postgres_dsn.get_secret_value()
    pool = await create_pool(dsn, application_name=NAME, size=2, settings=DERIVED_STORE)
    try:
        models, accesses = await install(pool, read_models), await install(pool, access_models)
        stores = (
            (READ_MODELS, PostgresStore(pool, models), events),
            (ACCESS_LOG, PostgresStore(pool, accesses), access),
        )
        runners = [
            ProjectionRunner(
                name, shard, stream(shard).name, store, context.client, context.js, context.events, context.keys
            )
            for name, store, stream in stores
            for shard in range(context.shards)
        ]

        def describe() -> ServiceHealth:
            return projections_health(NAME, [runner.status for runner in runners])

        await answer_health(context.client, NAME, describe)
        context.ready.set()
        await run_until_stopped(
            context.stop,
            *(context.leases.run_owned(f"{r.status.name}.{r.status.shard}", r.run) for r in runners),
        )
    finally:
        pool.terminate()


def filling(projection: str, number: int) -> Callable[[Context], Awaitable[None]]:
    """Fills one generation, in a process of its own."""

    async def serve_filling(context: Context) -> None:
        dsn = context.settings.postgres_dsn.get_secret_value()
        pool = await create_pool(
            dsn, application_name=f"{NAME}-fill", size=2, settings=DERIVED_STORE, command_timeout=_FILL_S
        )
        try:
            make = _MAKE.get(projection)
            if make is None:
                raise NotFound(f"audit has no projection {projection}")
            store = await PostgresKeeper(pool, pool, make).open(number)
            stream = events if projection == READ_MODELS else access
            await fill(
                context, lambda shard: stream(shard).name, {projection: store}, lambda: settle(pool, make(number))
            )
        finally:
            pool.terminate()

    return serve_filling
