"""What a projection gave up on, for one that is filled beside it: it passes over the same events."""

from contracts.streams import DEAD, is_truth

from runtime.dead_letters import SEQUENCE, SUBJECT, dropped
from runtime.event_store import EventStore


class Buried:
    """The dead letters of one projection and shard, and what it was told to go on without, as of the last `load`."""

    def __init__(self, events: EventStore, projection: str, shard: int, stream: str) -> None:
        self._events = events
        self._projection = projection
        self._shard = shard
        self._letters = f"memlog.dead.{projection}.{shard}.>"
        self._followers_too = is_truth(stream)
        self._sequences: dict[str, list[int]] = {}
        self._dropped: set[int] = set()

    async def load(self) -> None:
        """Learn what is put aside now. Raises `Unavailable`."""
        found: dict[str, list[int]] = {}
        for letter in await self._events.read_subject(DEAD.name, self._letters):
            found.setdefault(letter.headers[SUBJECT], []).append(int(letter.headers[SEQUENCE]))
        self._sequences = found
        self._dropped = await dropped(self._events, self._projection, self._shard)

    def holds(self, subject: str, sequence: int) -> bool:
        """Whether the projection passed over this message: it was given up on, for good or not, or stands behind one of
        its aggregate that is quarantined (reads do not build on each other)."""
        if sequence in self._dropped:
            return True
        sequences = self._sequences.get(subject)
        if not sequences:
            return False
        return sequence >= min(sequences) if self._followers_too else sequence in sequences
