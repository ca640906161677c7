"""Reads see every write that was called searchable, also after a crash of a derived store (G4).

PostgreSQL commits without waiting for its disk, so it can come back from a crash a moment behind; and after a restart
of everything the projections may still be catching up. Until they have passed what they, or the log, were known to
hold, a read is refused instead of answered from the past.
"""

import asyncio
from dataclasses import dataclass

from contracts.errors import InvalidInput, Unavailable
from contracts.positions import Position
from contracts.streams import SERVING_PROJECTIONS, events
from contracts.subjects import shard_of
from runtime.event_store import EventStore
from runtime.waiting import Positions

_LOOK_EVERY = 0.1
_LOOK_AGAIN = 1.0
_WAIT_S = 5.0
_MANY = 1000
"""Events that a projection lacks when it is not merely catching up after a restart."""


@dataclass(slots=True)
class _Pace:
    """How a projection gets on: position and time when it was first seen to be behind, and the time now."""

    first: int
    began: float
    now: float = 0.0

    def seconds(self, at: int, needed: int) -> float | None:
        """Until it is there, if that can be told."""
        passed, took = at - self.first, self.now - self.began
        return (needed - at) * took / passed if passed > 0 and took > 0 else None


class Freshness:
    """Knows how far each projection must be. `open()` before use; `follow()` runs beside."""

    def __init__(self, positions: Positions, log: EventStore, shards: int) -> None:
        self._positions = positions
        self._log = log
        self._shards = shards
        self._floor: list[int] = []
        self._paces: dict[tuple[str, int], _Pace] = {}

    async def open(self) -> None:
        """Everything that is in the log now has to be seen by the first read. Raises `Unavailable`."""
        self._floor = [await self._log.last_sequence(events(shard).name) for shard in range(self._shards)]

    async def follow(self) -> None:
        """Ask the projections that are behind where they are: a push may have come before this process was there."""
        while True:
            behind = [key for shard in range(self._shards) for key in self._behind(shard, SERVING_PROJECTIONS)]
            self._paces = {key: pace for key, pace in self._paces.items() if key in behind}
            for projection, shard in behind:
                await self._positions.ask(projection, shard)
                at, now = self._positions.known(projection, shard), asyncio.get_running_loop().time()
                pace = self._paces.setdefault((projection, shard), _Pace(at, now))
                pace.now = now
            await asyncio.sleep(_LOOK_EVERY if behind else _LOOK_AGAIN)

    def require(self, uid: str, projections: tuple[str, ...]) -> None:
        """Raises `Unavailable` while one of the projections is behind for this user."""
        for projection, shard in self._behind(shard_of(uid, self._shards), projections):
            raise Unavailable(self._why(projection, shard))

    async def reached(self, position: Position, projections: tuple[str, ...], said_in: str) -> None:
        """Returns once the projections have passed the position. Raises `InvalidInput`, which names where it was
        `said_in`, for one that is not in the log, and `Unavailable` if they have not after 5 s."""
        at = min(self._positions.known(projection, position.shard) for projection in projections)
        if position.sequence <= at:
            return
        if position.shard >= self._shards or position.sequence > await self._log.last_sequence(
            events(position.shard).name
        ):
            raise InvalidInput(f"{said_in}: the log ends before '{position}'; pass a position that Memlog returned")
        if not await self._positions.wait(projections, position, _WAIT_S):
            raise Unavailable(f"{' and '.join(projections)} have not reached '{position}' yet; try again")

    def lag(self) -> list[str]:
        """What is behind, in words; empty when all reads are served."""
        return [
            self._why(name, shard)
            for shard in range(self._shards)
            for name, _ in self._behind(shard, SERVING_PROJECTIONS)
        ]

    def _why(self, projection: str, shard: int) -> str:
        at, needed = self._positions.known(projection, shard), self._needed(projection, shard)
        if needed - at < _MANY:
            return f"{projection} is catching up with the log ({at} of {needed} events); try again in a moment"
        pace = self._paces.get((projection, shard))
        left = None if pace is None else pace.seconds(at, needed)
        about = "" if left is None else f", about {left:.0f} seconds left"
        return f"{projection} is being rebuilt from the log ({at} of {needed} events{about})"

    def _behind(self, shard: int, projections: tuple[str, ...]) -> list[tuple[str, int]]:
        return [
            (projection, shard)
            for projection in projections
            if self._positions.known(projection, shard) < self._needed(projection, shard)
        ]

    def _needed(self, projection: str, shard: int) -> int:
        return max(self._floor[shard], self._positions.highest(projection, shard))
