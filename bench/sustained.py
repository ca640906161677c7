"""Adds as fast as eight clients can, until all are searchable, against the embedder alone on the same texts."""

import time
from contextlib import AsyncExitStack

from indexer.embedding.minilm import MiniLM

from bench.clients import MemoryClient, connect
from bench.embedder import texts_per_second
from bench.filling import drain
from bench.load import Cpu, Latency, closed_loop, until_quiet
from bench.plan import Plan
from bench.result import Section
from bench.server import Server, running

_CLIENTS = 8
_USER = "writer"
_SAMPLE = 2_000
"""Texts that the embedder alone is measured on, before and after: the better of the two counts."""


async def run(plan: Plan) -> Section:
    section = Section("sustained")
    embedder = MiniLM.open(plan.home("graph"), 1)
    await until_quiet(plan.patience_s)
    sample = plan.texts.memories(_SAMPLE)
    alone = [texts_per_second(embedder, sample)]
    plan.say(f"the embedder alone, one thread: {alone[0]:.0f} texts/s")
    added: list[str] = []
    async with running(plan.home("sustained")) as server:
        before = Cpu.now(server)
        row = await _accepted(plan, server, added)
        accepted_s = time.perf_counter() - before.at
        plan.say(f"accepted {len(added)} at {row.rate}/s; waiting until all are searchable")
        await drain(plan, server, _USER)
        after = Cpu.now(server)
    all_s = after.at - before.at
    alone.append(texts_per_second(embedder, added[:_SAMPLE]))
    sustained = len(added) / all_s
    section.latencies.append(row)
    section.numbers |= {
        "accepted_adds_per_s": row.rate,
        "searchable_adds_per_s": round(sustained, 1),
        "sustained_other_cores": after.others_since(before),
        "drain_s": round(all_s - accepted_s, 1),
        "embedder_alone_per_s": round(max(alone), 1),
        "searchable_to_embedder": round(sustained / max(alone), 4),
    }
    plan.say(f"{len(added)} adds searchable after {all_s:.1f} s: {sustained:.0f}/s; embedder alone {max(alone):.0f}/s")
    return section


async def _accepted(plan: Plan, server: Server, added: list[str]) -> Latency:
    async def add(client: MemoryClient) -> None:
        text = plan.texts.memory()
        await client.add(text, "accepted")
        added.append(text)

    async with AsyncExitStack() as stack:
        clients = [await connect("rest", server.port, _USER) for _ in range(_CLIENTS)]
        for client in clients:
            stack.push_async_callback(client.close)
        return await closed_loop("add rest accepted, sustained", server, clients, add, plan.sizes.sustained_s)
