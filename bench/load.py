"""Closed-loop load: each client sends its next request when the last one is answered. What it measured, as a value."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import psutil

from bench.server import Server

QUIET_PERCENT = 12.0
"""Of all cores together: what an idle machine uses, and a little."""
DISTURBED = 0.3
"""Cores used by others from which on a row is measured again, when there is patience for it."""
_WARM_UP_CALLS = 10
_WARM_UP_S = 2.0
C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Latency:
    """One row of the table: milliseconds, requests a second, and where the CPU time went.

    `server_cpu_ms` is CPU milliseconds a request by role, `generator_cpu` the share of one core that the load
    generator took, `other_cpu` the cores that neither it nor Memlog used: contention, when it is not near 0.
    """

    name: str
    clients: int
    requests: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    rate: float
    server_cpu_ms: dict[str, float]
    generator_cpu: float
    other_cpu: float


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds so far: of Memlog by role, of this process, of the whole machine."""

    at: float
    server: dict[str, float]
    generator: float
    machine: float

    @classmethod
    def now(cls, server: Server) -> "Cpu":
        times = psutil.cpu_times()
        busy = sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)
        return cls(time.perf_counter(), server.cpu_seconds(), time.process_time(), busy)

    def others_since(self, before: "Cpu") -> float:
        """Cores that what is no part of the run has used on the average since then."""
        ours = sum(self.server.values()) - sum(before.server.values()) + self.generator - before.generator
        return round(max((self.machine - before.machine - ours) / (self.at - before.at), 0.0), 2)


async def closed_loop(
    name: str, server: Server, clients: Sequence[C], call: Callable[[C], Awaitable[object]], seconds: float
) -> Latency:
    """Measure `call` for about `seconds` with all clients at once, after some calls of each that count nothing. The
    first call that fails ends the run with its error."""
    await _run(clients, call, time.perf_counter() + _WARM_UP_S, _WARM_UP_CALLS)
    before = Cpu.now(server)
    taken = await _run(clients, call, before.at + seconds, None)
    after = Cpu.now(server)
    return _latency(name, len(clients), taken, before, after)


async def until_quiet(patience_s: float) -> None:
    """Wait until others use hardly any CPU, for at most `patience_s`. To be called while Memlog is idle."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if await asyncio.to_thread(psutil.cpu_percent, 1.0) < QUIET_PERCENT:
            return


async def _run(
    clients: Sequence[C], call: Callable[[C], Awaitable[object]], until: float, most: int | None
) -> list[float]:
    taken: list[float] = []

    async def one(client: C) -> None:
        for number in itertools.count():
            started = time.perf_counter()
            if number == most or started >= until:
                return
            await call(client)
            taken.append(time.perf_counter() - started)

    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(one(client))
    return taken


def _latency(name: str, clients: int, taken: list[float], before: Cpu, after: Cpu) -> Latency:
    ordered = sorted(taken)
    wall, count = after.at - before.at, len(ordered)
    server = {role: after.server[role] - before.server[role] for role in after.server}
    generator = after.generator - before.generator
    return Latency(
        name=name,
        clients=clients,
        requests=count,
        p50_ms=percentile_ms(ordered, 0.50),
        p95_ms=percentile_ms(ordered, 0.95),
        p99_ms=percentile_ms(ordered, 0.99),
        rate=round(count / wall, 1),
        server_cpu_ms={role: round(1000 * seconds / count, 2) for role, seconds in server.items()},
        generator_cpu=round(generator / wall, 2),
        other_cpu=after.others_since(before),
    )


def percentile_ms(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of ascending seconds, in milliseconds."""
    return round(1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)], 2)
