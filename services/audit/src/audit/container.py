"""Composition of audit: the read models over the events, the access log over the reads, in PostgreSQL."""

from contracts.api import ServiceHealth
from contracts.streams import ACCESS_LOG, READ_MODELS, access, events
from runtime.health import answer_health, projections_health
from runtime.postgres import DERIVED_STORE, create_pool
from runtime.projection import ProjectionRunner
from runtime.service import Context, run_until_stopped

from audit.generations import access_models, read_models
from audit.schema import install
from audit.store import PostgresStore

NAME = "audit"


async def serve(context: Context) -> None:
    """Project read models and access log until stopped."""
    dsn = context.settings.postgres_dsn.get_secret_value()
    pool = await create_pool(dsn, application_name=NAME, size=2, settings=DERIVED_STORE)
    try:
        models, accesses = read_models(), access_models()
        await install(pool, models)
        await install(pool, accesses)
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
