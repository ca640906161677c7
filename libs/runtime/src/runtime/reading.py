"""The log as a projection reads it that is filled or caught up beside the serving one: what that one gave up on is
passed over here too, so that both come to hold the same."""

from collections.abc import AsyncGenerator

from contracts.codec import Recorded, Undecodable
from contracts.errors import Conflict, ContentDamaged, MemlogError

from runtime.buried import Buried
from runtime.event_store import EventStore, StoredMessage
from runtime.keys import KeyStore
from runtime.log_checks import require_next
from runtime.projection import decode
from runtime.quarantine import without_payload
from runtime.stream_reading import pages


class ReplayRefused(Conflict):
    """A rebuild met an event that cannot be applied. What serves is untouched, and goes on."""

    code = "replay_refused"
    remedy = (
        "The message names the event. If it is damaged, restore the log from a backup; else upgrade Memlog: it is a "
        "defect. Then `memlog projections resume NAME` goes on where it was."
    )


class Reading:
    """One projection's reading of one shard."""

    def __init__(self, events: EventStore, keys: KeyStore, buried: Buried, shard: int, stream: str) -> None:
        self.buried = buried
        self._events = events
        self._keys = keys
        self._shard = shard
        self.stream = stream

    async def between(self, after: int, last: int) -> AsyncGenerator[tuple[list[Recorded], list[dict[str, str]]]]:
        """The events behind sequence `after`, up to `last`, and their headers, a page at a time. Raises
        `ReplayRefused`, `LogNotTrusted` when one is missing, `Unavailable`."""
        async for page in pages(self._events, self.stream, after + 1, last):
            for message in page:
                require_next(self.stream, after, message.sequence)
                after = message.sequence
            events = [await self.event(message, await decoded(self._keys, self._shard, message)) for message in page]
            yield events, [message.headers for message in page]
        require_next(self.stream, after, last + 1)

    async def event(self, message: StoredMessage, event: Recorded | MemlogError) -> Recorded:
        """The event as this projection applies it: without a payload where it gave it up. Raises `ReplayRefused` when
        it cannot be read, and was not given up."""
        if isinstance(event, Recorded):
            if not self.buried.holds(message.subject, message.sequence):
                return event
        elif not await self.given_up(message.subject, message.sequence):
            raise ReplayRefused(f"the event at {self._shard}-{message.sequence} cannot be read: {event.message}")
        return without_payload(self._shard, message)

    async def given_up(self, subject: str, sequence: int) -> bool:
        """Whether the serving projection gave up on it, perhaps only since this began."""
        await self.buried.load()
        return self.buried.holds(subject, sequence)


async def decoded(keys: KeyStore, shard: int, message: StoredMessage) -> Recorded | MemlogError:
    """The event, or why it cannot be read whatever the moment."""
    try:
        return await decode(keys, shard, message)
    except (Undecodable, ContentDamaged) as error:
        return error
