"""Start time: until the first search is answered. Memory of all processes when nothing happens."""

import asyncio
import statistics
import time

from bench.clients import connect
from bench.filling import fill
from bench.load import until_quiet
from bench.plan import Plan
from bench.result import Section
from bench.server import Server

_HELD = 500
"""Memories in the home that is started again."""
_SETTLE_S = 5.0


async def run(plan: Plan) -> Section:
    section = Section("start")
    times: dict[str, list[float]] = {"first": [], "fresh": [], "warm": [], "killed": []}
    memory: list[dict[str, float]] = []
    await _first_ever(plan, times["first"])
    for number in range(plan.sizes.starts):
        server = Server(plan.home(f"start-{number}"))
        try:
            times["fresh"].append(await start(plan, server, "fresh"))
            await asyncio.sleep(_SETTLE_S)
            memory.append(server.memory_mb())
            await fill(plan, server, "owner", _HELD)
            await server.stop()
            times["warm"].append(await start(plan, server, "warm"))
            await _kill_under_writes(plan, server)
            times["killed"].append(await start(plan, server, "killed"))
        finally:
            await server.stop()
    for kind, seconds in times.items():
        section.numbers[f"start_{kind}_s"] = round(statistics.median(seconds), 2)
    idle = min(memory, key=lambda roles: sum(roles.values()))
    section.numbers["idle_pss_mb"] = round(sum(idle.values()), 1)
    section.numbers |= {f"idle_pss_{role}_mb": megabytes for role, megabytes in idle.items()}
    section.notes.append(
        f"median of {plan.sizes.starts}. A fresh home also builds the embedder's graph; warm and killed homes hold "
        f"{_HELD} memories. At the first start of all, Python compiles every module."
    )
    return section


async def _first_ever(plan: Plan, times: list[float]) -> None:
    server = Server(plan.home("start-first"))
    try:
        times.append(await start(plan, server, "first of all, nothing compiled"))
    finally:
        await server.stop()


async def start(plan: Plan, server: Server, kind: str) -> float:
    """Start; seconds until the first search was answered."""
    await until_quiet(plan.patience_s)
    started = time.perf_counter()
    ready = await server.start()
    client = await connect("rest", server.port, "owner")
    await client.search(plan.texts.question())
    await client.close()
    seconds = time.perf_counter() - started
    plan.say(f"start, {kind}: ready after {ready:.2f} s, first search answered after {seconds:.2f} s")
    return seconds


async def _kill_under_writes(plan: Plan, server: Server) -> None:
    client = await connect("rest", server.port, "owner")
    for _ in range(50):
        await client.add(plan.texts.memory(), "accepted")
    await server.kill()
    await client.close()
