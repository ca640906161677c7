"""What is verified of a log, each by itself: the streams, the positions of the derived stores, the chains, the commands
and the users. Every check returns the first difference that it finds; those that read are told of by `advance`."""

import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from contracts.codec import Undecodable, read_envelope
from contracts.errors import LogNotTrusted
from contracts.positions import Checkpoint, Position
from contracts.streams import DEAD, KEYS, READ_MODELS, USERS, WRITER_CONSUMER, commands, events
from contracts.subjects import command_subject, dead_subject
from contracts.verification import Difference, DifferenceKind
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from runtime.clock import utc_now
from runtime.dead_letters import dropped
from runtime.errors import nats_errors
from runtime.event_store import EventStore, StoredMessage
from runtime.log_checks import check_checkpoint, open_log
from runtime.postgres import Pool, postgres_errors
from runtime.stream_reading import RECORDED_AT, pages

from audit.trail_reading import Rows, TrailRows, position
from audit.verification import StreamVerifier, moved

Advance = Callable[[int], object]
"""Told how many messages were looked at."""
_PAGE = 512
_SETTLED = """
    SELECT command_id FROM memlog.operations
    WHERE (uid, command_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
"""
_CAUSED = "SELECT DISTINCT causation_id FROM memlog.event_audit WHERE causation_id = ANY ($1::text[])"
_SCAN_S = 600.0


@dataclass(frozen=True, slots=True)
class Verifiable:
    """A log and what was derived from it. `pool` reads the views of what serves."""

    js: JetStreamContext
    events: EventStore
    pool: Pool

    @property
    def shards(self) -> range:
        return range(self.events.shards)


async def streams(log: Verifiable) -> Difference | None:
    """What the server itself says: every stream is there and whole, each shard begins as it has to. Raises
    `Unavailable`, `ConfigurationError`."""
    try:
        await open_log(log.js, log.events, log.events.shards, may_start=False)
    except LogNotTrusted as error:
        return _found("log_damaged", "the log", 0, error.message)
    return None


async def checkpoint(log: Verifiable, projection: str, stream: str, at: Checkpoint | None) -> Difference | None:
    """The event at a derived store's position is the one that it has applied. Raises `Unavailable`."""
    try:
        await check_checkpoint(log.events, stream, at, projection)
    except LogNotTrusted as error:
        return _found("position_differs", projection, 0 if at is None else at.position.sequence, error.message)
    return None


async def stored_checkpoint(log: Verifiable, projection: str, shard: int) -> Checkpoint | None:
    """Where the generation in PostgreSQL that serves is. Raises `Unavailable`."""
    sequence, event_id, sha256 = await position(log.pool, projection, shard)
    return None if sequence == 0 else Checkpoint(Position(shard, sequence), event_id, sha256)


async def stream(
    log: EventStore, name: str, shard: int, rows: Rows, through: int, advance: Advance, max_age: float = 0.0
) -> Difference | None:
    """One stream against its audit rows, up to the position `through` that the rows have reached; what follows only
    for holes. Messages older than `max_age` seconds (0: none) may be gone. Raises `Unavailable`."""
    verifier = StreamVerifier(name, shard)
    at = 0
    while at < through:
        page, pending = await log.read_page(name, ">", at + 1, _PAGE)
        messages = [message for message in page if message.sequence <= through]
        upto = messages[-1].sequence if messages and pending > 0 and len(messages) == len(page) else through
        kept_since = utc_now() - timedelta(seconds=max_age) if max_age > 0 else None
        found = await rows.page(at, upto, 2 * _PAGE)
        if len(found) == 2 * _PAGE:
            upto = found[-1].sequence
            messages = [message for message in messages if message.sequence <= upto]
        difference = verifier.compare(messages, found, kept_since)
        if difference is not None:
            if verifier.found_instead is not None:
                difference = moved(difference, await rows.belongs(verifier.found_instead))
            return difference
        advance(upto - at)
        at = upto
    return verifier.end() or await _tail(log, name, through)


async def _tail(log: EventStore, name: str, after: int) -> Difference | None:
    """Nothing is missing behind `after`."""
    whole = _Whole(name, after, await log.last_sequence(name))
    async for page in pages(log, name, after + 1, whole.last):
        if (difference := whole.next(page)) is not None:
            return difference
    return whole.end()


@dataclass(slots=True)
class _Whole:
    """Sees that the server gives out every message of a stream behind `at`, up to `last`."""

    stream: str
    at: int
    last: int

    def next(self, page: Sequence[StoredMessage]) -> Difference | None:
        for message in page:
            if message.sequence != self.at + 1:
                return self.end()
            self.at = message.sequence
        return None

    def end(self) -> Difference | None:
        if self.at >= self.last:
            return None
        return _found("message_missing", self.stream, self.at + 1, "it is gone, or cannot be read")


async def rows_end_at_position(log: Verifiable, projection: str, rows: TrailRows) -> Difference | None:
    """No row stands behind the position: rows and position are written together. Raises `Unavailable`."""
    head = await rows.head()
    at = await stored_checkpoint(log, projection, rows.shard)  # in this order: both may move meanwhile
    reached = 0 if at is None else at.position.sequence
    if head.sequence <= reached:
        return None
    what = f"the audit has come to {reached} only; nobody but the audit may write rows"
    return _found("row_inserted", rows.stream, head.sequence, what)


async def finished_commands(log: Verifiable, shard: int, advance: Advance) -> Difference | None:
    """No command is missing but those that aged out; and every one that the writer says to have carried out has its end
    in the log, or was put aside: a log that lost its end, and all that was derived from it, still has commands that
    tell. Raises `Unavailable`."""
    name = commands(shard).name
    handled = await _handled(log.js, name)
    first = await log.events.first_sequence(name)  # 0: there never was one
    whole = _Whole(name, max(first - 1, 0), await log.events.last_sequence(name))
    ended = await _ended_behind(log, shard)
    given_up = await dropped(log.events, WRITER_CONSUMER, shard)
    async for page in pages(log.events, name, 1, whole.last):
        if whole.at < page[0].sequence - 1 and await log.events.first_sequence(name) >= page[0].sequence:
            whole.at = page[0].sequence - 1  # more aged out meanwhile
        if (difference := whole.next(page)) is not None:
            return difference
        of = [message for message in page if message.sequence <= handled and message.sequence not in given_up]
        for message in await _without_end(log, of):
            if _command(message) not in ended and not await log.events.read_subject(
                DEAD.name, dead_subject(WRITER_CONSUMER, message.subject)
            ):
                what = f"command {_command(message)} was carried out, and the log does not say how it ended"
                return _found("command_lost", name, message.sequence, what)
        advance(len(page))
    return whole.end() or await _lost_end(log, shard)


async def _lost_end(log: Verifiable, shard: int) -> Difference | None:
    """The commands reach as far as the events do: what was recorded after the last command was led to by one that is
    there. A log without a single command was not made by a writer."""
    name, stream = commands(shard).name, events(shard).name
    last = await log.events.last_sequence(name)
    newest = await log.events.message_at(name, last) if last else None
    if newest is None:
        return None
    end = await log.events.last_sequence(stream)
    page, _ = await log.events.read_page(stream, ">", max(1, end - _PAGE + 1), _PAGE)
    for message in page:
        if message.recorded_at <= newest.recorded_at or RECORDED_AT in message.headers:
            continue
        with suppress(Undecodable):
            meta = read_envelope(message.data)[0]
            subject = command_subject(shard, meta.uid, meta.causation_id)
            with nats_errors(f"read {name}"):
                try:
                    await log.js.get_msg(name, subject=subject)
                except NotFoundError:
                    what = f"the command that led to event {message.sequence} is gone: the stream lost its end"
                    return _found("message_missing", name, last + 1, what)
    return None


async def _ended_behind(log: Verifiable, shard: int) -> set[str]:
    """The commands that the part of the log tells of which the read models have not reached."""
    at = await stored_checkpoint(log, READ_MODELS, shard)
    name, first = events(shard).name, 1 if at is None else at.position.sequence + 1
    found: set[str] = set()
    async for page in pages(log.events, name, first, await log.events.last_sequence(name)):
        for message in page:
            with suppress(Undecodable):
                found.add(read_envelope(message.data)[0].causation_id)
    return found


async def _without_end(log: Verifiable, page: Sequence[StoredMessage]) -> list[StoredMessage]:
    """The commands of which no event tells. Those of events that could not be applied stand among the audit rows only,
    where no index helps: few, if any."""
    ids = [_command(message) for message in page]
    with postgres_errors():
        settled = await log.pool.fetch(_SETTLED, [message.subject.split(".")[3] for message in page], ids)
        left = set(ids) - {row["command_id"] for row in settled}
        if left:
            left -= {row["causation_id"] for row in await log.pool.fetch(_CAUSED, [*left], timeout=_SCAN_S)}
    return [message for message in page if _command(message) in left]


def _command(message: StoredMessage) -> str:
    return message.subject.rsplit(".", 1)[-1]


async def _handled(js: JetStreamContext, name: str) -> int:
    """Up to where the writer has acknowledged commands."""
    with nats_errors(f"describe {name}"):
        try:
            info = await js.consumer_info(name, WRITER_CONSUMER)
        except NotFoundError:
            return 0
    return 0 if info.ack_floor is None else info.ack_floor.stream_seq


async def users(log: Verifiable, advance: Advance) -> Difference | None:
    """The directory is whole, every user of the log is in it, and has a key. Raises `Unavailable`."""
    if (difference := await _tail(log.events, USERS.name, 0)) is not None:
        return difference
    with postgres_errors():
        registered = {row["uid"] for row in await log.pool.fetch("SELECT uid FROM memlog.users")}
    known = {uid async for uid in _uids(log, USERS.name)}
    keys = {uid async for uid in _uids(log, KEYS.name)}
    for uid in sorted(registered):
        if uid not in known:
            return _found("user_lost", USERS.name, 0, f"user {uid} is not in the directory")
        if uid not in keys:
            return _found("user_lost", KEYS.name, 0, f"user {uid} has no data key")
        advance(1)
    return None


async def _uids(log: Verifiable, name: str) -> AsyncGenerator[str]:
    """Of whom the directory, or the keys, have an entry."""
    async for page in pages(log.events, name, 1, await log.events.last_sequence(name)):
        for message in page:
            if name == KEYS.name:
                yield message.subject.rsplit(".", 1)[-1]
            else:
                with suppress(ValueError, KeyError, TypeError):
                    yield json.loads(message.data)["uid"]


def _found(kind: DifferenceKind, where: str, sequence: int, detail: str) -> Difference:
    return Difference(kind=kind, where=where, sequence=sequence, detail=detail)
