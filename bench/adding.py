"""Adds, one by one, at each of the three promises, over each transport."""

from typing import get_args

from bench.clients import MemoryClient, Transport, Wait
from bench.filling import drain
from bench.load import Latency
from bench.plan import Plan
from bench.result import Section
from bench.rows import ONE_AND_MANY, row
from bench.server import Server, running

_USER = "writer"


async def run(plan: Plan) -> Section:
    section, seconds = Section("add"), plan.sizes.add_s
    transports: tuple[Transport, ...] = ("rest", "mcp")
    async with running(plan.home("add")) as server:
        for wait in get_args(Wait):
            for transport in transports:
                for clients in ONE_AND_MANY:
                    section.latencies.append(await adds(plan, server, transport, wait, _USER, clients, seconds))
        section.latencies.append(await adds(plan, server, "mcp-sdk", "searchable", _USER, 1, seconds))
    by_name = {(row.name, row.clients): row for row in section.latencies}
    for transport in transports:
        found = by_name[f"add {transport} searchable", 1]
        section.numbers[f"add_searchable_{transport}_p50_ms"] = found.p50_ms
    section.notes.append("mcp is the 2026-07-28 wire by hand; mcp-sdk includes the SDK client's own cost.")
    return section


async def adds(
    plan: Plan, server: Server, transport: Transport, wait: Wait, user: str, clients: int, seconds: float
) -> Latency:
    """A row of adds that wait for this."""

    async def add(client: MemoryClient) -> None:
        await client.add(plan.texts.memory(), wait)

    async def drained() -> None:
        if wait != "searchable":
            await drain(plan, server, user)

    name = f"add {transport} {wait}"
    return await row(plan, server, name, transport, user, clients, add, seconds, after=drained)
