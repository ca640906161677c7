"""Searches and lists of a user with many memories."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from bench.clients import MemoryClient, Transport, connect
from bench.filling import fill
from bench.load import Latency, closed_loop
from bench.plan import Plan, thousands
from bench.result import Section
from bench.server import Server, running
from bench.wire import RequestFailed

_MANY = 8
_ROWS: tuple[tuple[Transport, int], ...] = (("rest", 1), ("rest", _MANY), ("mcp", 1), ("mcp", _MANY))


async def run(plan: Plan) -> Section:
    section = Section("search")
    sizes = plan.sizes
    async with running(plan.home("search")) as server:
        for count in (sizes.small, sizes.large):
            user, size = f"owner of {count}", thousands(count)
            rate = await fill(plan, server, user, count)
            plan.say(f"filled a user with {count} memories at {rate:.0f}/s")
            for transport, clients in _ROWS:
                section.latencies.append(await _searches(plan, server, transport, user, size, clients))
            if count == sizes.large:
                section.latencies.append(await _searches(plan, server, "mcp-sdk", user, size, 1))
            for transport, clients in _ROWS:
                section.latencies.append(await _lists(plan, server, transport, user, size, clients))
        memory = server.memory_mb()
    for row in section.latencies:
        what, transport, size = row.name.split()
        if what == "search" and transport != "mcp-sdk" and row.clients == 1:
            section.numbers[f"search_{size}_{transport}_p50_ms"] = row.p50_ms
            section.numbers[f"search_{size}_{transport}_p95_ms"] = row.p95_ms
    section.numbers["pss_after_search_mb"] = round(sum(memory.values()), 1)
    section.numbers |= {f"pss_after_search_{role}_mb": megabytes for role, megabytes in memory.items()}
    section.notes.append("each query is asked once only; lists are of the newest 50")
    return section


async def _searches(plan: Plan, server: Server, transport: Transport, user: str, size: str, clients: int) -> Latency:
    async def search(client: MemoryClient) -> None:
        if len(await client.search(plan.texts.question())) != 10:
            raise RequestFailed("a search among many memories found fewer than 10")

    return await _row(plan, server, f"search {transport} {size}", transport, user, clients, search, plan.sizes.search_s)


async def _lists(plan: Plan, server: Server, transport: Transport, user: str, size: str, clients: int) -> Latency:
    async def listing(client: MemoryClient) -> None:
        if len(await client.list()) != 50:
            raise RequestFailed("a list of many memories has fewer than 50")

    return await _row(plan, server, f"list {transport} {size}", transport, user, clients, listing, plan.sizes.list_s)


async def _row(
    plan: Plan,
    server: Server,
    name: str,
    transport: Transport,
    user: str,
    clients: int,
    call: Callable[[MemoryClient], Awaitable[None]],
    seconds: float,
) -> Latency:
    async with AsyncExitStack() as stack:
        connected = [await connect(transport, server.port, user) for _ in range(clients)]
        for client in connected:
            stack.push_async_callback(client.close)
        row = await plan.undisturbed(lambda: closed_loop(name, server, connected, call, seconds))
    plan.say(f"{name}, {clients} clients: p50 {row.p50_ms} ms, p95 {row.p95_ms} ms, {row.rate}/s")
    return row
