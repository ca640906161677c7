"""The log as its owner reads it: page by page, or as it grows. Content is unsealed with the owner's key alone."""

import contextlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence

from contracts import ids, subjects
from contracts.api import AggregateView, EventPage, LogEvent, LogMessage
from contracts.codec import Undecodable, decode_command, decode_event, timestamp
from contracts.errors import ContentDamaged, InvalidInput, Unavailable, UnsupportedSchema
from contracts.events import AppRegistered
from contracts.positions import Position
from contracts.streams import events as events_stream
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from runtime.errors import NATS_FAILURES, nats_errors
from runtime.event_store import EventStore, StoredMessage
from runtime.keys import SealingKey
from runtime.pull import Pull, passing_name
from runtime.quarantine import without_payload

from gateway.service import Caller, EventFilter
from gateway.use_cases.audit_trail import AuditTrail
from gateway.use_cases.commanding import Principal
from gateway.use_cases.identity import Identities

_MOST_READ = 5_000
"""Events that a page looks at, at most: with a filter that nothing passes, it ends without a full page."""
_MOST_BYTES = 8 * 1024 * 1024
"""Of stored events in a page."""
_MOST_WINDOWS = 40
"""In which the newest events are looked for: of a type that has been rare for long, fewer are shown."""
_AUDIT_EVERY = 100
_DEMAND = 64
_CONSUMER_IDLE_S = 30.0
_CACHED_NAMES = 10_000


class LogReading:
    """Reads `MEMLOG_EVENTS_<k>` for one user. All methods raise `Unavailable` when NATS does not answer."""

    def __init__(
        self, client: Client, js: JetStreamContext, log: EventStore, identities: Identities, trail: AuditTrail
    ) -> None:
        self._client = client
        self._js = js
        self._log = log
        self._identities = identities
        self._trail = trail
        self._names: OrderedDict[tuple[str, str], str] = OrderedDict()

    async def events(self, caller: Caller, wanted: EventFilter, *, after: str | None, limit: int) -> EventPage:
        """See `gateway.service.MemoryService`."""
        principal = await self._identities.owner(caller)
        shard = subjects.shard_of(principal.uid, self._log.shards)
        at = _sequence(after, shard)
        found: list[LogEvent] = []
        looked = size = 0
        more = True
        while more and len(found) < limit and looked < _MOST_READ and size < _MOST_BYTES:
            page, pending = await self._log.read_page(
                events_stream(shard).name,
                _subject(shard, principal.uid, wanted),
                at + 1,
                limit - len(found) if wanted.type is None else _MOST_READ,
            )
            left = len(page)
            for message in page:
                left, at, looked, size = left - 1, message.sequence, looked + 1, size + len(message.data)
                event = await self._event(principal, shard, message, wanted)
                if event is not None:
                    found.append(event)
                if len(found) == limit:
                    break
            more = left + pending > 0
        await self._trail.record(principal, "export", _memories(found))
        return EventPage(events=found, next=str(Position(shard, at)) if more else None)

    async def newest_events(self, caller: Caller, wanted: EventFilter, *, before: str | None, limit: int) -> EventPage:
        """See `gateway.service.MemoryService`."""
        principal = await self._identities.owner(caller)
        shard = subjects.shard_of(principal.uid, self._log.shards)
        end = await self._log.last_sequence(events_stream(shard).name)
        if before is not None:
            end = min(end, _sequence(before, shard) - 1)
        messages, previous = await self._back_from(end, principal, shard, wanted, limit)
        seen = [await self._event(principal, shard, message, wanted) for message in messages]
        found = [event for event in seen if event is not None]
        await self._trail.record(principal, "export", _memories(found))
        return EventPage(events=found, previous=None if previous is None else str(Position(shard, previous)))

    async def _back_from(
        self, end: int, principal: Principal, shard: int, wanted: EventFilter, limit: int
    ) -> tuple[list[StoredMessage], int | None]:
        """The last `limit` up to the sequence `end`, looking back window by window until it is known whether there are
        more; and the sequence before which those are that were not looked at or do not fit in."""
        subject = _subject(shard, principal.uid, wanted)
        start, window, found = max(end, 0), limit, list[StoredMessage]()
        for _ in range(_MOST_WINDOWS):
            if start == 0:
                return found, None
            end, start, window = start, max(start - window, 0), min(window * 4, _MOST_READ)
            earlier, cut = await self._last_between(start, end, shard, subject, wanted, limit)
            both = [*earlier, *found]
            found = _last(both, limit)
            if cut or len(found) < len(both):
                return found, found[0].sequence
        return found, start + 1 if start > 0 else None

    async def _last_between(
        self, start: int, end: int, shard: int, subject: str, wanted: EventFilter, limit: int
    ) -> tuple[list[StoredMessage], bool]:
        """The last `limit` behind `start` and up to `end`, and whether there are more."""
        found, cut = list[StoredMessage](), False
        while start < end:
            page, pending = await self._log.read_page(events_stream(shard).name, subject, start + 1, end - start)
            all_ = [*found, *(m for m in page if m.sequence <= end and _fits(m, wanted))]
            found = _last(all_, limit)
            cut = cut or len(found) < len(all_)
            start = page[-1].sequence if page and pending > 0 else end
        return found, cut

    async def follow(
        self, caller: Caller, wanted: EventFilter, *, after: str | None, idle: float
    ) -> tuple[str, AsyncGenerator[LogEvent | None]]:
        """See `gateway.service.MemoryService`."""
        principal = await self._identities.owner(caller)
        shard = subjects.shard_of(principal.uid, self._log.shards)
        # Behind a position that the log does not reach any more, nothing would come for long.
        end = await self._log.last_sequence(events_stream(shard).name)
        at = end if after is None else min(_sequence(after, shard), end)
        await self._trail.record(principal, "stream", [])
        return str(Position(shard, at)), self._audited(principal, self._live(principal, shard, at, wanted, idle))

    async def _audited(
        self, principal: Principal, events: AsyncGenerator[LogEvent | None]
    ) -> AsyncGenerator[LogEvent | None]:
        """The event of the opening covers the first hundred; what they were is written down before any more leave."""
        sent: list[LogEvent] = []
        async with contextlib.aclosing(events):
            async for event in events:
                if event is not None:
                    if len(sent) == _AUDIT_EVERY:
                        await self._trail.record(principal, "stream", _memories(sent))
                        sent.clear()
                    sent.append(event)
                yield event

    async def _live(
        self, principal: Principal, shard: int, at: int, wanted: EventFilter, idle: float
    ) -> AsyncGenerator[LogEvent | None]:
        stream = events_stream(shard).name
        consumer = await self._consumer(stream, _subject(shard, principal.uid, wanted), at + 1)
        expected = 1
        try:
            async with Pull(self._client, stream, consumer, demand=_DEMAND) as pull:
                while True:
                    messages = await pull.batch(_DEMAND, idle=idle)
                    if not messages:
                        yield None
                    for message in messages:
                        metadata = message.metadata
                        if metadata.sequence.consumer != expected:
                            raise Unavailable("events were lost on the way; connect again from the last one")
                        expected += 1
                        stored = StoredMessage(
                            message.subject, metadata.sequence.stream, message.data, metadata.timestamp, {}
                        )
                        event = await self._event(principal, shard, stored, wanted)
                        if event is not None:
                            yield event
        finally:
            # What is not deleted here, the server forgets by itself.
            with contextlib.suppress(*NATS_FAILURES):
                await self._js.delete_consumer(stream, consumer)

    async def _consumer(self, stream: str, subject: str, start: int) -> str:
        with nats_errors("follow the log"):
            info = await self._js.add_consumer(  # pyright: ignore[reportUnknownMemberType]
                stream,
                ConsumerConfig(
                    name=passing_name(),
                    deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                    opt_start_seq=start,
                    filter_subject=subject,
                    ack_policy=AckPolicy.NONE,
                    inactive_threshold=_CONSUMER_IDLE_S,
                    mem_storage=True,
                    num_replicas=1,
                ),
            )
        return info.name

    async def _event(
        self, principal: Principal, shard: int, message: StoredMessage, wanted: EventFilter
    ) -> LogEvent | None:
        view = message_view(message, principal.key)
        if wanted.type not in (None, view.type):
            return None
        _, _, _, _, kind, *id_ = message.subject.split(".")
        return LogEvent(
            **dict(view),
            position=str(Position(shard, message.sequence)),
            recorded_at=timestamp(message.recorded_at),
            app_name=await self._app_name(principal, view.app_id),
            aggregate=AggregateView(kind=kind, id=".".join(id_)),
        )

    async def _app_name(self, principal: Principal, app_id: str) -> str | None:
        """From the log, so that reading it needs no other part."""
        if app_id == ids.OWN_APP:
            return app_id
        known = (principal.uid, app_id)
        if known not in self._names:
            name = None
            try:
                registered = await self._log.load(subjects.app(principal.uid, app_id), principal.key)
                name = next((e.payload.name for e in registered if isinstance(e.payload, AppRegistered)), None)
            except (InvalidInput, Undecodable, ContentDamaged, UnsupportedSchema):
                pass
            if name is None:
                return None
            self._names[known] = name
            if len(self._names) > _CACHED_NAMES:
                self._names.popitem(last=False)
        return self._names[known]


def _last(messages: list[StoredMessage], limit: int) -> list[StoredMessage]:
    """The last ones: `limit` at most, and no more bytes than a page holds, unless it is one alone."""
    at, size = len(messages), 0
    while at > 0 and len(messages) - at < limit:
        size += len(messages[at - 1].data)
        if size > _MOST_BYTES and at < len(messages):
            break
        at -= 1
    return messages[at:]


def _fits(message: StoredMessage, wanted: EventFilter) -> bool:
    return wanted.type is None or without_payload(0, message).type == wanted.type


def message_view(message: StoredMessage, key: SealingKey | None) -> LogMessage:
    """A stored event or command as its owner sees it; without a key, its envelope."""
    bare = without_payload(0, message)
    meta, payload, unreadable = bare.meta, None, None
    try:
        if key is None:
            unreadable = "it is another user's"
        elif message.subject.startswith(f"{subjects.ROOT}.cmd."):
            payload = decode_command(message.data, key).payload
        else:
            payload = decode_event(message.data, key)[2]
            unreadable = None if payload is not None else "this version of Memlog does not know its type"
    except (Undecodable, ContentDamaged, UnsupportedSchema) as error:
        unreadable = f"{error.code}: {error.message}"
    return LogMessage(
        event_id=meta.id,
        type=bare.type,
        schema_version=None if payload is None else payload.schema_version,
        occurred_at=timestamp(meta.occurred_at),
        app_id=meta.app,
        actor=meta.actor,
        correlation_id=meta.correlation_id,
        causation_id=meta.causation_id,
        trace_id=bare.trace_id,
        data=None if payload is None else payload.model_dump(mode="json"),
        unreadable=unreadable,
    )


def _subject(shard: int, uid: str, wanted: EventFilter) -> str:
    if wanted.memory_id is not None:
        return subjects.event_subject(shard, subjects.memory(uid, wanted.memory_id))
    return subjects.events_of_user(shard, uid)


def _sequence(after: str | None, shard: int) -> int:
    if after is None:
        return 0
    position = Position.parse(after)
    if position.shard != shard:
        raise InvalidInput(f"'{after}' is not a position in this user's log; pass one that an event of theirs has")
    return position.sequence


def _memories(events: Sequence[LogEvent]) -> list[tuple[str, float | None]]:
    """The memories whose content is in these events, each once."""
    ids = dict.fromkeys(event.aggregate.id for event in events if event.aggregate.kind == "memory")
    return [(id_, None) for id_ in ids]
