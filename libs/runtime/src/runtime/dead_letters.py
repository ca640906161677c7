"""Dead letters: a copy of each message that a consumer gave up on, with the reason (architecture §6).

MEMLOG_DEAD is also the memory of what is quarantined: an aggregate is, for a projection, as long as a dead letter of
it stands there. Later events of it follow, so that nothing is applied over a gap; everyone else goes on.
"""

import contextlib
from typing import cast

from contracts.streams import DEAD, DROPPED
from contracts.subjects import ROOT, dead_subject, dropped_subject
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from runtime.errors import nats_errors
from runtime.event_store import EventStore, StoredMessage
from runtime.telemetry import carried

SUBJECT, STREAM, SEQUENCE, REASON = "Memlog-Subject", "Memlog-Stream", "Memlog-Sequence", "Memlog-Reason"
_REASON_LENGTH = 500


class DeadLetters:
    """The dead letters of one consumer (a projection, or the writer)."""

    def __init__(self, js: JetStreamContext, events: EventStore, consumer: str) -> None:
        self._js = js
        self._events = events
        self._consumer = consumer

    async def quarantined(self, shard: int, uid: str = "*") -> set[str]:
        """The subjects of MEMLOG_DEAD that hold letters of this consumer and shard, of one user or all. Raises
        `Unavailable`."""
        with nats_errors("list dead letters"):
            info = await self._js.stream_info(
                DEAD.name, subjects_filter=f"memlog.dead.{self._consumer}.{shard}.{uid}.>"
            )
        return set(info.state.subjects or {})

    async def bury(self, stream: str, message: StoredMessage, reason: str) -> str:
        """See `bury`."""
        return await bury(self._js, self._consumer, stream, message, reason)

    async def letters(self, subject: str) -> list[StoredMessage]:
        """The letters on a subject of MEMLOG_DEAD, oldest first. Raises `Unavailable`."""
        return await self._events.read_subject(DEAD.name, subject)

    async def release(self, subject: str, before: StoredMessage | None = None) -> None:
        """Remove the letters of a subject, all or those before one of them. Raises `Unavailable`."""
        with nats_errors("remove dead letters"):
            await self._js.purge_stream(DEAD.name, subject=subject, seq=None if before is None else before.sequence)

    async def remove(self, letter: StoredMessage) -> None:
        """Remove one letter; it may be gone already. Raises `Unavailable`."""
        with nats_errors("remove a dead letter"), contextlib.suppress(NotFoundError):
            await self._js.delete_msg(DEAD.name, letter.sequence)

    async def dropped(self, shard: int) -> set[int]:
        """The sequences of all messages of the shard that this consumer has to go on without. Raises `Unavailable`."""
        return await dropped(self._events, self._consumer, shard)

    async def note_dropped(self, letter: StoredMessage) -> None:
        """Write down that this consumer has to go on without the letter's message. Raises `Unavailable`."""
        subject = dropped_subject(self._consumer, letter.headers[SUBJECT], int(letter.headers[SEQUENCE]))
        with nats_errors("note what was dropped"):
            await self._js.publish(subject, b"")


async def bury(js: JetStreamContext, consumer: str, stream: str, message: StoredMessage, reason: str) -> str:
    """Keep a copy of what `consumer` gave up on, once however often it is buried; returns the subject that it stands
    on. Raises `Unavailable`."""
    subject = dead_subject(consumer, message.subject)
    with nats_errors("keep a dead letter"):
        # The letters of a subject stand in the order of their messages: the last one tells.
        try:
            last = await js.get_msg(DEAD.name, subject=subject)
            noted = cast("dict[str, str]", last.headers or {})  # pyright: ignore[reportUnknownMemberType]
            if int(noted.get(SEQUENCE, "0")) >= message.sequence:
                return subject
        except NotFoundError:
            pass
        headers = {
            **carried(message.headers),
            SUBJECT: message.subject,
            STREAM: stream,
            SEQUENCE: str(message.sequence),
            # A header is ASCII: anything else comes back garbled.
            REASON: " ".join(reason.encode("ascii", "backslashreplace").decode().split())[:_REASON_LENGTH],
        }
        await js.publish(subject, message.data, headers=headers)
    return subject


async def dropped(events: EventStore, consumer: str, shard: int) -> set[int]:
    """See `DeadLetters.dropped`."""
    noted = await events.read_subject(DROPPED.name, f"{ROOT}.dropped.{consumer}.{shard}.>")
    return {int(note.subject.rsplit(".", 1)[-1]) for note in noted}
