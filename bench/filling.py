"""Giving a user memories, as fast as they are taken."""

import asyncio
import time

from bench.clients import connect
from bench.plan import Plan
from bench.server import Server

_CLIENTS = 8


async def fill(plan: Plan, server: Server, user: str, count: int) -> float:
    """Add `count` memories and wait until all are searchable; memories a second. Raises when one is missing."""
    texts = iter(plan.texts.memories(count))
    started = time.perf_counter()

    async def one() -> None:
        client = await connect("rest", server.port, user)
        for text in texts:
            await client.add(text, "accepted")
        await client.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(_CLIENTS):
            group.create_task(one())
    await drain(plan, server, user)
    return count / (time.perf_counter() - started)


async def drain(plan: Plan, server: Server, user: str) -> None:
    """Wait until every write that was accepted before is searchable: one more write goes through all of it."""
    client = await connect("rest", server.port, user)
    stored = await client.add(plan.texts.memory(), "accepted")
    await server.until_searchable(user, stored["operation_id"])
    await client.close()
