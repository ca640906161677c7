"""Composition of the memory-writer: one command consumer per shard, owned by lease."""

import asyncio
from functools import partial

from contracts.api import ServiceHealth
from contracts.streams import SERVING_PROJECTIONS, WRITER_CONSUMER, commands
from pydantic import JsonValue
from runtime.consumer import CommandConsumer
from runtime.health import answer_health
from runtime.log_checks import check_against_projections
from runtime.server_storage import follow_storage
from runtime.service import Context, run_until_stopped
from runtime.waiting import Positions

from memory_writer.extraction.owner import Extraction
from memory_writer.handler import CommandHandler
from memory_writer.policies.archiving import Archiving

NAME = "memory-writer"
_ASK_PROJECTIONS_S = 3.0


async def serve(context: Context) -> None:
    """Own as many shards as others leave; decide commands until stopped."""
    consumers: dict[int, CommandConsumer] = {}
    policies: dict[int, Archiving] = {}
    extraction = Extraction(context)
    positions = Positions(context.client)
    await positions.open()

    async def own(shard: int, epoch: int) -> None:
        await check_against_projections(context.client, context.events, shard, SERVING_PROJECTIONS, _ASK_PROJECTIONS_S)
        async with asyncio.TaskGroup() as tasks:
            holds = partial(context.leases.holds, f"{NAME}.{shard}")
            await consume(shard, CommandHandler(context.client, context.events, context.keys, tasks, holds))

    async def consume(shard: int, handler: CommandHandler) -> None:
        consumer = CommandConsumer(context.client, context.js, commands(shard).name, WRITER_CONSUMER, handler.handle)
        consumers[shard] = consumer
        try:
            await consumer.run()
        finally:
            consumers.pop(shard, None)

    async def stand(shard: int) -> None:
        await context.leases.run_owned(f"{NAME}.{shard}", lambda epoch: own(shard, epoch))

    async def put_away(shard: int) -> None:
        async def own_policies(_: int) -> None:
            policies[shard] = Archiving(
                shard, context.client, context.js, context.events, positions, context.settings.policy_interval
            )
            try:
                await policies[shard].run()
            finally:
                policies.pop(shard, None)

        await context.leases.run_owned(f"archive-policies.{shard}", own_policies)

    def describe() -> ServiceHealth:
        facts: dict[str, JsonValue] = {"owns": [*sorted(consumers)], **extraction.as_facts()}
        for shard, policy in policies.items():
            facts[f"policies.{shard}"] = policy.as_facts()
        for shard, consumer in consumers.items():
            facts[f"commands.{shard}"] = {**consumer.counts}
        failures = [f"shard {shard}: {c.failure}" for shard, c in consumers.items() if c.failure is not None]
        failures += extraction.failures()
        return ServiceHealth(service=NAME, ok=not failures, detail="; ".join(failures) or None, facts=facts)

    await answer_health(context.client, NAME, describe, context.probe)
    context.ready.set()
    work = (each(shard) for each in (stand, put_away, extraction.stand) for shard in range(context.shards))
    try:
        storage = follow_storage(context.settings.nats_monitor_url)
        await run_until_stopped(context.stop, extraction.follow(), storage, *work)
    finally:
        await positions.close()
