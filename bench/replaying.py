"""How fast each projection replays the log from its first event into an empty store, by its own announcements."""

import asyncio
import shutil
import time
from collections.abc import Callable
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

_START_S = 60.0
_REPLAY_S = 900.0
_POLL_S = 0.01
_STREAMS = {READ_MODELS: events(0).name, INDEX: events(0).name, ACCESS_LOG: access(0).name}


async def run(plan: Plan) -> Section:
    section = Section("replay")
    _, middle, large = plan.sizes.held

    def lose(folder: str) -> Callable[[Path], None]:
        return lambda home: shutil.rmtree(home / folder)

    section.throughputs.append(await _replay(plan, READ_MODELS, large, lose("postgres")))
    section.throughputs.append(await _replay_reads(plan, middle))
    section.throughputs.append(await _replay(plan, INDEX, middle, lose("index")))
    for found in section.throughputs:
        name = found.name.split(",")[0].replace("-", "_")
        section.numbers[f"replay_{name}_events_per_s"] = found.per_second
    section.notes.append(
        "From the first event into an empty store, one projection at a time, while the rest of Memlog starts and is "
        "idle: from the projection's first announcement to the one that says it is at the log's end. A read is a "
        "search that returned ten memories: eleven rows."
    )
    return section


async def _replay(plan: Plan, projection: str, count: int, lose: Callable[[Path], None]) -> Throughput:
    """Start a filled home that has lost what this projection derives."""
    home = await copy_with(plan, count, f"replay-{projection}")
    await asyncio.to_thread(lose, home)
    return await _timed(plan, home, projection, f"{projection}, {thousands(count)} memories")


async def _replay_reads(plan: Plan, count: int) -> Throughput:
    """Start a home whose log has more reads than its access log, which knows those of the fill only: hardly any."""
    home = await copy_with(plan, count, f"replay-{ACCESS_LOG}")
    plan.say(f"writing {plan.sizes.reads} reads")
    await write_reads(home, USER, plan.corpus.first(count), plan.sizes.reads)
    return await _timed(plan, home, ACCESS_LOG, f"{ACCESS_LOG}, {thousands(plan.sizes.reads)} reads")


async def _timed(plan: Plan, home: Path, projection: str, name: str) -> Throughput:
    server = Server(home)
    await until_quiet(plan.patience_s)
    watching = asyncio.create_task(_watch(server, projection))
    try:
        await server.start(within=_REPLAY_S)
        async with asyncio.timeout(_REPLAY_S):
            seen = await watching
    finally:
        watching.cancel()
        await server.stop()
        await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
    found = seen.throughput(name)
    plan.say(f"replay of {name}: {found.events} events in {found.seconds} s, {found.per_second}/s")
    return found


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

    def throughput(self, name: str) -> Throughput:
        assert self.start is not None and self.first is not None and self.last is not None
        count, seconds = self.end - self.start, self.last.at - self.first.at
        if count < 0.9 * self.end:
            raise RuntimeError(
                f"the replay of {name} was well under way, at {self.start}, before it was first heard of"
            )
        used = {role: after - self.first.server[role] for role, after in self.last.server.items()}
        return Throughput(
            name=name,
            events=count,
            seconds=round(seconds, 2),
            per_second=round(count / seconds, 1),
            server_cpu_ms={role: round(1000 * cpu / count, 3) for role, cpu in used.items()},
            other_cpu=self.last.others_since(self.first),
        )


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
