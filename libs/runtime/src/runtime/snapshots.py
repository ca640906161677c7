"""Snapshots of streams: JetStream's own backup and restore, for which nats-py has no helper.

A snapshot is what the server makes of a stream at one sequence, while the stream goes on: an archive of its own format,
compressed, that brings sequences, timestamps, headers and bytes back as they were. Source of the protocol: nats-server
2.15 `server/jetstream_api.go` (`streamSnapshot`, `processStreamRestore`) and `server/stream_backup.go`; jsm.go
`snapshots.go`.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from contracts.errors import MemlogError, Unavailable
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import Header

from runtime.errors import NATS_FAILURES, nats_errors
from runtime.nats import subscribe

_CHUNK = 128 * 1024
_WINDOW = 4 * 1024 * 1024
"""Bytes on the way: the server waits for acks beyond this, so that nothing piles up here before a slow disk."""
_PIECE = 8 * 1024
"""What is restored at once. The server reads messages from the same connection's loop, and calls a restore stalled
when one piece keeps it busy for 5 s: a piece that is well compressed holds hundreds of messages, each a write to disk.
"""
_REQUEST_TIMEOUT = 30.0
_SILENCE = 30.0
_FINISH_TIMEOUT = 600.0


class SnapshotFailed(MemlogError):
    """The NATS server could not take a snapshot of a stream, or did not take one back."""

    code = "snapshot_failed"
    status = 503
    remedy = (
        "The message says what the server said. Try again; if it stays, the stream's files are damaged, or the backup "
        "is: see docs/operations.md, 'Back up and restore'."
    )


@dataclass(frozen=True, slots=True)
class StreamState:
    """How far a stream is: `first` and `last` sequence, and how many messages it has (fewer than the range holds when
    some were removed)."""

    messages: int
    first: int
    last: int

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "StreamState":
        """From the `state` of a JetStream answer."""
        return cls(answer["messages"], answer["first_seq"], answer["last_seq"])


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that is being received. `config` and `raw_state` are what the server wants back with it; `chunks` can
    be read once, and raises `SnapshotFailed` and `Unavailable`."""

    config: dict[str, Any]
    raw_state: dict[str, Any]
    chunks: AsyncIterator[bytes]

    @property
    def state(self) -> StreamState:
        return StreamState.of(self.raw_state)


@asynccontextmanager
async def snapshot(client: Client, stream: str) -> AsyncGenerator[Snapshot]:
    """Take a snapshot of a stream as it is now, without its consumers. The server checks each message that it reads.

    Raises `SnapshotFailed`, `Unavailable`.
    """
    inbox = client.new_inbox()
    arrived: asyncio.Queue[Msg] = asyncio.Queue()

    async def take(message: Msg) -> None:
        arrived.put_nowait(message)

    doing = f"take a snapshot of {stream}"
    request = {
        "deliver_subject": inbox,
        "no_consumers": True,
        "jsck": True,
        "chunk_size": _CHUNK,
        "window_size": _WINDOW,
    }
    with nats_errors(doing):
        subscription = await subscribe(client, inbox, take)
    try:
        answer = await _ask(client, f"$JS.API.STREAM.SNAPSHOT.{stream}", json.dumps(request).encode(), doing)
        async with aclosing(_chunks(client, stream, arrived)) as chunks:
            yield Snapshot(answer["config"], answer["state"], chunks)
    finally:
        if not client.is_closed:
            with suppress(*NATS_FAILURES):
                await subscription.unsubscribe()


async def _chunks(client: Client, stream: str, arrived: "asyncio.Queue[Msg]") -> AsyncGenerator[bytes]:
    received = 0
    while True:
        try:
            async with asyncio.timeout(_SILENCE):
                message = await arrived.get()
        except TimeoutError:
            raise Unavailable(f"the server stopped sending the snapshot of {stream}") from None
        if not message.data:
            headers = message.headers or {}
            status = headers.get(Header.STATUS.value, "204")
            if status != "204":
                said = headers.get(Header.DESCRIPTION.value, "")
                raise SnapshotFailed(f"the snapshot of {stream} was cut off by the server: {status} {said}".rstrip())
            return
        received += 1
        if message.reply:  # `….<size>.<number>`; the last chunk, which is not full, has none
            size, number = (int(part) for part in message.reply.rsplit(".", 2)[1:])
            if (size, number) != (len(message.data), received):
                raise SnapshotFailed(f"chunk {received} of the snapshot of {stream} was lost on the way")
        yield message.data
        # After it is written: the ack is what asks the server for more.
        if message.reply:
            with nats_errors(f"go on with the snapshot of {stream}"):
                await client.publish(message.reply, b"")


async def restore(
    client: Client, config: Mapping[str, Any], raw_state: Mapping[str, Any], chunks: AsyncIterable[bytes]
) -> StreamState:
    """Make the stream that a snapshot is of; returns its state. It must not exist. When this raises, a part of it may
    exist: the caller deletes it.

    Raises `SnapshotFailed` (also for a snapshot that is damaged), `Unavailable`.
    """
    stream: str = config["name"]
    doing = f"restore {stream}"
    request = json.dumps({"config": config, "state": raw_state}).encode()
    subject: str = (await _ask(client, f"$JS.API.STREAM.RESTORE.{stream}", request, doing))["deliver_subject"]
    async for chunk in chunks:
        for start in range(0, len(chunk), _PIECE):
            await _ask(client, subject, chunk[start : start + _PIECE], doing)
    done = await _ask(client, subject, b"", doing, _FINISH_TIMEOUT)
    return StreamState.of(done["state"])


async def _ask(
    client: Client, subject: str, request: bytes, doing: str, timeout: float = _REQUEST_TIMEOUT
) -> dict[str, Any]:
    with nats_errors(doing):
        answer = await client.request(subject, request, timeout=timeout)
    result: dict[str, Any] = json.loads(answer.data or b"{}")
    error: dict[str, Any] | None = result.get("error")
    if error is not None:
        raise SnapshotFailed(f"NATS could not {doing}: {error.get('description')} ({error.get('err_code')})")
    return result
