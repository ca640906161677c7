"""The event store: an aggregate is a subject of the events stream; load it, append to it with an expected sequence.

Source of the pattern: NATS ADR-31 (direct get, batched) and `Nats-Expected-Last-Subject-Sequence`.

Any replica answers a direct get, and may be a moment behind. Where a stream has several, its leader says how far a
reading has to reach: what was acknowledged before is always found.
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contracts.codec import DataKey, Meta, Recorded, decode_event, encode
from contracts.errors import ConcurrencyConflict, LogNotTrusted, Unavailable
from contracts.messages import Event
from contracts.positions import Position, message_hash
from contracts.streams import events as events_stream
from contracts.streams import is_truth
from contracts.subjects import Aggregate, event_subject, shard_of
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import Header
from nats.js.errors import NotFoundError

from runtime.errors import NATS_FAILURES, WRONG_LAST_SEQUENCE, nats_errors
from runtime.metrics import EVENTS
from runtime.nats import REQUEST_TIMEOUT, answered, subscribe
from runtime.spans import appending
from runtime.telemetry import trace_id

_PAGE = 512
_PAGE_BYTES = 4 * 1024 * 1024
"""More than the largest message: a page is never empty while there is more."""
_PIPELINE = 512
_CATCHES_UP_S = 0.02
"""How long a replica that is behind is left before it is asked again: it usually is by milliseconds."""


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
        self._replies: dict[str, Callable[[Msg], None]] = {}
        self._replicated: dict[str, bool] = {}
        self._next = 0

    async def open(self) -> None:
        self._subscription = await subscribe(self._client, f"{self._inbox}.*", self._on_reply)

    async def close(self) -> None:
        if self._subscription is not None and not self._client.is_closed:
            with contextlib.suppress(*NATS_FAILURES):
                await self._subscription.unsubscribe()

    async def _on_reply(self, message: Msg) -> None:
        handle = self._replies.get(message.subject.rsplit(".", 1)[-1])
        if handle is not None:
            handle(message)

    def _expect(self, handle: Callable[[Msg], None]) -> str:
        """The token, as the last part of the inbox's subject, whose replies go to `handle`."""
        self._next += 1
        token = str(self._next)
        self._replies[token] = handle
        return token

    async def load(self, aggregate: Aggregate, key: DataKey) -> list[Recorded]:
        """The aggregate's events in order, empty when there are none. Raises `Unavailable`, `Undecodable`."""
        shard = shard_of(aggregate.uid, self.shards)
        stored = await self.read_subject(events_stream(shard).name, event_subject(shard, aggregate))
        return [recorded(shard, message, key) for message in stored]

    async def read_subject(self, stream: str, subject: str) -> list[StoredMessage]:
        """All messages of a subject in order, by batched direct gets. Raises `LogNotTrusted` when there is one that the
        server counts and cannot read (of the truth; elsewhere messages may go meanwhile), `Unavailable`."""
        with nats_errors(f"answer a read of {stream}"):
            newest = await self._newest(stream, subject)
            until = asyncio.get_running_loop().time() + REQUEST_TIMEOUT
            while True:
                found, counted = await self._whole(stream, subject)
                if newest <= _end(found):
                    break
                await self._catch_up(stream, until)
        if len(found) < counted and is_truth(stream):
            raise LogNotTrusted(
                f"{stream} does not give out {counted - len(found)} of {counted} messages of {subject}: "
                "it is damaged. `memlog verify` says where; restore the log from a backup"
            )
        return found

    async def _whole(self, stream: str, subject: str) -> tuple[list[StoredMessage], int]:
        """The messages of a subject as the replicas that are asked give them out, and how many they count."""
        found: list[StoredMessage] = []
        counted = 0
        while True:
            page, pending = await self._direct_get(stream, subject, _end(found) + 1, _PAGE)
            found += page
            counted = counted or len(page) + pending
            if not page or pending == 0:
                return found, counted

    async def read_page(self, stream: str, subject: str, start: int, limit: int) -> tuple[list[StoredMessage], int]:
        """Up to `limit` messages of a subject, which may hold wildcards, from sequence `start` on, in order; and how
        many more there are. Raises `Unavailable`."""
        with nats_errors(f"answer a read of {stream}"):
            newest: int | None = None
            until = asyncio.get_running_loop().time() + REQUEST_TIMEOUT
            while True:
                page, pending = await self._direct_get(stream, subject, start, min(limit, _PAGE))
                if pending > 0:
                    return page, pending
                if newest is None:
                    newest = await self._newest(stream, subject)
                if newest < start or newest <= _end(page):
                    return page, pending
                await self._catch_up(stream, until)

    async def _newest(self, stream: str, subject: str) -> int:
        """How far a reading of a subject has to reach: its last sequence by the stream's leader. 0 when there is none,
        and where there is but one copy to read from."""
        if stream not in self._replicated:
            self._replicated[stream] = ((await self._js.stream_info(stream)).config.num_replicas or 1) > 1
        if not self._replicated[stream]:
            return 0
        try:
            return (await self._js.get_msg(stream, subject=subject)).seq or 0
        except NotFoundError:
            return 0

    async def _catch_up(self, stream: str, until: float) -> None:
        if asyncio.get_running_loop().time() > until:
            raise Unavailable(f"the replica of {stream} that answers is behind")
        await asyncio.sleep(_CATCHES_UP_S)

    async def _direct_get(self, stream: str, subject: str, start: int, limit: int) -> tuple[list[StoredMessage], int]:
        queue: asyncio.Queue[Msg] = asyncio.Queue()
        token = self._expect(queue.put_nowait)
        wanted = {"batch": limit, "max_bytes": _PAGE_BYTES, "seq": start, "next_by_subj": subject}
        request = json.dumps(wanted).encode()
        page: list[StoredMessage] = []
        try:
            await self._client.publish(f"$JS.API.DIRECT.GET.{stream}", request, reply=f"{self._inbox}.{token}")
            while True:
                message = await self._next_of(queue)
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

    async def _next_of(self, queue: asyncio.Queue[Msg]) -> Msg:
        """Raises TimeoutError when it does not come."""
        if not queue.empty():
            return queue.get_nowait()
        coming = asyncio.ensure_future(queue.get())
        try:
            await answered(self._client, (coming,))
            if not coming.done():
                raise TimeoutError
            return coming.result()
        finally:
            coming.cancel()

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
        acks: list[asyncio.Future[Msg]] = []
        tokens: list[str] = []
        stream = events_stream(shard_of(events[0].aggregate.uid, self.shards)).name
        try:
            with appending(stream, [(new.trace, new.event.type) for new in events]) as traces:
                for new, trace in zip(events, traces, strict=True):
                    ack: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
                    acks.append(ack)
                    tokens.append(
                        self._expect(lambda message, ack=ack: None if ack.done() else ack.set_result(message))
                    )
                    await self._publish(new, trace, ack, tokens[-1])
                await answered(self._client, acks)
            settled = [await self._settle(new, ack) for new, ack in zip(events, acks, strict=True)]
            stored = Counter(new.event.type for new, at in zip(events, settled, strict=True) if type(at) is Position)
            for type_, count in stored.items():
                EVENTS.add(count, {"type": type_})
            return settled
        finally:
            for token in tokens:
                del self._replies[token]

    async def _publish(self, new: NewEvent, trace: Mapping[str, str], ack: asyncio.Future[Msg], token: str) -> None:
        # Not nats-py's `publish_async`: it never completes the future of a publish that the server refuses.
        try:
            await self._client.publish(
                event_subject(shard_of(new.aggregate.uid, self.shards), new.aggregate),
                encode(new.meta, new.event, new.key),
                reply=f"{self._inbox}.{token}",
                headers={**trace, Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(new.expected)},
            )
        except NATS_FAILURES as error:
            ack.set_exception(error)

    async def _settle(self, new: NewEvent, ack: asyncio.Future[Msg]) -> Position | Exception:
        shard = shard_of(new.aggregate.uid, self.shards)
        if not ack.done():
            return Unavailable("NATS did not acknowledge an event in time")
        failure = ack.exception()
        if failure is not None:
            return Unavailable(f"NATS did not take an event: {failure or type(failure).__name__}")
        message = ack.result()
        if Header.STATUS.value in (message.headers or {}):
            return Unavailable(f"{events_stream(shard).name} does not answer")
        answer: dict[str, Any] = json.loads(message.data)
        error = answer.get("error")
        if error is None:
            return Position(shard, answer["seq"])
        if error.get("err_code") == WRONG_LAST_SEQUENCE:
            return await self._explain_conflict(shard, new)
        return Unavailable(f"NATS did not take an event: {error.get('description')} ({error.get('err_code')})")

    async def _explain_conflict(self, shard: int, new: NewEvent) -> Position | Exception:
        """A retried publish whose ack was lost looks like a conflict: the subject's last event tells them apart."""
        try:
            with nats_errors("explain a conflict"):
                try:
                    last = await self._js.get_msg(
                        events_stream(shard).name, subject=event_subject(shard, new.aggregate)
                    )
                except NotFoundError:
                    return ConcurrencyConflict(f"{new.aggregate.kind} {new.aggregate.id} has no event")
        except Unavailable as error:
            return error
        if json.loads(last.data or b"{}").get("event_id") == new.meta.id:
            return Position(shard, last.seq or 0)
        return ConcurrencyConflict(f"{new.aggregate.kind} {new.aggregate.id} is at {last.seq}, not at {new.expected}")

    async def message_at(self, stream: str, sequence: int) -> StoredMessage | None:
        """The message at a sequence, or None. Raises `Unavailable`."""
        request = json.dumps({"seq": sequence}).encode()
        with nats_errors(f"read {stream}"):
            until = asyncio.get_running_loop().time() + REQUEST_TIMEOUT
            while True:
                found = await self._client.request(f"$JS.API.DIRECT.GET.{stream}", request, timeout=REQUEST_TIMEOUT)
                headers = found.headers or {}
                if Header.STATUS.value not in headers:
                    return _stored(found.data, headers)
                try:
                    await self._js.get_msg(stream, seq=sequence)
                except NotFoundError:
                    return None
                await self._catch_up(stream, until)

    async def first_sequence(self, stream: str) -> int:
        """The sequence of the oldest message that the stream still has. Raises `Unavailable`."""
        with nats_errors(f"describe {stream}"):
            return (await self._js.stream_info(stream)).state.first_seq

    async def last_sequence(self, stream: str) -> int:
        """The stream's last sequence. Raises `Unavailable`."""
        with nats_errors(f"describe {stream}"):
            return (await self._js.stream_info(stream)).state.last_seq


def _end(messages: Sequence[StoredMessage]) -> int:
    return messages[-1].sequence if messages else 0


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
        subject=message.subject,
        trace_id=trace_id(message.headers),
    )
