"""Process mode beside the embedded form, on two copies of one home: starts, memory, searches, lists, adds."""

import asyncio
import shutil
import statistics
from dataclasses import replace
from typing import get_args

from bench.adding import adds
from bench.clients import Transport, Wait
from bench.corpus import Held
from bench.homes import USER, copy_with
from bench.listing import lists
from bench.load import Latency
from bench.plan import Plan, thousands
from bench.result import Beside, Section
from bench.rows import ONE_AND_MANY
from bench.searching import searches
from bench.server import Server
from bench.starting import start

_SETTLE_S = 5.0
_EMBEDDED, _PROCESSES = "embedded", "processes"


async def run(plan: Plan) -> Section:
    section = Section("forms")
    count = plan.sizes.held[1]
    embedded = await _measure(plan, count, _EMBEDDED)
    processes = await _measure(plan, count, _PROCESSES)
    for form, found in ((_EMBEDDED, embedded), (_PROCESSES, processes)):
        section.latencies += found.renamed(form)
        section.numbers |= {f"idle_pss_{form}_{part}_mb": megabytes for part, megabytes in found.parts_mb.items()}
    section.comparisons += _beside(embedded, processes)
    section.notes.append(
        f"Both hold {thousands(count)} memories. Start is to the first search, the median of {plan.sizes.starts}."
    )
    return section


class _Form:
    """What was measured of one form."""

    def __init__(self) -> None:
        self.starts: list[float] = []
        self.parts_mb: dict[str, float] = {}
        self.latencies: list[Latency] = []

    def numbers(self) -> dict[str, float]:
        found = {
            "start, warm (s)": round(statistics.median(self.starts), 2),
            "idle memory (MB PSS)": round(sum(self.parts_mb.values()), 1),
        }
        for each in self.latencies:
            name = f"{each.name}, {each.clients} clients"
            found |= {f"{name}: p50 (ms)": each.p50_ms, f"{name}: p95 (ms)": each.p95_ms, f"{name}: per s": each.rate}
        return found

    def renamed(self, form: str) -> list[Latency]:
        return [replace(each, name=f"{each.name}, {form}") for each in self.latencies]


async def _measure(plan: Plan, count: int, form: str) -> _Form:
    found = _Form()
    server = Server(await copy_with(plan, count, form), processes=form == _PROCESSES)
    try:
        for _ in range(plan.sizes.starts):
            await server.stop()
            found.starts.append(await start(plan, server, form))
        await asyncio.sleep(_SETTLE_S)
        found.parts_mb = server.memory_of_parts_mb()
        found.latencies = await _requests(plan, server, Held(plan.corpus.first(count)))
    finally:
        await server.stop()
        await asyncio.to_thread(shutil.rmtree, server.home, ignore_errors=True)
    return found


async def _requests(plan: Plan, server: Server, held: Held) -> list[Latency]:
    """Reads first: they are of what both forms hold alike."""
    transports: tuple[Transport, ...] = ("rest", "mcp")
    seconds = plan.sizes.form_s
    found: list[Latency] = []
    for transport in transports:
        found += [await searches(plan, server, held, transport, clients, seconds) for clients in ONE_AND_MANY]
    found += [await lists(plan, server, held, "rest", clients, seconds) for clients in ONE_AND_MANY]
    for wait in get_args(Wait):
        found += [await adds(plan, server, "rest", wait, USER, clients, seconds) for clients in ONE_AND_MANY]
    return found


def _beside(embedded: _Form, processes: _Form) -> list[Beside]:
    other = processes.numbers()
    return [Beside.of(name, value, other[name]) for name, value in embedded.numbers().items()]
