"""Quarantine: what one projection does not apply, so that one bad event delays nobody else (G12)."""

from collections.abc import Collection
from dataclasses import replace

import structlog
from contracts.codec import Meta, Recorded, Undecodable, read_envelope
from contracts.errors import ConcurrencyConflict, LogNotTrusted, Unavailable, UnsupportedSchema
from contracts.positions import Position, message_hash
from contracts.streams import is_truth
from contracts.subjects import dead_subject

from runtime.dead_letters import SEQUENCE, DeadLetters
from runtime.errors import NATS_FAILURES
from runtime.event_store import StoredMessage
from runtime.telemetry import trace_id

log = structlog.get_logger()

WILL_HEAL = (Unavailable, ConcurrencyConflict, LogNotTrusted, UnsupportedSchema, *NATS_FAILURES)
"""Failures that are not the event's own: of a server, of ownership, of this version of Memlog. They are waited out, or
stop the projection; burying events would be wrong."""


class Quarantine:
    """The quarantined aggregates of one projection and shard. MEMLOG_DEAD is its memory."""

    def __init__(self, letters: DeadLetters, projection: str, shard: int, stream: str) -> None:
        self.letters = letters
        self._projection = projection
        self._shard = shard
        self._stream = stream
        # Reads do not build on each other: a bad one is left out, and those after it are not.
        self._followers_too = is_truth(stream)
        self._subjects: set[str] = set()
        self._dropped: set[int] = set()

    @property
    def size(self) -> int:
        """How many aggregates are quarantined."""
        return len(self._subjects)

    async def load(self) -> None:
        """Learn what is quarantined, and what a person said to go on without. Raises `Unavailable`."""
        self._subjects = await self.letters.quarantined(self._shard)
        self._dropped = await self.letters.dropped(self._shard)

    def dropped(self, message: StoredMessage) -> bool:
        """Whether a person said to go on without the message."""
        return message.sequence in self._dropped

    def holds(self, message: StoredMessage) -> bool:
        """Whether the message's aggregate is quarantined, so that the message has to follow."""
        return self._followers_too and dead_subject(self._projection, message.subject) in self._subjects

    async def bury(self, message: StoredMessage, event: Recorded, reason: str | None = None) -> Recorded:
        """Keep a copy of the message, and quarantine its aggregate; `reason` None: it follows an earlier one. Returns
        the event as the projection may apply it: as one that changes nothing. Raises `Unavailable`."""
        why = reason or "follows an earlier event of the same aggregate that could not be applied"
        self._subjects.add(await self.letters.bury(self._stream, message, why))
        log.error(
            "event_buried",
            projection=self._projection,
            position=str(event.position),
            type=event.type,
            follows=reason is None,
            reason=why,
        )
        return replace(event, payload=None)

    async def release(self, subject: str, before: StoredMessage | None = None) -> None:
        """The aggregate was folded anew: its dead letters go, up to `before` where that one could not be applied.
        Raises `Unavailable`."""
        await self.letters.release(subject, before)
        if before is None:
            self._subjects.discard(subject)

    async def drop(self, subject: str, sequences: Collection[int]) -> None:
        """Go on without these messages, for good: that is written down, and their dead letters go. Raises
        `Unavailable`."""
        for letter in await self.letters.letters(subject) if sequences else ():
            sequence = int(letter.headers[SEQUENCE])
            if sequence in sequences:
                await self.letters.note_dropped(letter)
                self._dropped.add(sequence)
                await self.letters.remove(letter)


def without_payload(shard: int, message: StoredMessage) -> Recorded:
    """An event of which only the envelope is read, where there is one: erased, or not to be applied."""
    try:
        meta, type_ = read_envelope(message.data)
    except Undecodable:
        nobody = f"unreadable-{message.sequence}"
        uid = message.subject.split(".")[3]
        meta, type_ = Meta(nobody, uid, "", "", message.recorded_at, nobody, nobody), "unreadable"
    position = Position(shard, message.sequence)
    return Recorded(
        position=position,
        recorded_at=message.recorded_at,
        sha256=message_hash(message.data),
        meta=meta,
        type=type_,
        payload=None,
        subject=message.subject,
        trace_id=trace_id(message.headers),
    )
