"""How fast a generation is rebuilt beside the one that serves, from a log of four events a memory."""

import asyncio
import shutil
import time
from typing import Any

from contracts.streams import SERVING_PROJECTIONS

from bench.homes import USER, copy_with
from bench.load import Cpu, until_quiet
from bench.log_writing import write_changes
from bench.plan import Plan, thousands
from bench.result import Section, Throughput
from bench.server import Server
from bench.wire import Connection

_CATCH_UP_S = 900.0
_REBUILD_S = 900.0
_POLL_S = 0.1


async def run(plan: Plan) -> Section:
    section = Section("rebuild")
    count = plan.sizes.held[-1]
    home = await copy_with(plan, count, "rebuild")
    plan.say(f"writing {thousands(3 * count)} changes of {thousands(count)} memories")
    await write_changes(home, USER, plan.corpus.first(count))
    server = Server(home)
    try:
        await server.start(within=_CATCH_UP_S)
        for projection in SERVING_PROJECTIONS:
            found = await _rebuild(plan, server, projection)
            section.throughputs.append(found)
            section.numbers[f"rebuild_{projection.replace('-', '_')}_events_per_s"] = found.per_second
    finally:
        await server.stop()
        await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
    section.notes.append(
        "From the order to the generation that has caught up with the log and follows it: start of the process, "
        "indexes and statistics included, comparison not. A quarter each: additions, revisions, categories, pauses. "
        "Vectors come from the cache."
    )
    return section


async def _rebuild(plan: Plan, server: Server, projection: str) -> Throughput:
    connection = await Connection.open("127.0.0.1", server.port)
    target = f"/api/v1/projections/{projection}"
    await until_quiet(plan.patience_s)
    before = (await connection.get(target)).json()
    events = sum(before["positions"].values())
    first = Cpu.now(server)
    await connection.post(f"{target}/rebuild", {"hold": True})
    deadline = time.monotonic() + _REBUILD_S
    counts: dict[str, int] = {}
    now: dict[str, Any]
    while True:
        now = (await connection.get(target)).json()
        newest = max(now["generations"], key=lambda generation: generation["number"])
        if newest["state"] == "following":
            break
        if now["rebuild"] is not None:
            counts = now["rebuild"]["counts"] or counts
        if newest["state"] == "failed" or time.monotonic() > deadline:
            raise RuntimeError(f"the rebuild of {projection} did not end: {newest}")
        await asyncio.sleep(_POLL_S)
    last = Cpu.now(server)
    connection.close()
    if counts.get("vectors_made"):
        raise RuntimeError(f"vectors were made anew: {counts}")
    seconds = last.at - first.at
    used = {role: after - first.server[role] for role, after in last.server.items()}
    found = Throughput(
        name=f"{projection}, {thousands(events // 1000 * 1000)} events, beside the serving one",
        events=events,
        seconds=round(seconds, 2),
        per_second=round(events / seconds, 1),
        server_cpu_ms={role: round(1000 * cpu / events, 3) for role, cpu in used.items()},
        other_cpu=last.others_since(first),
    )
    plan.say(f"rebuild of {projection}: {events} events in {found.seconds} s, {found.per_second}/s")
    return found
