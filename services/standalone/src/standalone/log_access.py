"""How a command gets at the log itself: that of a Memlog that runs, that of one that is stopped, or one of a team."""

import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from contracts.codec import Undecodable, decode_event
from contracts.errors import ContentDamaged, LogNotTrusted
from contracts.events import LogStarted
from contracts.streams import events as events_stream
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from runtime.errors import nats_errors
from runtime.event_store import EventStore
from runtime.log_checks import LogIdentity, open_log
from runtime.nats import connect, jetstream
from runtime.settings import Settings, load_settings

from standalone.failures import HomeInUse, NoLog
from standalone.home import Home
from standalone.nats_server import nats_server, running_nats


@dataclass(frozen=True, slots=True)
class Server:
    """A connection to a NATS server. `home` is None for one that is not in a MEMLOG_HOME."""

    client: Client
    js: JetStreamContext
    settings: Settings
    home: Home | None

    @property
    def master_key_file(self) -> Path | None:
        """Where the master key is, or has to be; None when nothing says so."""
        return self.settings.master_key_file or (None if self.home is None else self.home.master_key)


@dataclass(frozen=True, slots=True)
class LogAccess:
    """A log that was found to be one: each shard begins as it has to."""

    server: Server
    events: EventStore
    identities: list[LogIdentity]

    @property
    def client(self) -> Client:
        return self.server.client

    @property
    def js(self) -> JetStreamContext:
        return self.server.js

    @property
    def home(self) -> Home | None:
        return self.server.home

    @property
    def shards(self) -> int:
        return len(self.identities)


@asynccontextmanager
async def reach_server(home: Path | None, nats_url: str | None) -> AsyncGenerator[Server]:
    """The server at `nats_url` (with the user and password of the environment), else that of this home: the one that
    runs, or one that is started for the length of the block, under the home's lock.

    Raises `NoLog` where the home has none, `HomeInUse`, `Unavailable`.
    """
    settings = load_settings(**({} if nats_url is None else {"nats_url": nats_url}))
    if nats_url is not None:
        async with _connected(settings, None) as server:
            yield server
        return
    there = Home.at(home)
    if not there.has_log():
        raise NoLog(f"there is no log in {there.root}")
    async with AsyncExitStack() as stack:
        running = running_nats(there)
        if running is None:
            try:
                opened = stack.enter_context(Home.open(home))
            except HomeInUse:
                running = running_nats(there)  # it was starting just now
                if running is None:
                    raise
            else:
                yield await stack.enter_async_context(serving(opened))
                return
        yield await stack.enter_async_context(_connected(_of_home(*running), there))


@asynccontextmanager
async def serving(home: Home, *, syncs: bool = True) -> AsyncGenerator[Server]:
    """The nats-server of an opened home alone, for the length of the block; `syncs` as in `nats_server`."""
    async with (
        nats_server(home, syncs=syncs) as nats,
        _connected(_of_home(nats.url, nats.monitor_url), home) as server,
    ):
        yield server


@asynccontextmanager
async def reach_log(home: Path | None, nats_url: str | None) -> AsyncGenerator[LogAccess]:
    """See `reach_server`; raises `NoLog` and `LogNotTrusted` as well, when the log is none."""
    async with reach_server(home, nats_url) as server, opened_log(server) as log:
        yield log


@asynccontextmanager
async def opened_log(server: Server) -> AsyncGenerator[LogAccess]:
    """The log of a server. Raises `NoLog`, `LogNotTrusted`, `Unavailable`."""
    shards = await shards_of(server)
    events = EventStore(server.client, server.js, shards)
    await events.open()
    try:
        yield LogAccess(server, events, await open_log(server.js, events, shards, may_start=False))
    finally:
        await events.close()


@asynccontextmanager
async def staged(folder: Path, lock: int | None = None) -> AsyncGenerator[Server]:
    """A nats-server of its own on a new, empty store below `folder`, to try something out or to prepare it; it is
    stopped at the end. What it holds is on the disk only after `files.sync_tree`."""
    home = staging_home(folder, lock)
    for part in (home.nats, home.run, home.logs):
        part.mkdir(mode=0o700, parents=True)
    async with serving(home, syncs=False) as server:
        yield server


def staging_home(folder: Path, lock: int | None = None) -> Home:
    """The layout of what `staged` makes."""
    return Home(Path(os.path.abspath(folder)), lock)  # noqa: PTH100 - symlinks stay as given


async def shards_of(server: Server) -> int:
    """How many shards the log of this server has, as its first event says. Raises `NoLog`, `LogNotTrusted`."""
    stream = events_stream(0).name
    with nats_errors("say which log it has"):
        try:
            # Not a direct get: that does not tell a stream that is missing from a server that is.
            first = await server.js.get_msg(stream, seq=1)
        except NotFoundError:
            raise NoLog("there is no log on this server: it has no events") from None
    try:
        started = decode_event(first.data or b"", None)[2]
    except (Undecodable, ContentDamaged):
        started = None
    if not isinstance(started, LogStarted):
        raise LogNotTrusted(f"the first event of {stream} is not its LogStarted: this is not the log of a Memlog")
    return started.shards


def _of_home(url: str, monitor_url: str) -> Settings:
    told = {"nats_url": url, "nats_user": None, "nats_password": None, "nats_monitor_url": monitor_url}
    return load_settings().model_copy(update=told)


@asynccontextmanager
async def _connected(settings: Settings, home: Home | None) -> AsyncGenerator[Server]:
    async with connect(settings, "memlog-cli") as client:
        yield Server(client, jetstream(client), settings, home)
