"""The embedded form: all of Memlog on one machine, with no Docker, no root, no key and no network.

Two Python processes (this one runs four services, the indexer has its own, because Qdrant Edge holds the interpreter
lock in every call) plus nats-server and PostgreSQL from wheels (architecture §9).
"""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import audit.container
import categorizer.container
import gateway.container
import memory_writer.container
import structlog
from contracts.streams import SERVING_PROJECTIONS
from gateway.edge import check_bind
from pydantic import SecretStr
from runtime.keys import MasterKey
from runtime.nats import connect
from runtime.service import Context, Serve, open_context
from runtime.settings import Settings
from runtime.waiting import Positions

from standalone.children import Child, ChildSpec, running
from standalone.failures import ServerDidNotStart
from standalone.home import Home
from standalone.nats_server import nats_server
from standalone.postgres_server import postgres_server

log = structlog.get_logger()
_START_TIMEOUT = 60.0
_STOP_TIMEOUT = 3.0


@dataclass(frozen=True, slots=True)
class Running:
    """A Memlog that serves. `ended` completes, with the reason, when a part of it ends by itself."""

    url: str
    home: Home
    settings: Settings
    ended: "asyncio.Future[None]"


class _Parts:
    """Services and watchers of one embedded Memlog, stopped in the reverse order of their start."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._services: list[tuple[str, asyncio.Event, asyncio.Task[None]]] = []
        self._watchers: list[asyncio.Task[None]] = []

    async def start(self, name: str, settings: Settings, serve: Serve) -> None:
        """Start a service in this process and wait until it is ready. Raises what it failed with."""
        stop, ready = asyncio.Event(), asyncio.Event()

        async def live() -> None:
            async with open_context(name, settings, stop, ready) as context:
                await serve(context)

        task = asyncio.create_task(live(), name=name)
        self._services.append((name, stop, task))
        task.add_done_callback(self._on_end)
        waiting = asyncio.ensure_future(ready.wait())
        await asyncio.wait((task, waiting), timeout=_START_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()
            raise ServerDidNotStart(f"{name} ended while it was starting")
        if not ready.is_set():
            raise ServerDidNotStart(f"{name} was not ready within {_START_TIMEOUT:.0f} s")

    def watch(self, child: Child) -> None:
        """Notice a server or process that ends by itself."""

        async def until_it_ends() -> None:
            await child.wait()
            raise child.failure("ended by itself")

        task = asyncio.create_task(until_it_ends(), name=f"watch {child.name}")
        task.add_done_callback(self._on_end)
        self._watchers.append(task)

    def _on_end(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled():
            return
        error = task.exception()
        if self.ended.done():
            return
        if error is not None:
            self.ended.set_exception(error)
        else:
            self.ended.set_result(None)

    async def or_fail(self, work: Coroutine[Any, Any, None]) -> None:
        """Await `work`, unless a part ends meanwhile: then raise why."""
        task = asyncio.ensure_future(work)
        await asyncio.wait((task, self.ended), return_when=asyncio.FIRST_COMPLETED)
        if self.ended.done() and not task.done():
            task.cancel()
            self.ended.result()
            raise ServerDidNotStart("a part of Memlog ended while it was starting")
        await task

    async def stop(self) -> None:
        """Stop watching, then stop the services one after the other: gateway first, so that nothing new comes in."""
        for watcher in self._watchers:
            watcher.cancel()
        for name, stop, task in reversed(self._services):
            stop.set()
            _, late = await asyncio.wait((task,), timeout=_STOP_TIMEOUT)
            if late:
                log.warning("service_cut_off", service=name)
                task.cancel()
                await asyncio.wait((task,), timeout=1.0)
        if self.ended.done():
            self.ended.exception()  # retrieved: whoever awaited it has seen it


def ensure_master_key(home: Home, path: Path) -> None:
    """A new, empty home gets a master key at `path`. Where there is a log already, the key must be there: raises
    `ConfigurationError` saying how to restore it."""
    if not path.exists() and not any(home.nats.glob("jetstream/*")):
        MasterKey.create(path)
    MasterKey.load(path)


@asynccontextmanager
async def embedded(home: Home, settings: Settings) -> AsyncGenerator[Running]:
    """Start all of Memlog on `home` (opened, so locked); stop it in order at the end. Raises `MemlogError` saying
    what is wrong."""
    check_bind(settings.host, authenticated=settings.auth != "off")
    # Before anything is started: a port that is taken is the most common trouble.
    listener = gateway.container.bind(settings.host, settings.port)
    async with AsyncExitStack() as stack:
        stack.callback(listener.close)
        master_key = settings.master_key_file or home.master_key
        ensure_master_key(home, master_key)
        parts = _Parts()
        nats = await stack.enter_async_context(nats_server(home))
        postgres = await stack.enter_async_context(postgres_server(home))
        settings = settings.model_copy(
            update={
                "nats_url": nats.url,
                "nats_monitor_url": nats.monitor_url,
                "postgres_dsn": SecretStr(postgres.dsn),
                "postgres_reader_dsn": SecretStr(postgres.reader_dsn),
                "master_key_file": master_key,
                "index_path": home.index,
                "cache_path": home.cache,
                # The lock on the home says that nobody else is alive: leases of a dead process need not run out.
                "sole_instance": True,
            }
        )
        indexer = await stack.enter_async_context(running(home, _indexer(settings)))
        stack.push_async_callback(parts.stop)
        for child in (nats.child, postgres.child, indexer):
            parts.watch(child)
        await parts.start(audit.container.NAME, settings, audit.container.serve)
        await parts.or_fail(_projections_answer(settings))
        await parts.start(memory_writer.container.NAME, settings, memory_writer.container.serve)
        await parts.start(categorizer.container.NAME, settings, categorizer.container.serve)

        async def serve_gateway(context: Context) -> None:
            await gateway.container.serve(context, listener)

        await parts.start(gateway.container.NAME, settings, serve_gateway)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        yield Running(f"http://{host}:{listener.getsockname()[1]}", home, settings, parts.ended)


def _indexer(settings: Settings) -> ChildSpec:
    """The indexer's process: the same code as anywhere else, configured by environment."""
    fields = settings.model_dump(mode="python", exclude_none=True, include=_INDEXER_SETTINGS)
    values = {name: v.get_secret_value() if isinstance(v, SecretStr) else v for name, v in fields.items()}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MEMLOG_")},
        **{f"MEMLOG_{name.upper()}": str(value) for name, value in values.items()},
        # One arena instead of one a thread: the embedder's threads would keep tens of megabytes each.
        "MALLOC_ARENA_MAX": "2",
    }
    return ChildSpec(name="indexer", command=(sys.executable, "-m", "indexer"), env=environment, stop_grace=3.0)


_INDEXER_SETTINGS = {
    "nats_url", "nats_monitor_url", "allow_unsafe_sync", "shards", "replicas", "command_retention", "access_retention",
    "sole_instance", "lease_ttl", "master_key_file", "index_path", "cache_path", "embed_threads", "log_level",
}  # fmt: skip


async def _projections_answer(settings: Settings) -> None:
    """Wait until every serving projection has checked the log and says where it is."""
    async with connect(settings, "memlog-start") as client:
        positions = Positions(client)
        async with asyncio.timeout(_START_TIMEOUT):
            for shard in range(settings.shards):
                for name in SERVING_PROJECTIONS:
                    while await positions.ask(name, shard, timeout=0.5) is None:  # noqa: ASYNC110 - another process has to come up
                        await asyncio.sleep(0.02)
