"""What every service process does: settings, logs, the connection, the checks of the log, and an ordered stop."""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

try:
    import uvloop
except ModuleNotFoundError:  # not made for Windows
    uvloop = None

import structlog
from contracts.errors import ConfigurationError, LogNotTrusted, MemlogError, Unavailable
from contracts.streams import events as events_stream
from nats.aio.client import Client
from nats.js import JetStreamContext

from runtime.errors import nats_errors
from runtime.event_store import EventStore
from runtime.keys import KeyStore, MasterKey
from runtime.leases import Leases
from runtime.log_checks import LogIdentity, open_log
from runtime.logging import configure_logging
from runtime.metrics import measuring
from runtime.nats import connect, declare_all, jetstream, require_sync_always, wait_declared
from runtime.ops_port import ops_port
from runtime.probes import Probe, Probes
from runtime.settings import Settings, load_settings
from runtime.tasks import end
from runtime.telemetry import trace_as
from runtime.tracing import tracing

log = structlog.get_logger()
REFUSED = 78
"""Exit status (EX_CONFIG of sysexits.h): settings or log are not to be trusted; a person has to look."""
_PATIENCE_S, _PAUSE_S = 30.0, 0.5
"""How long a starting service waits for a log that cannot be opened yet, and how often it tries."""
STOP_TIMEOUT = 4.0
"""Seconds that a service may take to stop; what runs longer is cut off (nothing acknowledged depends on it)."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a running service is given: its connection and the log, opened and checked."""

    name: str
    settings: Settings
    client: Client
    js: JetStreamContext
    events: EventStore
    keys: KeyStore
    leases: Leases
    log: list[LogIdentity]
    ready: asyncio.Event
    stop: asyncio.Event
    probe: Probe

    @property
    def shards(self) -> int:
        return self.settings.shards


Serve = Callable[[Context], Awaitable[None]]
"""A service: sets `ready`, works until `stop` is set, then ends in good order."""


@asynccontextmanager
async def open_context(
    name: str,
    settings: Settings,
    stop: asyncio.Event,
    ready: asyncio.Event | None = None,
    probes: Probes | None = None,
) -> AsyncGenerator[Context]:
    """Connect, declare the streams, check the log and the master key. `probes` are told of the service. Raises
    `MemlogError` saying what is wrong."""
    trace_as(name)
    structlog.contextvars.bind_contextvars(service=name)
    if settings.master_key_file is None:
        raise ConfigurationError("MEMLOG_MASTER_KEY_FILE is not set: content is sealed and needs it")
    master = MasterKey.load(settings.master_key_file, settings.secrets_path)
    async with connect(settings, name, lost=stop.set) as client:
        js = jetstream(client)
        await require_sync_always(settings)
        keys = KeyStore(js, master)
        events = EventStore(client, js, settings.shards)
        await events.open()
        try:
            identity, leases = await _open_log(name, settings, js, keys, events, stop)
            probe = Probe(name, client, ready or asyncio.Event(), stop)
            if probes is not None:
                probes.add(probe)
            yield Context(name, settings, client, js, events, keys, leases, identity, probe.ready, stop, probe)
            if client.is_closed:
                raise Unavailable("the NATS server has closed the connection: its log says why")
        finally:
            await events.close()


async def _open_log(
    name: str, settings: Settings, js: JetStreamContext, keys: KeyStore, events: EventStore, stop: asyncio.Event
) -> tuple[list[LogIdentity], Leases]:
    """The log, declared and checked. Servers that agree on another leader meanwhile are waited for."""
    owner = f"{name}@{socket.gethostname()}:{os.getpid()}"
    until = asyncio.get_running_loop().time() + _PATIENCE_S
    while True:
        try:
            with nats_errors("declare the streams"):
                if settings.declare_streams:
                    await declare_all(js, settings, settings.shards)
                else:
                    await wait_declared(js, settings)
            known = await keys.check_master()
            identity = await open_log(js, events, settings.shards, may_start=not known)
            await _require_keys(events, keys, settings.shards)
            with nats_errors("open the leases"):
                leases = await Leases.open(js, owner, settings.lease_ttl, settings.replicas, settings.sole_instance)
            return identity, leases
        except Unavailable as error:
            if stop.is_set() or asyncio.get_running_loop().time() > until:
                raise
            log.warning("log_not_open_yet", reason=error.message)
        await asyncio.sleep(_PAUSE_S)


async def _require_keys(events: EventStore, keys: KeyStore, shards: int) -> None:
    """Without its keys every event would look erased, and be passed over in silence."""
    # In this order: a user's key is there before the user's first event.
    last = [await events.last_sequence(events_stream(shard).name) for shard in range(shards)]
    if max(last) > 1 and not await keys.check_master():
        raise ConfigurationError("the log has events but no data key: restore MEMLOG_KEYS from a key backup")


async def run_until_stopped(stop: asyncio.Event, *work: Coroutine[Any, Any, None]) -> None:
    """Run background work, each owned by this call, until `stop` is set. Work that fails, or ends by itself, stops
    the service: its error propagates."""
    tasks = [asyncio.ensure_future(w) for w in work]
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
                raise RuntimeError(f"{task.get_coro()} ended although nobody stopped it")
    finally:
        if not await end(*tasks, stopping, within=STOP_TIMEOUT):
            log.warning("work_cut_off", after_s=STOP_TIMEOUT)


async def _main(name: str, serve: Serve, settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with ops_port(settings, name) as probes, open_context(name, settings, stop, probes=probes) as context:
        log.info("service_starting", name=name, shards=settings.shards)
        await serve(context)
    log.info("service_stopped", name=name)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run an event loop to the end of `main`, on uvloop where there is one."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop is not None else None) as runner:
        runner.run(main)


def run_service(name: str, serve: Serve) -> None:
    """Entry point of `python -m <service>`. Exit status: 0 stopped on request, 1 failed (starting again may help),
    `REFUSED` when it will not serve like this (the reason is on stderr): starting again cannot help."""
    # What was loaded stays: the collector need not look through it while the service runs, nor once more at the end.
    gc.freeze()
    try:
        settings = load_settings()
        configure_logging(name, settings.log_level, settings.log_format)
        with tracing(name), measuring(name):
            run(_main(name, serve, settings))
    except MemlogError as error:
        sys.stderr.write(f"{name}: {error.message}\n")
        sys.exit(REFUSED if isinstance(error, ConfigurationError | LogNotTrusted) else 1)
