"""What tracing costs: the same calls with and without it, in turns, on two Memlogs that differ in nothing else.

All traces are sampled, and sent to a process that takes them, as often as usual. The turns are short, so that what
else the machine does meets both alike.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx

from bench.clients import MemoryClient, Transport, Wait, connect
from bench.homes import USER, copy_with
from bench.plan import Plan
from bench.result import Section
from bench.server import Server

_TURN = 10
_SETTLE_S = 0.05
"""Between two turns: what the last call left to do belongs to its own side."""
_WARM_UP, _TURNS, _QUICK_TURNS = 3, 60, 6
_Call = Callable[[MemoryClient], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class _Side:
    """The median of its calls, and the CPU time that one took, with all that it led to."""

    p50_ms: float
    cpu_ms: float

    def __str__(self) -> str:
        return f"p50 {self.p50_ms} ms, CPU {self.cpu_ms} ms"


async def run(plan: Plan) -> Section:
    section = Section("tracing")
    turns = _QUICK_TURNS if plan.sizes.starts == 1 else _TURNS
    async with AsyncExitStack() as stack:
        sink = await stack.enter_async_context(_span_sink())
        off = await stack.enter_async_context(_serving(plan, "untraced", {}))
        on = await stack.enter_async_context(_serving(plan, "traced", {"OTEL_EXPORTER_OTLP_ENDPOINT": sink}))
        transports: tuple[Transport, ...] = ("rest", "mcp")
        for transport in transports:
            for name, call in _calls(plan).items():
                before, after = await _beside(transport, (off, on), call, turns)
                for side, found in (("off", before), ("on", after)):
                    section.numbers[f"tracing_{name}_{transport}_{side}_p50_ms"] = found.p50_ms
                    section.numbers[f"tracing_{name}_{transport}_{side}_cpu_ms"] = found.cpu_ms
                section.numbers[f"tracing_{name}_{transport}_ratio"] = round(after.p50_ms / before.p50_ms, 3)
                plan.say(f"{name} over {transport}: {before}, traced {after}")
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


async def _beside(transport: Transport, servers: tuple[Server, Server], call: _Call, turns: int) -> list[_Side]:
    clients = [await connect(transport, server.port, USER) for server in servers]
    taken: list[list[float]] = [[], []]
    before = [0.0, 0.0]
    for turn in range(_WARM_UP + turns):
        if turn == _WARM_UP:
            before = [sum(server.cpu_seconds().values()) for server in servers]
            taken = [[], []]
        for side in (0, 1) if turn % 2 else (1, 0):
            for _ in range(_TURN):
                started = time.perf_counter()
                await call(clients[side])
                taken[side].append(time.perf_counter() - started)
            await asyncio.sleep(_SETTLE_S)
    for client in clients:
        await client.close()
    after = [sum(server.cpu_seconds().values()) for server in servers]
    return [
        _Side(round(1000 * statistics.median(of), 2), round(1000 * (end - begin) / len(of), 2))
        for of, begin, end in zip(taken, before, after, strict=True)
    ]


@asynccontextmanager
async def _serving(plan: Plan, name: str, settings: dict[str, str]) -> AsyncGenerator[Server]:
    server = Server(await copy_with(plan, plan.sizes.held[0], name), settings=settings)
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
