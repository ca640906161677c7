"""One row of a latency table: clients connected, a call measured, the connections closed."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import TypeVar

from bench.clients import MemoryClient, Rest, Transport, connect
from bench.load import Latency, closed_loop
from bench.plan import Plan
from bench.server import Server
from bench.wire import Connection

ONE_AND_MANY = (1, 8)
"""How many clients ask at once."""
_C = TypeVar("_C", bound=MemoryClient)


async def row(
    plan: Plan,
    server: Server,
    name: str,
    transport: Transport,
    user: str,
    clients: int,
    call: Callable[[MemoryClient], Awaitable[object]],
    seconds: float,
    after: Callable[[], Awaitable[None]] | None = None,
) -> Latency:
    """Measure a call that any transport has; `after` ends what it leaves over, so that it does not slow down the next
    row."""
    connected = [await connect(transport, server.port, user) for _ in range(clients)]
    return await _measured(plan, server, name, connected, call, seconds, after)


async def rest_row(
    plan: Plan,
    server: Server,
    name: str,
    user: str,
    clients: int,
    call: Callable[[Rest], Awaitable[object]],
    seconds: float,
) -> Latency:
    """Measure a call that REST alone has."""
    connected = [Rest(await Connection.open("127.0.0.1", server.port), user) for _ in range(clients)]
    return await _measured(plan, server, name, connected, call, seconds, None)


async def _measured(
    plan: Plan,
    server: Server,
    name: str,
    connected: Sequence[_C],
    call: Callable[[_C], Awaitable[object]],
    seconds: float,
    after: Callable[[], Awaitable[None]] | None,
) -> Latency:
    async def measure() -> Latency:
        measured = await closed_loop(name, server, connected, call, seconds)
        if after is not None:
            await after()
        return measured

    async with AsyncExitStack() as stack:
        for client in connected:
            stack.push_async_callback(client.close)
        found = await plan.undisturbed(measure)
    plan.say(f"{name}, {len(connected)} clients: p50 {found.p50_ms} ms, p95 {found.p95_ms} ms, {found.rate}/s")
    return found
