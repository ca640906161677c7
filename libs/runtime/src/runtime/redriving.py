"""Redriving: what a projection gave up on is tried again, or gone on without when a person says so, as far as it goes.

An aggregate may hold several events that cannot be applied. It is folded anew up to the first that still cannot: what
stands before it is applied and its letters go, the rest stays quarantined.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from contracts.codec import Recorded
from contracts.dead_letters import RedriveReply, RedriveRequest
from contracts.errors import MemlogError
from contracts.streams import is_truth
from contracts.subjects import Aggregate

from runtime.dead_letters import SEQUENCE, SUBJECT
from runtime.event_store import EventStore, StoredMessage
from runtime.quarantine import WILL_HEAL, Quarantine

Decode = Callable[[StoredMessage], Awaitable[Recorded]]
Refold = Callable[[Aggregate, Sequence[Recorded]], Awaitable[None]]
"""See `runtime.store.ProjectionStore.refold`."""


class Redriving:
    """Of one projection and shard. Between two batches only."""

    def __init__(self, quarantine: Quarantine, events: EventStore, stream: str, decode: Decode, refold: Refold) -> None:
        self._quarantine = quarantine
        self._events = events
        self._stream = stream
        self._decode = decode
        self._refold = refold

    async def redrive(self, request: RedriveRequest, position: int) -> RedriveReply:
        """Do what is asked, for a projection that has passed `position`. Raises what is not the events' own fault."""
        await self._quarantine.drop(request.subject, request.without)
        letters = await self._quarantine.letters.letters(request.subject)
        again = self._fold if is_truth(self._stream) else self._each
        why = await again(request.subject, letters, position)
        left = await self._quarantine.letters.letters(request.subject) if why is not None else []
        if why is not None and not request.without and len(left) == len(letters):
            return RedriveReply(error=why)
        return RedriveReply(stays=why)

    async def _fold(self, subject: str, letters: Sequence[StoredMessage], position: int) -> str | None:
        """Fold the aggregate anew, up to the first event that cannot be applied. Why letters stay, or None."""
        if not letters:
            await self._quarantine.release(subject)
            return None
        original = letters[0].headers[SUBJECT]
        stored = await self._events.read_subject(self._stream, original)
        stored = [each for each in stored if each.sequence <= position and not self._quarantine.dropped(each)]
        history = [await self._decoded(message) for message in stored]
        # All of it, mostly. Else the longest part that ends before a letter: what fails in a part fails in longer ones.
        failure = await self._attempt(original, history)
        if failure is None:
            await self._quarantine.release(subject)
            return None
        by_sequence = {int(letter.headers[SEQUENCE]): letter for letter in letters}
        cuts = [(at, by_sequence[m.sequence]) for at, m in enumerate(stored) if m.sequence in by_sequence]
        works, fails = -1, len(cuts)
        while fails - works > 1:
            middle = (works + fails) // 2
            error = await self._attempt(original, history[: cuts[middle][0]])
            works, fails, failure = (middle, fails, failure) if error is None else (works, middle, error)
        if works < 0:
            return f"{type(failure).__name__}: {failure}"
        first = cuts[works][1]
        await self._quarantine.release(subject, before=first)
        return _why(first, failure)

    async def _each(self, subject: str, letters: Sequence[StoredMessage], _: int) -> str | None:
        """Reads do not build on each other: each that can be applied is. Why letters stay, or None."""
        why: str | None = None
        for letter in letters:
            original, sequence = letter.headers[SUBJECT], int(letter.headers[SEQUENCE])
            # What a replay reads, so that both come to hold the same; the letter where it has aged out meanwhile.
            message = await self._events.message_at(self._stream, sequence)
            message = message or replace(letter, subject=original, sequence=sequence)
            failure = await self._attempt(original, [await self._decoded(message)])
            if failure is None:
                await self._quarantine.letters.remove(letter)
            else:
                why = why or _why(letter, failure)
        if why is None:
            await self._quarantine.release(subject)
        return why

    async def _attempt(self, original: str, history: Sequence[Recorded | MemlogError]) -> Exception | None:
        """Refold with this history; what is wrong with it, or None. Raises what is not its own fault."""
        try:
            events: list[Recorded] = []
            for each in history:
                if isinstance(each, MemlogError):
                    raise each
                events.append(each)
            if events:
                await self._refold(_aggregate(original), events)
        except WILL_HEAL:
            raise
        except Exception as error:  # noqa: BLE001 - whatever an event does, the operator is told
            return error
        return None

    async def _decoded(self, message: StoredMessage) -> Recorded | MemlogError:
        try:
            return await self._decode(message)
        except WILL_HEAL:
            raise
        except MemlogError as error:
            return error


def _why(letter: StoredMessage, failure: Exception) -> str:
    return f"dead letter {letter.sequence} cannot be applied: {type(failure).__name__}: {failure}"


def _aggregate(subject: str) -> Aggregate:
    """What a message is about, by its subject; of a read: what its app has read."""
    _, stream, _, uid, *rest = subject.split(".")
    kind, *id_ = rest if len(rest) > 1 else (stream, *rest)
    return Aggregate(uid, kind, "-".join(id_))
