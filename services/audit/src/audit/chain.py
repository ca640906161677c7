"""The audit chain (architecture §7): a row for each message of a stream, each bound to all those before it. Pure.

    h(n) = SHA-256(h(n-1) ‖ sequence of n, 8 bytes, big-endian ‖ SHA-256(stored bytes of n))

Before the first message, h is the SHA-256 of the stream's name, so that the chain of one shard, or of the reads, is
not that of another. Subject, time of recording and trace stand outside of the stored bytes: the rows hold them, and
verifying compares them with the message.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from contracts.codec import Recorded
from runtime.event_store import StoredMessage
from runtime.quarantine import without_payload

_MOST_CHARACTERS = 512
"""Of a text in a row: whatever stands in an envelope, its row can be written."""


@dataclass(frozen=True, slots=True)
class Head:
    """How far a chain is: its hash (hex) at a sequence."""

    sequence: int
    chain: str


@dataclass(frozen=True, slots=True)
class AuditRow:
    """What the audit holds of a message: who, what, when, its hash, and the chain up to it (both hex)."""

    shard: int
    sequence: int
    event_id: str
    type: str
    uid: str
    app_id: str
    actor: str
    correlation_id: str
    causation_id: str
    trace_id: str | None
    subject: str
    occurred_at: datetime
    recorded_at: datetime
    sha256: str
    chain: str


def genesis(stream: str) -> Head:
    """Where the chain of a stream begins."""
    return Head(0, sha256(stream.encode()).hexdigest())


def link(before: str, sequence: int, message: str) -> str:
    """h(n), from h(n-1), the sequence of n and the hash of its stored bytes, all hashes in hex."""
    return sha256(bytes.fromhex(before) + sequence.to_bytes(8, "big") + bytes.fromhex(message)).hexdigest()


def rows(before: Head, events: Iterable[Recorded]) -> Iterator[AuditRow]:
    """The rows of consecutive messages, in order."""
    chain = before.chain
    for event in events:
        chain = link(chain, event.position.sequence, event.sha256)
        yield _row(event, chain)


def row_of(shard: int, message: StoredMessage, chain: str) -> AuditRow:
    """The row of a message, from nothing but the message: no key is needed."""
    return _row(without_payload(shard, message), chain)


def _row(event: Recorded, chain: str) -> AuditRow:
    meta = event.meta
    return AuditRow(
        shard=event.position.shard,
        sequence=event.position.sequence,
        event_id=_text(meta.id),
        type=_text(event.type),
        uid=_text(meta.uid),
        app_id=_text(meta.app),
        actor=_text(meta.actor),
        correlation_id=_text(meta.correlation_id),
        causation_id=_text(meta.causation_id),
        trace_id=event.trace_id,
        subject=_text(event.subject),
        occurred_at=_moment(meta.occurred_at, event.recorded_at),
        recorded_at=event.recorded_at,
        sha256=event.sha256,
        chain=chain,
    )


def _text(value: str) -> str:
    """As PostgreSQL can hold it: without U+0000, and not longer than an index takes."""
    return value.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:_MOST_CHARACTERS]


def _moment(value: datetime, otherwise: datetime) -> datetime:
    """In UTC; `otherwise` for a time that is none there (an offset that leads out of the calendar)."""
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        return otherwise
