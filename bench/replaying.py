"""How fast each projection replays the log from its first event into an empty store, by its own announcements."""

import asyncio
import shutil
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nats
from contracts.api import Announcement
from contracts.streams import ACCESS_LOG, INDEX, READ_MODELS, access, events
from contracts.subjects import announcement_subject
from nats.aio.msg import Msg
from runtime.nats import jetstream

from bench.homes import USER, copy_with
from bench.load import Cpu, until_quiet
from bench.log_writing import write_reads
from bench.nats_address import nats_address
from bench.plan import Plan, thousands
from bench.result import Section, Throughput
from bench.server import Server
from bench.wire import Connection

_START_S = 60.0
_REPLAY_S = 900.0
_POLL_S = 0.01
_STREAMS = {READ_MODELS: events(0).name, INDEX: events(0).name, ACCESS_LOG: access(0).name}


async def run(plan: Plan) -> Section:
    section = Section("replay")
    small, middle, large = plan.sizes.held
    found = {
        "index, embedding": await _replay_index(plan, small, cached=False),
        "access-log": await _replay_reads(plan, middle),
        "index": await _replay_index(plan, large, cached=True),
        "read-models": await _replay_read_models(plan, large),
    }
    section.throughputs += found.values()
    section.numbers |= {f"replay {name} (events/s)": each.per_second for name, each in found.items()}
    section.notes.append(
        "From the first event into an empty store, one projection at a time, while the rest of Memlog starts and is "
        "idle: from the projection's first announcement to the one that says it is at the log's end. A read is a "
        "search that returned ten memories: eleven rows."
    )
    return section


async def _replay_read_models(plan: Plan, count: int) -> Throughput:
    home = await copy_with(plan, count, f"replay-{READ_MODELS}")
    await asyncio.to_thread(shutil.rmtree, home / "postgres")
    async with _replayed(Server(home), READ_MODELS, plan) as seen:
        return seen.throughput(f"{READ_MODELS}, {thousands(count)} memories", plan)


async def _replay_reads(plan: Plan, count: int) -> Throughput:
    """The log gets many more reads than the access log knows, which are those of the fill: hardly any."""
    home = await copy_with(plan, count, f"replay-{ACCESS_LOG}")
    plan.say(f"writing {plan.sizes.reads} reads")
    await write_reads(home, USER, plan.corpus.first(count), plan.sizes.reads)
    async with _replayed(Server(home), ACCESS_LOG, plan) as seen:
        return seen.throughput(f"{ACCESS_LOG}, {thousands(plan.sizes.reads)} reads", plan)


async def _replay_index(plan: Plan, count: int, cached: bool) -> Throughput:
    home = await copy_with(plan, count, f"replay-{INDEX}")
    await asyncio.to_thread(shutil.rmtree, home / "index")
    server = Server(home, settings={} if cached else {"MEMLOG_EMBEDDING_CACHE_MB": "0"})
    how = "vectors from the cache" if cached else "embedding every text"
    async with _replayed(server, INDEX, plan) as seen:
        made, remembered = await _vectors(server)
        if (made == 0, remembered == 0) != (cached, not cached):
            raise RuntimeError(f"{how}: {made} vectors were made, {remembered} came from the cache")
        return seen.throughput(f"{INDEX}, {thousands(count)} memories, {how}", plan)


async def _vectors(server: Server) -> tuple[int, int]:
    """How many the embedder has made since the start, and how many came from its cache."""
    connection = await Connection.open("127.0.0.1", server.port)
    services = (await connection.get("/api/v1/health")).json()["services"]
    connection.close()
    facts = next(service["facts"] for service in services if service["service"] == "indexer")
    return facts["vectors_made"], facts["vectors_from_cache"]


@asynccontextmanager
async def _replayed(server: Server, projection: str, plan: Plan) -> AsyncGenerator["_Seen"]:
    """Start on a home that lacks what the projection derives; yields when it is at the end. The home goes."""
    await until_quiet(plan.patience_s)
    watching = asyncio.create_task(_watch(server, projection))
    try:
        await server.start(within=_REPLAY_S)
        async with asyncio.timeout(_REPLAY_S):
            seen = await watching
        yield seen
    finally:
        watching.cancel()
        await server.stop()
        await asyncio.to_thread(shutil.rmtree, server.home, ignore_errors=True)


@dataclass(slots=True)
class _Seen:
    """What a projection said, from where it started to where the log ends."""

    end: int
    start: int | None = None
    first: Cpu | None = None
    last: Cpu | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, at: int, server: Server) -> None:
        if self.done.is_set():
            return
        if self.first is None:
            self.start, self.first = at, Cpu.now(server)
        if at >= self.end:
            self.last = Cpu.now(server)
            self.done.set()

    def throughput(self, name: str, plan: Plan) -> Throughput:
        assert self.start is not None and self.first is not None and self.last is not None
        count, seconds = self.end - self.start, self.last.at - self.first.at
        if count < 0.9 * self.end:
            raise RuntimeError(
                f"the replay of {name} was well under way, at {self.start}, before it was first heard of"
            )
        used = {role: after - self.first.server[role] for role, after in self.last.server.items()}
        found = Throughput(
            name=name,
            events=count,
            seconds=round(seconds, 2),
            per_second=round(count / seconds, 1),
            server_cpu_ms={role: round(1000 * cpu / count, 3) for role, cpu in used.items()},
            other_cpu=self.last.others_since(self.first),
        )
        plan.say(f"replay of {name}: {found.events} events in {found.seconds} s, {found.per_second}/s")
        return found


async def _watch(server: Server, projection: str) -> _Seen:
    """Connect as soon as the log's server is up, which is some seconds before any projection, and listen."""
    url = await _until_up(server.home)
    client = await nats.connect(url, allow_reconnect=False)  # pyright: ignore[reportUnknownMemberType]
    try:
        seen = _Seen((await jetstream(client).stream_info(_STREAMS[projection])).state.last_seq)

        async def heard(message: Msg) -> None:
            seen.hear(Announcement.model_validate_json(message.data).sequence, server)

        await client.subscribe(announcement_subject(projection, 0), cb=heard)  # pyright: ignore[reportUnknownMemberType]
        await seen.done.wait()
        return seen
    finally:
        await client.close()


async def _until_up(home: Path) -> str:
    deadline = time.monotonic() + _START_S
    while (url := nats_address(home)) is None:
        if time.monotonic() > deadline:
            raise TimeoutError("the log's server did not start")
        await asyncio.sleep(_POLL_S)
    return url
