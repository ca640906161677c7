"""The event store: an aggregate is a subject of the events stream; load it, append to it with an expected sequence.

Source of the pattern: NATS ADR-31 (direct get, batched) and `Nats-Expected-Last-Subject-Sequence`.
"""

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from contracts.codec import DataKey, Meta, Recorded, decode_event, encode
from contracts.errors import ConcurrencyConflict, Unavailable
from contracts.messages import Event
from contracts.positions import Position, message_hash
from contracts.streams import events as events_stream
from contracts.subjects import Aggregate, event_subject, shard_of
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import Header, PubAck
from nats.js.errors import APIError, NotFoundError

from runtime.errors import NATS_FAILURES, WRONG_LAST_SEQUENCE, nats_errors
from runtime.nats import REQUEST_TIMEOUT, subscribe

_PAGE = 512
_PIPELINE = 512


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as the stream holds it. `recorded_at` is the stream's own timestamp (UTC)."""

    subject: str
    sequence: int
    data: bytes
    recorded_at: datetime
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to append, sealed with `key`: `expected` is the subject's last sequence (0: the subject is new),
    `trace` the W3C headers of the request that it belongs to."""

    aggregate: Aggregate
    meta: Meta
    event: Event
    expected: int
    key: DataKey | None
    trace: Mapping[str, str]


def parse_time(text: str) -> datetime:
    """RFC 3339 with up to nanoseconds, as NATS writes it; cut to microseconds."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}+00:00")


class EventStore:
    """Loads and appends events of all shards over one connection. `open()` before use, `close()` after."""

    def __init__(self, client: Client, js: JetStreamContext, shards: int) -> None:
        self.shards = shards
        self._client = client
        self._js = js
        self._inbox = client.new_inbox()
        self._subscription: Subscription | None = None
        self._replies: dict[str, asyncio.Queue[Msg]] = {}
        self._next = 0

    async def open(self) -> None:
        self._subscription = await subscribe(self._client, f"{self._inbox}.*", self._on_reply)

    async def close(self) -> None:
        if self._subscription is not None and not self._client.is_closed:
            with contextlib.suppress(*NATS_FAILURES):
                await self._subscription.unsubscribe()

    async def _on_reply(self, message: Msg) -> None:
        queue = self._replies.get(message.subject.rsplit(".", 1)[-1])
        if queue is not None:
            queue.put_nowait(message)

    async def load(self, aggregate: Aggregate, key: DataKey) -> list[Recorded]:
        """The aggregate's events in order, empty when there are none. Raises `Unavailable`, `Undecodable`."""
        shard = shard_of(aggregate.uid, self.shards)
        stored = await self.read_subject(events_stream(shard).name, event_subject(shard, aggregate))
        return [recorded(shard, message, key) for message in stored]

    async def read_subject(self, stream: str, subject: str) -> list[StoredMessage]:
        """All messages of a subject in order, by batched direct gets. Raises `Unavailable`."""
        found: list[StoredMessage] = []
        start = 1
        with nats_errors(f"answer a read of {stream}"):
            while True:
                page, pending = await self._direct_get(stream, subject, start)
                found += page
                if not page or pending == 0:
                    return found
                start = page[-1].sequence + 1

    async def _direct_get(self, stream: str, subject: str, start: int) -> tuple[list[StoredMessage], int]:
        self._next += 1
        token = str(self._next)
        queue: asyncio.Queue[Msg] = asyncio.Queue()
        self._replies[token] = queue
        request = json.dumps({"batch": _PAGE, "seq": start, "next_by_subj": subject}).encode()
        page: list[StoredMessage] = []
        try:
            await self._client.publish(f"$JS.API.DIRECT.GET.{stream}", request, reply=f"{self._inbox}.{token}")
            async with asyncio.timeout(REQUEST_TIMEOUT):
                while True:
                    message = await queue.get()
                    headers = message.headers or {}
                    status = headers.get(Header.STATUS.value)
                    if status is None:
                        page.append(_stored(message.data, headers))
                    elif status == "204":  # end of batch
                        return page, int(headers.get("Nats-Num-Pending", "0"))
                    elif status == "404":
                        return page, 0
                    else:
                        raise Unavailable(f"stream {stream} cannot be read: {status} {headers.get('Description', '')}")
        finally:
            del self._replies[token]

    async def append(self, events: Sequence[NewEvent]) -> list[Position | Exception]:
        """Append events in order, as a pipeline: published one after the other without waiting, acks awaited
        together. Per event: its position, or `ConcurrencyConflict` / `Unavailable` (whether it is stored is not
        known then; appending the same event id again finds out).

        One wave must hold at most one event of an aggregate unless their expected sequences are known.
        """
        results: list[Position | Exception] = []
        for start in range(0, len(events), _PIPELINE):
            results += await self._pipeline(events[start : start + _PIPELINE])
        return results

    async def _pipeline(self, events: Sequence[NewEvent]) -> list[Position | Exception]:
        futures: list[asyncio.Future[PubAck] | Exception] = []
        for new in events:
            shard = shard_of(new.aggregate.uid, self.shards)
            try:
                future = await self._js.publish_async(  # pyright: ignore[reportUnknownMemberType]
                    event_subject(shard, new.aggregate),
                    encode(new.meta, new.event, new.key),
                    wait_stall=REQUEST_TIMEOUT,
                    headers={**new.trace, Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(new.expected)},
                )
                futures.append(future)
            except NATS_FAILURES as error:
                futures.append(error)
        pending = [f for f in futures if isinstance(f, asyncio.Future)]
        if pending:
            await asyncio.wait(pending, timeout=REQUEST_TIMEOUT)
        return [await self._settle(new, future) for new, future in zip(events, futures, strict=True)]

    async def _settle(self, new: NewEvent, future: asyncio.Future[PubAck] | Exception) -> Position | Exception:
        shard = shard_of(new.aggregate.uid, self.shards)
        if isinstance(future, Exception):
            return Unavailable(f"NATS did not take an event: {future or type(future).__name__}")
        if not future.done():
            future.cancel()
            return Unavailable("NATS did not acknowledge an event in time")
        error = future.exception()
        if error is None:
            return Position(shard, future.result().seq)
        if isinstance(error, APIError) and error.err_code == WRONG_LAST_SEQUENCE:
            return await self._explain_conflict(shard, new)
        return Unavailable(f"NATS did not take an event: {error or type(error).__name__}")

    async def _explain_conflict(self, shard: int, new: NewEvent) -> Position | Exception:
        """A retried publish whose ack was lost looks like a conflict: the subject's last event tells them apart."""
        try:
            with nats_errors("explain a conflict"):
                last = await self._js.get_msg(
                    events_stream(shard).name, subject=event_subject(shard, new.aggregate), direct=True
                )
        except Unavailable as error:
            return error
        if json.loads(last.data or b"{}").get("event_id") == new.meta.id:
            return Position(shard, last.seq or 0)
        return ConcurrencyConflict(f"{new.aggregate.kind} {new.aggregate.id} is at {last.seq}, not at {new.expected}")

    async def message_at(self, stream: str, sequence: int) -> StoredMessage | None:
        """The message at a sequence, or None. Raises `Unavailable`."""
        with nats_errors(f"read {stream}"):
            try:
                found = await self._client.request(
                    f"$JS.API.DIRECT.GET.{stream}", json.dumps({"seq": sequence}).encode(), timeout=REQUEST_TIMEOUT
                )
            except NotFoundError:
                return None
        headers = found.headers or {}
        return None if Header.STATUS.value in headers else _stored(found.data, headers)

    async def last_sequence(self, stream: str) -> int:
        """The stream's last sequence. Raises `Unavailable`."""
        with nats_errors(f"describe {stream}"):
            return (await self._js.stream_info(stream)).state.last_seq


def _stored(data: bytes, headers: dict[str, str]) -> StoredMessage:
    return StoredMessage(
        subject=headers["Nats-Subject"],
        sequence=int(headers["Nats-Sequence"]),
        data=data,
        recorded_at=parse_time(headers["Nats-Time-Stamp"]),
        headers=headers,
    )


def recorded(shard: int, message: StoredMessage, key: DataKey | None) -> Recorded:
    """A stored message decoded. Raises `Undecodable`, `KeyMissing`, `UnsupportedSchema`."""
    meta, type_, payload = decode_event(message.data, key)
    return Recorded(
        position=Position(shard, message.sequence),
        recorded_at=message.recorded_at,
        sha256=message_hash(message.data),
        meta=meta,
        type=type_,
        payload=payload,
    )
