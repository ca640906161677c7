"""Adds, one by one, at each of the three promises, over each transport."""

from contextlib import AsyncExitStack
from typing import get_args

from bench.clients import MemoryClient, Transport, Wait, connect
from bench.filling import drain
from bench.load import Latency, closed_loop
from bench.plan import Plan
from bench.result import Section
from bench.server import Server, running

_MANY = 8
_ROWS: tuple[tuple[Transport, int], ...] = (("rest", 1), ("rest", _MANY), ("mcp", 1), ("mcp", _MANY))


async def run(plan: Plan) -> Section:
    section = Section("add")
    async with running(plan.home("add")) as server:
        for wait in get_args(Wait):
            for transport, clients in _ROWS:
                section.latencies.append(await _adds(plan, server, transport, wait, clients))
        section.latencies.append(await _adds(plan, server, "mcp-sdk", "searchable", 1))
    by_name = {(row.name, row.clients): row for row in section.latencies}
    for transport in ("rest", "mcp"):
        row = by_name[f"add {transport} searchable", 1]
        section.numbers[f"add_searchable_{transport}_p50_ms"] = row.p50_ms
    section.notes.append("mcp is the 2026-07-28 wire by hand; mcp-sdk includes the SDK client's own cost")
    return section


async def _adds(plan: Plan, server: Server, transport: Transport, wait: Wait, clients: int) -> Latency:
    async def add(client: MemoryClient) -> None:
        await client.add(plan.texts.memory(), wait)

    async with AsyncExitStack() as stack:
        connected = [await connect(transport, server.port, "writer") for _ in range(clients)]
        for client in connected:
            stack.push_async_callback(client.close)
        name = f"add {transport} {wait}"

        async def measure() -> Latency:
            measured = await closed_loop(name, server, connected, add, plan.sizes.add_s)
            if wait != "searchable":
                await drain(plan, server, "writer")  # what is left over must not slow down the next row
            return measured

        row = await plan.undisturbed(measure)
    plan.say(f"{name}, {clients} clients: p50 {row.p50_ms} ms, {row.rate}/s")
    return row
