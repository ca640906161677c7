"""What tracing costs: the same calls to one Memlog, in turns with traces that are recorded and exported, and with
traces that are not.

The caller says which (`traceparent`), as a client's own trace would. Of two Memlogs that differ in nothing one answers
up to a tenth sooner than the other, more than is looked for here; so both sides are measured on one. The turns are
short, so that what else the machine does meets both alike. Spans are exported once in some dozens of calls: that is in
no median, and in the CPU time of either side.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal

import httpx

from bench.clients import MemoryClient, Wait, over
from bench.homes import USER, copy_with
from bench.plan import Plan
from bench.result import Section
from bench.server import Server
from bench.wire import Connection

_TURN = 10
_SETTLE_S = 0.05
"""Between two turns: what the last call left to do belongs to its own side."""
_WARM_UP, _TURNS, _QUICK_TURNS = 3, 100, 6
_SIDES = (False, True)
_Call = Callable[[MemoryClient], Awaitable[object]]
_Transport = Literal["rest", "mcp"]


async def run(plan: Plan) -> Section:
    section = Section("tracing")
    turns = _QUICK_TURNS if plan.sizes.starts == 1 else _TURNS
    async with AsyncExitStack() as stack:
        sink = await stack.enter_async_context(_span_sink())
        server = await stack.enter_async_context(_serving(plan, {"OTEL_EXPORTER_OTLP_ENDPOINT": sink}))
        transports: tuple[_Transport, ...] = ("rest", "mcp")
        for transport in transports:
            for name, call in _calls(plan).items():
                (off, off_cpu), (on, on_cpu) = await _in_turns(transport, server, call, turns)
                section.numbers |= {
                    f"tracing_{name}_{transport}_off_p50_ms": round(off, 2),
                    f"tracing_{name}_{transport}_on_p50_ms": round(on, 2),
                    f"tracing_{name}_{transport}_ratio": round(on / off, 3),
                    f"tracing_{name}_{transport}_off_cpu_ms": round(off_cpu, 2),
                    f"tracing_{name}_{transport}_on_cpu_ms": round(on_cpu, 2),
                }
                plan.say(f"{name} over {transport}: p50 {off:.2f} ms, traced {on:.2f} ms ({on / off:.3f})")
        async with httpx.AsyncClient() as http:
            if int((await http.get(sink)).text) == 0:
                raise RuntimeError("no span was exported: what was measured is not tracing")
    section.notes.append(f"medians over {turns * _TURN} calls of each side, one client, in turns of {_TURN}")
    return section


def _calls(plan: Plan) -> dict[str, _Call]:
    def add(wait: Wait) -> _Call:
        async def add_one(client: MemoryClient) -> None:
            await client.add(plan.texts.memory(), wait)

        return add_one

    async def search(client: MemoryClient) -> None:
        await client.search(plan.texts.question())

    return {"add_accepted": add("accepted"), "add_searchable": add("searchable"), "search": search}


async def _in_turns(transport: _Transport, server: Server, call: _Call, turns: int) -> list[tuple[float, float]]:
    """The median duration of a call (ms) and the CPU time of one with all that it led to (ms), untraced and traced."""
    connection = await Connection.open("127.0.0.1", server.port)
    client = over(connection, transport, USER)
    taken: dict[bool, list[float]] = {side: [] for side in _SIDES}
    cpu = dict.fromkeys(_SIDES, 0.0)
    for turn in range(_WARM_UP + turns):
        for side in _SIDES if turn % 2 else reversed(_SIDES):
            connection.sampled = side
            before = sum(server.cpu_seconds().values())
            durations: list[float] = []
            for _ in range(_TURN):
                started = time.perf_counter()
                await call(client)
                durations.append(time.perf_counter() - started)
            await asyncio.sleep(_SETTLE_S)
            if turn >= _WARM_UP:
                taken[side] += durations
                cpu[side] += sum(server.cpu_seconds().values()) - before
    await client.close()
    return [(1000 * statistics.median(taken[side]), 1000 * cpu[side] / len(taken[side])) for side in _SIDES]


@asynccontextmanager
async def _serving(plan: Plan, settings: dict[str, str]) -> AsyncGenerator[Server]:
    server = Server(await copy_with(plan, plan.sizes.held[0], "traced"), settings=settings)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def _span_sink() -> AsyncGenerator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.span_sink", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.kill()
        await process.wait()
