"""The NATS connection, and streams declared idempotently from data."""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import nats
import structlog
from contracts.errors import ConfigurationError, LogNotTrusted, Unavailable
from contracts.permissions import LEASES, inbox_prefix
from contracts.streams import GLOBAL, WRITER_CONSUMER, StreamSpec, is_truth, of_shard
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RawStreamMsg, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError, ServerError

from runtime.errors import NATS_FAILURES, NO_MESSAGE, NO_STORE, STREAM_EXISTS, STREAM_OFFLINE
from runtime.http_client import http_client
from runtime.settings import Settings, comma_separated

log = structlog.get_logger()

_CONNECT_TIMEOUT = 10.0
REQUEST_TIMEOUT = 5.0
"""Seconds that a JetStream request may take before it counts as unavailable."""
_LOOK_S = 0.25
_STORE_PAUSES_S = (0.05, 0.2, 0.5, 1.0)
_PATIENCE_S = 60.0


@asynccontextmanager
async def connect(settings: Settings, name: str, lost: Callable[[], object] = lambda: None) -> AsyncGenerator[Client]:
    """A connection that reconnects for ever, but where a server says that it must not: then it is closed, and `lost` is
    called. Raises `Unavailable` when no server answers at start.

    Leaving closes it at once: whoever publishes has awaited its acks before.
    """

    async def on_error(error: Exception) -> None:
        log.warning("nats_error", error=str(error) or type(error).__name__)

    async def on_disconnect() -> None:
        log.warning("nats_disconnected")

    async def on_reconnect() -> None:
        log.info("nats_reconnected")

    async def on_closed() -> None:
        if not leaving:
            log.error("nats_closed")
            lost()

    leaving = False
    addresses, options = _addresses(settings.nats_url)
    if settings.nats_user is not None and settings.nats_password is not None:
        options = {
            "user": settings.nats_user,
            "password": settings.nats_password.get_secret_value(),
            "inbox_prefix": inbox_prefix(settings.nats_user),
        }
    try:
        # A client that reconnects for ever would also wait for ever for its first server.
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            client = await nats.connect(  # pyright: ignore[reportUnknownMemberType]
                addresses,
                name=name,
                error_cb=on_error,
                disconnected_cb=on_disconnect,
                reconnected_cb=on_reconnect,
                closed_cb=on_closed,
                connect_timeout=3,
                # The default of 2 s would be most of the time in which service has to be back after a server restart.
                reconnect_time_wait=0.2,  # pyright: ignore[reportArgumentType]
                max_reconnect_attempts=-1,
                ping_interval=10,
                pending_size=64 * 1024 * 1024,
                allow_reconnect=True,
                **options,  # pyright: ignore[reportArgumentType]
            )
    except NATS_FAILURES as error:
        raise Unavailable(
            f"no NATS server answers at {_without_password(settings.nats_url)} ({error or type(error).__name__}): "
            "start it, or set MEMLOG_NATS_URL"
        ) from error
    try:
        yield client
    finally:
        leaving = True
        with suppress(*NATS_FAILURES):  # the server may be gone already
            await client.close()


def _addresses(urls: str) -> tuple[list[str], dict[str, object]]:
    """Addresses without credentials, and the credentials of the first: they count for all servers of a cluster, also
    for those that nobody named, of which a client hears from the others."""
    parts = [urlsplit(url if "//" in url else f"nats://{url}") for url in comma_separated(urls)]
    first = parts[0] if parts else urlsplit("")
    options: dict[str, object] = {}
    if first.username is not None and first.password is not None:
        options = {"user": unquote(first.username), "password": unquote(first.password)}
    elif first.username is not None:
        options = {"token": unquote(first.username)}
    return [part._replace(netloc=part.netloc.rpartition("@")[2]).geturl() for part in parts], options


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@,]*@", "//", url)


def jetstream(client: Client) -> JetStreamContext:
    """A JetStream context; its requests time out after `REQUEST_TIMEOUT`."""
    return client.jetstream(timeout=REQUEST_TIMEOUT)  # pyright: ignore[reportUnknownMemberType]


async def last_message(js: JetStreamContext, stream: str, subject: str) -> RawStreamMsg | None:
    """The last message of a subject by the word of the stream's leader: a replica may be a moment behind. None when
    there is none; a stream that is missing is a failure as any other of NATS, which is raised."""
    try:
        return await js.get_msg(stream, subject=subject)
    except NotFoundError as error:
        if error.err_code != NO_MESSAGE:
            raise
        return None


async def subscribe(
    client: Client, subject: str, handle: Callable[[Msg], Awaitable[None]], queue: str = ""
) -> Subscription:
    """A core NATS subscription with a callback; messages of one subscription are handled one after the other."""
    return await client.subscribe(subject, queue=queue, cb=handle)  # pyright: ignore[reportUnknownMemberType]


async def answered(client: Client, waiting: Iterable[asyncio.Future[Any]]) -> None:
    """Wait until all of these answers are there, for at most `REQUEST_TIMEOUT`; less when the connection was lost
    meanwhile, since what was on its way then never arrives."""
    loop, reconnects = asyncio.get_running_loop(), client.stats["reconnects"]
    until = loop.time() + REQUEST_TIMEOUT
    missing = {*waiting}
    while missing and loop.time() < until:
        _, missing = await asyncio.wait(missing, timeout=min(_LOOK_S, until - loop.time()))
        if client.stats["reconnects"] != reconnects:
            return


async def require_sync_always(settings: Settings) -> None:
    """Refuse to serve on a server that acknowledges before the disk has it (architecture §2).

    The server's default loses all acknowledged writes of the last two minutes on a power cut. Of a cluster's servers,
    each that answers has to sync always, and more than half have to answer: without the others it acknowledges, too.
    Raises `LogNotTrusted`, also when too few can be asked.
    """
    if settings.allow_unsafe_sync:
        log.warning("unsafe_sync_allowed", consequence="a power cut can lose acknowledged writes")
        return
    remedy = "set `jetstream { sync_interval: always }` on the server, or MEMLOG_ALLOW_UNSAFE_SYNC=1 to accept losses"
    if settings.nats_monitor_url is None:
        raise ConfigurationError(f"MEMLOG_NATS_MONITOR_URL is not set, so durability cannot be checked; {remedy}")
    servers = comma_separated(settings.nats_monitor_url)
    answers = await asyncio.gather(*map(_syncs_always, servers))
    for server, syncs in zip(servers, answers, strict=True):
        if syncs is False:
            raise LogNotTrusted(f"the NATS server at {server} does not sync each write to disk; {remedy}")
    silent = [f"{server} ({why})" for server, why in zip(servers, answers, strict=True) if why is not True]
    if 2 * len(silent) >= len(servers):
        raise LogNotTrusted(
            f"these NATS monitoring endpoints do not say whether their servers sync always: {', '.join(silent)}. "
            f"Set MEMLOG_NATS_MONITOR_URL; {remedy}"
        )


async def _syncs_always(monitor_url: str) -> bool | str:
    """Whether the server says so, or why it says nothing."""
    try:
        async with http_client(3.0) as http:
            answer = (await http.get(f"{monitor_url.rstrip('/')}/jsz")).raise_for_status().json()
        return bool(answer.get("config", {}).get("sync_always", False))
    except (httpx.HTTPError, ValueError) as error:
        return str(error) or type(error).__name__


def _config(spec: StreamSpec, replicas: int) -> StreamConfig:
    return StreamConfig(
        name=spec.name,
        description=spec.description,
        subjects=list(spec.subjects),
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        # nats-py's default OLD would drop history silently on a limit.
        discard=DiscardPolicy.NEW,
        max_age=spec.max_age,
        max_msgs_per_subject=spec.max_per_subject,
        discard_new_per_subject=spec.max_per_subject > 0,
        num_replicas=replicas,
        allow_direct=True,
        # Ids that derive from commands make the server's dedup window unnecessary; it costs memory.
        duplicate_window=1.0,
    )


async def declare(js: JetStreamContext, specs: Iterable[StreamSpec], replicas: int) -> list[str]:
    """Create the streams that are missing. An existing stream is never changed: what differs from the declaration is
    returned, a line each, and logged."""
    drift: list[str] = []
    for spec in specs:
        wanted = _config(spec, replicas)
        try:
            found = (await js.stream_info(spec.name)).config
        except ServerError as error:
            if error.err_code != STREAM_OFFLINE:
                raise
            raise LogNotTrusted(
                f"the NATS server does not open {spec.name} ({error.description}): its files are damaged, or a newer "
                "server wrote them. Memlog has changed nothing. Start that server, or restore the log from a backup"
            ) from error
        except NotFoundError:
            try:
                await _create(js, wanted)
                continue
            except APIError as error:
                if error.err_code != STREAM_EXISTS:  # somebody created it meanwhile, with other settings
                    raise
                found = (await js.stream_info(spec.name)).config
        for field in ("subjects", "retention", "storage", "max_age", "num_replicas", "allow_direct", "discard"):
            is_, should = getattr(found, field), getattr(wanted, field)
            if is_ != should:
                drift.append(f"stream {spec.name}: {field} is {is_!r}, declared {should!r}")
    for line in drift:
        log.warning("stream_drift", difference=line)
    return drift


async def _create(js: JetStreamContext, wanted: StreamConfig) -> None:
    for pause in _STORE_PAUSES_S:
        try:
            await js.add_stream(wanted)  # pyright: ignore[reportUnknownMemberType]
            return
        except ServerError as error:
            if error.err_code != NO_STORE:  # the server still removes the files of a stream of that name
                raise
            await asyncio.sleep(pause)
    await js.add_stream(wanted)  # pyright: ignore[reportUnknownMemberType]


async def declare_all(js: JetStreamContext, settings: Settings, shards: int) -> list[str]:
    """Every stream of the log."""
    return await declare(js, _specs(settings, shards), settings.replicas)


def _specs(settings: Settings, shards: int) -> list[StreamSpec]:
    of_shards = (of_shard(shard, settings.command_retention, settings.access_retention) for shard in range(shards))
    return [*GLOBAL, *(spec for specs in of_shards for spec in specs)]


async def wait_declared(js: JetStreamContext, settings: Settings, patience: float = _PATIENCE_S) -> None:
    """Wait until who may make the streams has made them all and begun the log, for at most `patience` seconds. Raises
    `Unavailable`."""
    until = asyncio.get_running_loop().time() + patience
    told = False
    for name in (*(spec.name for spec in _specs(settings, settings.shards)), LEASES):
        while not await _is_made(js, name):
            if asyncio.get_running_loop().time() > until:
                raise Unavailable(
                    f"{name} is not there: start {WRITER_CONSUMER}, which makes the streams "
                    "(this service may not: MEMLOG_DECLARE_STREAMS)"
                )
            if not told:
                told = True
                log.info("waits_for_streams", missing=name, made_by=WRITER_CONSUMER)
            await asyncio.sleep(_LOOK_S)


async def _is_made(js: JetStreamContext, stream: str) -> bool:
    try:
        last = (await js.stream_info(stream)).state.last_seq
    except NotFoundError:
        return False
    return last > 0 or not is_truth(stream)
