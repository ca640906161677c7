"""Loaded aggregates: the state, the subject's last sequence, and which commands have left an event there.

The shard's owner is the only appender, so a state once loaded stays right until the owner itself appends; the
expected sequence on every append catches the case where it is not.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from contracts.codec import DataKey, Recorded
from contracts.messages import Event
from contracts.positions import Position
from contracts.subjects import Aggregate
from runtime.decider import Decider
from runtime.event_store import EventStore

from memory_writer.domain.access import ACCESS
from memory_writer.domain.app import APP
from memory_writer.domain.archive_policy import ARCHIVE_POLICY
from memory_writer.domain.category import CATEGORY
from memory_writer.domain.memory import MEMORY
from memory_writer.domain.settings import SETTINGS
from memory_writer.domain.source import SOURCE
from memory_writer.domain.token import TOKEN
from memory_writer.domain.user import USER

_DECIDERS: dict[str, Decider[Any, Any, Any]] = {
    "memory": MEMORY,
    "app": APP,
    "category": CATEGORY,
    "user": USER,
    "access": ACCESS,
    "settings": SETTINGS,
    "policy": ARCHIVE_POLICY,
    "source": SOURCE,
    "token": TOKEN,
}
_CACHED = 20_000


@dataclass(slots=True)
class Loaded:
    """An aggregate in hand. `by_command` maps a command's id to where its event stands: a command that is handled
    twice finds here what it did the first time."""

    state: Any
    sequence: int = 0
    by_command: dict[str, Position] = field(default_factory=dict[str, Position])


def fold(kind: str, events: list[Recorded]) -> Loaded:
    """State, sequence and commands of a history. An erased or unknown event changes no state."""
    decider = _DECIDERS[kind]
    loaded = Loaded(decider.initial)
    for event in events:
        if event.payload is not None:
            loaded.state = decider.evolve(loaded.state, event.payload)
        loaded.sequence = event.position.sequence
        loaded.by_command[event.meta.causation_id] = event.position
    return loaded


class Aggregates:
    """Loads aggregates through a bounded cache."""

    def __init__(self, events: EventStore) -> None:
        self._events = events
        self._cache: OrderedDict[Aggregate, Loaded] = OrderedDict()

    async def load(self, aggregate: Aggregate, key: DataKey) -> Loaded:
        """The aggregate as it is in the log. Raises `Unavailable`, `Undecodable`."""
        cached = self._cache.get(aggregate)
        if cached is not None:
            self._cache.move_to_end(aggregate)
            return cached
        loaded = fold(aggregate.kind, await self._events.load(aggregate, key))
        self._cache[aggregate] = loaded
        if len(self._cache) > _CACHED:
            self._cache.popitem(last=False)
        return loaded

    def appended(self, aggregate: Aggregate, command_id: str, event: Event, position: Position) -> None:
        """An event of ours is in the log: move the loaded state on."""
        if aggregate.kind == "source":  # needed once more at most, and it holds a whole text
            self.forget(aggregate)
            return
        loaded = self._cache.get(aggregate)
        if loaded is not None:
            loaded.state = _DECIDERS[aggregate.kind].evolve(loaded.state, event)
            loaded.sequence = position.sequence
            loaded.by_command[command_id] = position

    def forget(self, aggregate: Aggregate) -> None:
        """What is in the log is not known any more: load it anew next time."""
        self._cache.pop(aggregate, None)
