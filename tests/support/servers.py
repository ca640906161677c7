"""Real servers for tests, started the way `memlog up` starts them, and what nearly every test of the log needs."""

import asyncio
import inspect
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from contracts.streams import DEAD
from nats.aio.client import Client
from nats.js import JetStreamContext
from runtime.event_store import EventStore
from runtime.keys import KeyStore, MasterKey
from runtime.leases import Leases
from runtime.log_checks import open_log
from runtime.nats import connect, declare_all, jetstream
from runtime.settings import Settings
from runtime.tasks import end
from standalone.home import Home
from standalone.nats_server import NatsServer, nats_server


@asynccontextmanager
async def temporary_home() -> AsyncGenerator[Home]:
    """An open MEMLOG_HOME with a master key, in a folder of its own that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="memlog-"))
    try:
        with Home.open(folder / "home") as home:
            MasterKey.create(home.master_key)
            yield home
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def settings_for(home: Home, server: NatsServer, **overrides: Any) -> Settings:
    """Settings of a service that uses this server."""
    values: dict[str, Any] = {
        "nats_url": server.url,
        "nats_monitor_url": server.monitor_url,
        "master_key_file": home.master_key,
        "index_path": home.index,
        "cache_path": home.cache,
        "lease_ttl": 1.0,
        "log_format": "console",
    }
    return Settings(**(values | overrides))


class Servers:
    """A nats-server that a test may stop, kill and start again: same store, port and password, so clients come back."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._stack = AsyncExitStack()
        self._server: NatsServer | None = None
        self._port: int | None = None
        self._password = secrets.token_urlsafe(24)

    @property
    def nats(self) -> NatsServer:
        assert self._server is not None, "the server is stopped"
        return self._server

    async def start(self) -> None:
        with mock.patch("standalone.nats_server.secrets.token_urlsafe", return_value=self._password):
            self._server = await self._stack.enter_async_context(nats_server(self.home, port=self._port))
        self._port = int(self._server.url.rpartition(":")[2])

    async def stop(self) -> None:
        self._server = None
        await self._stack.aclose()
        self._stack = AsyncExitStack()

    async def kill(self) -> None:
        """End the server with SIGKILL."""
        os.kill(self.nats.child.pid, signal.SIGKILL)
        await self.nats.child.wait()
        await self.stop()

    def settings(self, **overrides: Any) -> Settings:
        return settings_for(self.home, self.nats, **overrides)


@dataclass(frozen=True, slots=True)
class Log:
    """An opened, empty log: what `runtime.service.open_context` gives to a service."""

    settings: Settings
    client: Client
    js: JetStreamContext
    events: EventStore
    keys: KeyStore

    @property
    def shards(self) -> int:
        return self.settings.shards

    async def leases(self, owner: str, *, ttl: float = 1.0, sole: bool = False) -> Leases:
        return await Leases.open(self.js, owner, ttl, 1, sole)


@asynccontextmanager
async def opened(settings: Settings, *, start: bool = True) -> AsyncGenerator[Log]:
    """Connect and declare; with `start`, the log gets its first events."""
    assert settings.master_key_file is not None
    async with connect(settings, "test") as client:
        js = jetstream(client)
        await declare_all(js, settings, settings.shards)
        events = EventStore(client, js, settings.shards)
        await events.open()
        if start:
            await open_log(js, events, settings.shards)
        try:
            yield Log(settings, client, js, events, KeyStore(js, MasterKey.load(settings.master_key_file)))
        finally:
            await events.close()


async def empty(js: JetStreamContext) -> None:
    """Delete every stream of the server."""
    names = [info.config.name or "" for info in await js.streams_info()]
    await asyncio.gather(*(js.delete_stream(name) for name in names))


async def dead_letters(js: JetStreamContext) -> list[tuple[bytes, dict[str, str]]]:
    """All dead letters with their headers, oldest first."""
    count = (await js.stream_info(DEAD.name)).state.messages
    found = [await js.get_msg(DEAD.name, seq=n + 1) for n in range(count)]
    return [(letter.data or b"", letter.headers or {}) for letter in found]  # pyright: ignore[reportUnknownMemberType]


async def eventually(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait until the condition holds; fails the test when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        holds = condition()
        if inspect.isawaitable(holds):
            holds = await holds
        if holds:
            return
        assert time.monotonic() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def running(work: Awaitable[Any]) -> AsyncGenerator[asyncio.Future[Any]]:
    """Background work for the length of the block, then cancelled. Work that failed fails the test."""
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        assert await end(task, within=60), "the work did not stop within 60 s of its cancellation"
    if not task.cancelled() and task.exception() is not None:
        raise task.exception() or AssertionError
