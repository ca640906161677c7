"""The embedded form: all of Memlog on one machine, with no Docker, no root, no key and no network.

Two Python processes (this one runs four services, the indexer has its own, because Qdrant Edge holds the interpreter
lock in every call) plus nats-server and PostgreSQL from wheels (architecture §9). With `processes`, each service is a
process of its own, as in compose and Kubernetes.
"""

import asyncio
import ipaddress
import secrets
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.auth.tokens import read_admin_token
from gateway.listening import bind, check_bind
from pydantic import SecretStr
from runtime.keys import MasterKey
from runtime.ops_port import ops_port
from runtime.settings import Settings, as_environment
from runtime.tasks import end

from standalone.children import ChildSpec, running
from standalone.files import write_atomically
from standalone.home import Home
from standalone.nats_server import NatsServer, end_when_writable, nats_server
from standalone.postgres_server import PostgresServer, postgres_server
from standalone.supervision import Bare, Parts, projections_answer

_TOGETHER = ("gateway", "memory-writer", "categorizer", "audit")
"""The services of the first process, unless each has its own."""
_OPS_PORTS = ("indexer", "gateway", "memory_writer", "categorizer", "audit")
"""Each process has an ops port of its own: those of the others follow the first process's, in this order."""


_ServeTogether = Callable[[Parts, Settings, socket.socket], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Running:
    """A Memlog that serves. `ended` fails with the reason when a part of it is beyond help."""

    url: str
    home: Home
    settings: Settings
    ended: "asyncio.Future[None]"


def ensure_master_key(home: Home, path: Path) -> None:
    """A new, empty home gets a master key at `path`. Where there is a log already, the key must be there: raises
    `ConfigurationError` saying how to restore it."""
    if not path.exists() and not any(home.nats.glob("jetstream/*")):
        MasterKey.create(path)
    MasterKey.load(path)


def ensure_admin_token(home: Home, settings: Settings) -> Path | None:
    """Where the operator's token stands; None while authentication is off. In the home one is made, once: another file
    has to be there. Raises `ConfigurationError`."""
    if settings.auth == "off":
        return None
    path = settings.admin_token_file or home.admin_token
    if path == home.admin_token and not path.exists():
        write_atomically(path, secrets.token_hex(32) + "\n")
    read_admin_token(path, settings.secrets_path)
    return path


def reachable(host: str) -> str:
    """The address at which this machine reaches a server that listens on `host`, as it stands in a URL."""
    if is_unspecified(host):
        host = "::1" if ":" in host else "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def is_unspecified(host: str) -> bool:
    """Whether it means all addresses of this machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


@asynccontextmanager
async def embedded(home: Home, settings: Settings, *, processes: bool = False) -> AsyncGenerator[Running]:
    """Start all of Memlog on `home` (opened, so locked); stop it in order at the end. Raises `MemlogError` saying
    what is wrong."""
    check_bind(settings.host, authenticated=settings.auth != "off")
    # Before anything is started: a port that is taken is the most common trouble.
    listener = bind(settings.host, settings.port)
    port: int = listener.getsockname()[1]
    async with AsyncExitStack() as stack:
        stack.callback(listener.close)
        master_key = settings.master_key_file or home.master_key
        ensure_master_key(home, master_key)
        admin_token = ensure_admin_token(home, settings)
        together = () if processes else _TOGETHER
        parts = Parts(await stack.enter_async_context(ops_port(settings, *together)))
        stack.push_async_callback(parts.stop)

        @asynccontextmanager
        async def start_nats(before: NatsServer | None) -> AsyncGenerator[NatsServer]:
            async with nats_server(home, again=None if before is None else before.address) as server:
                watching = asyncio.create_task(end_when_writable(server, home))
                try:
                    yield server
                finally:
                    await end(watching)

        def start_postgres(_: PostgresServer | None) -> AbstractAsyncContextManager[PostgresServer]:
            return postgres_server(home)

        settings = settings.model_copy(
            update={
                "port": port,
                "master_key_file": master_key,
                "admin_token_file": admin_token,
                # What it was told to listen on is a name of its own.
                "allowed_hosts": (*settings.allowed_hosts, *([] if is_unspecified(settings.host) else [settings.host])),
                "index_path": home.index,
                "cache_path": home.cache,
                "anchor_file": settings.anchor_file or home.anchors,
                # The lock on the home says that nobody else is alive: leases of a dead process need not run out.
                "sole_instance": True,
            }
        )

        async def start_log() -> dict[str, str]:
            """With the indexer, which needs nothing else, and as long to load as all the others together."""
            nats = await parts.keep("nats-server", start_nats)
            log = {"nats_url": nats.url, "nats_monitor_url": nats.monitor_url}
            await _keep_process(parts, home, "indexer", settings.model_copy(update=log))
            return log

        async def load_services() -> _ServeTogether | None:
            return None if processes else await asyncio.to_thread(_serve_together)

        log, postgres, serve_together = await asyncio.gather(
            start_log(), parts.keep("postgres", start_postgres), load_services()
        )
        tables = {"postgres_dsn": SecretStr(postgres.dsn), "postgres_reader_dsn": SecretStr(postgres.reader_dsn)}
        settings = settings.model_copy(update={**log, **tables})
        if serve_together is None:
            listener.close()  # the gateway's own process listens
            await _keep_process(parts, home, "audit", settings)
            await parts.or_fail(projections_answer(settings))
            for module in ("memory_writer", "categorizer", "gateway"):
                await _keep_process(parts, home, module, settings)
        else:
            await serve_together(parts, settings, listener)
        yield Running(f"http://{reachable(settings.host)}:{port}", home, settings, parts.ended)


def _serve_together() -> _ServeTogether:
    """The services of this process, loaded while the servers start. Where each has its own process, never."""
    from standalone.together import serve_together

    return serve_together


async def _keep_process(parts: Parts, home: Home, module: str, settings: Settings) -> None:
    """Keep `python -m <module>` running: the same code as anywhere else, configured by its environment."""
    if settings.ops_port is not None:
        settings = settings.model_copy(update={"ops_port": settings.ops_port + 1 + _OPS_PORTS.index(module)})
    spec = ChildSpec(
        name=module.replace("_", "-"),
        command=(sys.executable, "-m", module),
        env=as_environment(settings),
        stop_grace=3.0,
    )

    @asynccontextmanager
    async def start(_: Bare | None) -> AsyncGenerator[Bare]:
        async with running(home, spec) as child:
            yield Bare(child)

    await parts.keep(spec.name, start)
