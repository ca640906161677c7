"""Composition of audit: the read models over the events, the access log over the reads, in PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable

from contracts.api import ServiceHealth
from contracts.errors import NotFound
from contracts.streams import ACCESS_LOG, READ_MODELS, StreamSpec, access, events
from runtime.filling import fill
from runtime.health import answer_health
from runtime.kept_projection import KeptProjection, kept_health
from runtime.postgres import DERIVED_STORE, Pool, create_pool
from runtime.service import Context, run_until_stopped

from audit.anchors import AnchorFile, Anchors
from audit.checks import Verifiable
from audit.due import answer_due
from audit.generations import Generation, access_models, read_models
from audit.keeper import PostgresKeeper
from audit.register import settle
from audit.schema import install
from audit.verification_desk import VerificationDesk
from audit.verification_metrics import tell_results
from audit.verifier import Verifier

NAME = "audit"
PROJECTIONS: dict[str, tuple[Callable[[int], Generation], Callable[[int], StreamSpec]]] = {
    READ_MODELS: (read_models, events),
    ACCESS_LOG: (access_models, access),
}
_KEEPER_POOL = 3
"""A comparison holds two connections; the register is looked at meanwhile."""
_FILL_S = 300.0
"""Seconds a statement of a fill may take: its batches are large, and it gives way to what serves."""


async def serve(context: Context) -> None:
    """Project read models and access log until stopped."""
    dsn = context.settings.postgres_dsn.get_secret_value()
    feeding = await create_pool(dsn, application_name=NAME, size=2, settings=DERIVED_STORE)
    keeping = await create_pool(dsn, application_name=f"{NAME}-keeper", size=_KEEPER_POOL)
    try:
        kept: list[KeptProjection] = []
        for make, stream in PROJECTIONS.values():
            await install(keeping, make)
            keeper = PostgresKeeper(keeping, feeding, make)
            kept.append(KeptProjection(context, keeper, lambda shard, stream=stream: stream(shard).name))

        def describe() -> ServiceHealth:
            return kept_health(NAME, kept)

        await answer_health(context.client, NAME, describe, context.probe)
        await answer_due(context.client, keeping)
        context.ready.set()
        await run_until_stopped(
            context.stop, *(work for projection in kept for work in projection.work()), _verify(context, keeping)
        )
    finally:
        feeding.terminate()
        keeping.terminate()


async def _verify(context: Context, pool: Pool) -> None:
    """Keep anchors, and verify when that is asked for; one instance does."""
    settings = context.settings
    anchors = Anchors(pool, context.events, context.log)
    kept = None if settings.anchor_file is None else AnchorFile(settings.anchor_file)
    log = Verifiable(context.js, context.events, pool)
    verifier = Verifier(log, context.client, anchors, kept, serving=True)
    desk = VerificationDesk(context.client, verifier, anchors)

    async def own(_: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(tell_results(verifier.view))
            tasks.create_task(desk.run())
            if kept is not None:
                tasks.create_task(kept.keep(anchors, settings.anchor_interval))

    await context.leases.run_owned("verification", own)


def filling(projection: str, number: int) -> Callable[[Context], Awaitable[None]]:
    """Fills one generation, in a process of its own."""

    async def serve_filling(context: Context) -> None:
        dsn = context.settings.postgres_dsn.get_secret_value()
        pool = await create_pool(
            dsn, application_name=f"{NAME}-fill", size=2, settings=DERIVED_STORE, command_timeout=_FILL_S
        )
        try:
            if projection not in PROJECTIONS:
                raise NotFound(f"audit has no projection {projection}")
            make, stream = PROJECTIONS[projection]
            store = await PostgresKeeper(pool, pool, make).open(number)
            await fill(
                context, lambda shard: stream(shard).name, {projection: store}, lambda: settle(pool, make(number))
            )
        finally:
            pool.terminate()

    return serve_filling
