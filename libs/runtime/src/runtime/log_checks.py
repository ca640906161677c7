"""Start-up checks of the log (architecture §7): a truncated, swapped or restored log is never silently continued."""

import asyncio
import os
from dataclasses import dataclass

import structlog
from contracts.api import Announcement
from contracts.codec import Meta, Undecodable, decode_event, encode, read_envelope
from contracts.errors import ConfigurationError, ContentDamaged, LogNotTrusted, Unavailable
from contracts.events import LogStarted
from contracts.ids import event_id, uuid7
from contracts.positions import Checkpoint, Position, message_hash
from contracts.streams import USERS, access, commands, durable_consumers, is_truth
from contracts.streams import events as events_stream
from contracts.subjects import log_start_subject, position_request_subject
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import Header
from nats.js.errors import APIError, NotFoundError

from runtime.clock import utc_now
from runtime.errors import NATS_FAILURES, WRONG_LAST_SEQUENCE, nats_errors
from runtime.event_store import EventStore, StoredMessage
from runtime.nats import REQUEST_TIMEOUT

log = structlog.get_logger()
_ADVICE = (
    "The log is not the one that this store was derived from (it lost its end, or was restored or replaced). "
    "Nothing was changed. Restore the log from a backup, or, if this log is the right one, rebuild the derived stores"
)
_DAMAGED = (
    "Memlog has changed nothing. Restore the log from a backup: docs/operations.md, 'The log is damaged'. "
    "`memlog verify` says what else is concerned"
)
_NO_HOLES = (events_stream, access, commands)


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """Which log a shard is: the nonce of its first event."""

    shard: int
    incarnation: str


async def open_log(
    js: JetStreamContext, events: EventStore, shards: int, *, may_start: bool = True
) -> list[LogIdentity]:
    """The identity of each shard; an empty stream gets its first event, the nonce, if this `may_start` a log.

    Raises `LogNotTrusted` when sequence 1 is not the shard's nonce event, `ConfigurationError` when the log was made
    with another number of shards, `Unavailable`.
    """
    identities = [await _open_shard(js, events, shard, shards, may_start) for shard in range(shards)]
    for whole in (USERS.name, *(kind(shard).name for shard in range(shards) for kind in _NO_HOLES)):
        await _require_whole(js, whole)
    for shard in range(shards):
        for stream, consumer in durable_consumers(shard):
            await _require_consumed(js, stream, consumer)
    return identities


async def _open_shard(
    js: JetStreamContext, events: EventStore, shard: int, shards: int, may_start: bool
) -> LogIdentity:
    stream = events_stream(shard).name
    # In this order: another service may be starting the log right now.
    if await events.last_sequence(stream) == 0:
        if not may_start:
            raise LogNotTrusted(f"{stream} is empty, but users have been here: it was lost. {_ADVICE}")
        await _start_shard(js, shard, shards)
        await _until_started(events, stream)
    first = await events.message_at(stream, 1)
    if first is None:
        raise LogNotTrusted(f"{stream} has events but its first one is gone. {_ADVICE}")
    started = _started(first)
    if started is None or started.shard != shard:
        raise LogNotTrusted(f"the first event of {stream} is not its LogStarted. {_ADVICE}")
    if started.shards != shards:
        raise ConfigurationError(
            f"this log was made with MEMLOG_SHARDS={started.shards} and is fixed to that; {shards} is set now"
        )
    return LogIdentity(shard, started.incarnation)


async def _require_whole(js: JetStreamContext, stream: str) -> None:
    """No hole in a stream: a server that lost a part of a file goes on with what is left. Reads and commands age out,
    from the beginning on. What the server does not know to be lost, reading the log shows (`memlog verify`)."""
    with nats_errors(f"describe {stream}"):
        state = (await js.stream_info(stream)).state
    if state.last_seq == 0:
        return
    first = 1 if is_truth(stream) else state.first_seq
    missing = state.last_seq - first + 1 - state.messages
    if missing > 0 or state.lost is not None:
        raise LogNotTrusted(f"{stream} has lost {missing or 'some'} of its {state.last_seq} messages. {_DAMAGED}")


async def _require_consumed(js: JetStreamContext, stream: str, consumer: str) -> None:
    """No consumer stands behind the end of its stream: it would pass over what is stored there next."""
    with nats_errors(f"describe {stream}"):
        try:
            floor = (await js.consumer_info(stream, consumer)).ack_floor
        except NotFoundError:
            return
        last = (await js.stream_info(stream)).state.last_seq
    if floor is not None and floor.stream_seq > last:
        raise LogNotTrusted(f"{stream} ends at {last}, but {consumer} has handled up to {floor.stream_seq}. {_DAMAGED}")


async def read_identities(events: EventStore, shards: int) -> list[LogIdentity]:
    """The identities of those shards whose first event can be read, whatever else is wrong with the log. Raises
    `Unavailable`."""
    found: list[LogIdentity] = []
    for shard in range(shards):
        first = await events.message_at(events_stream(shard).name, 1)
        started = None if first is None else _started(first)
        if started is not None:
            found.append(LogIdentity(shard, started.incarnation))
    return found


def _started(first: StoredMessage) -> LogStarted | None:
    try:
        event = decode_event(first.data, None)[2]
    except (Undecodable, ContentDamaged):
        return None
    return event if isinstance(event, LogStarted) else None


async def _start_shard(js: JetStreamContext, shard: int, shards: int) -> None:
    command = uuid7()
    meta = Meta(
        id=event_id(command, 0),
        uid="system",
        app="system",
        actor="service",
        occurred_at=utc_now(),
        correlation_id=command,
        causation_id=command,
    )
    started = LogStarted(incarnation=os.urandom(16).hex(), shard=shard, shards=shards)
    with nats_errors("start the log"):
        try:
            await js.publish(
                log_start_subject(shard),
                encode(meta, started, None),
                headers={Header.EXPECTED_LAST_SEQUENCE.value: "0"},
            )
        except APIError as error:
            if error.err_code != WRONG_LAST_SEQUENCE:  # otherwise somebody else was quicker
                raise


async def _until_started(events: EventStore, stream: str) -> None:
    """Somebody may have been quicker, whose message is still on its way to the replicas."""
    until = asyncio.get_running_loop().time() + REQUEST_TIMEOUT
    while await events.last_sequence(stream) == 0:
        if asyncio.get_running_loop().time() > until:
            raise Unavailable(f"{stream} does not show its first event")
        await asyncio.sleep(0.02)


def require_next(stream: str, before: int, sequence: int) -> None:
    """Of the truth nothing is missing: what is read behind `before` is the next message. The server passes over a
    message that it cannot read, without a word. Raises `LogNotTrusted`."""
    if is_truth(stream) and sequence != before + 1:
        missing = before + 1 if sequence == before + 2 else f"{before + 1} to {sequence - 1}"
        raise LogNotTrusted(f"the server does not give out {missing} of {stream}: damaged, or removed. {_DAMAGED}")


async def check_checkpoint(events: EventStore, stream: str, checkpoint: Checkpoint | None, who: str) -> None:
    """The event at a stored position is still the one that was applied. Raises `LogNotTrusted`, `Unavailable`."""
    if checkpoint is None:
        return
    sequence = checkpoint.position.sequence
    last = await events.last_sequence(stream)
    if last < sequence:
        raise LogNotTrusted(f"{stream} ends at {last}, but {who} has applied up to {sequence}. {_ADVICE}")
    found = await events.message_at(stream, sequence)
    if found is None and not is_truth(stream) and await events.first_sequence(stream) > sequence:
        return  # reads may age out; the events never do
    if found is None or message_hash(found.data) != checkpoint.sha256:
        what = "is gone" if found is None else f"differs: {_id_of(found)} instead of {checkpoint.event_id}"
        raise LogNotTrusted(f"the event at {sequence} of {stream}, that {who} has applied, {what}. {_ADVICE}")


async def check_against_projections(
    client: Client, events: EventStore, shard: int, projections: tuple[str, ...], timeout: float
) -> None:
    """Before the writer appends: ask each projection where it is and compare with the log, so that a log that came
    back shorter is noticed before its sequence numbers are used again. A projection that is down cannot be asked; it
    makes the same check itself before it goes on. Raises `LogNotTrusted`, `Unavailable`."""
    for name in projections:
        try:
            reply = await client.request(position_request_subject(name, shard), b"", timeout=timeout)
        except NATS_FAILURES:
            log.warning(
                "projection_not_asked", projection=name, shard=shard, consequence="it will check the log itself"
            )
            continue
        at = Announcement.model_validate_json(reply.data)
        if at.event_id is not None and at.sha256 is not None:
            checkpoint = Checkpoint(Position(shard, at.sequence), at.event_id, at.sha256)
            await check_checkpoint(events, events_stream(shard).name, checkpoint, name)


def _id_of(message: StoredMessage) -> str:
    try:
        return read_envelope(message.data)[0].id
    except Undecodable:
        return "something that is no event"
