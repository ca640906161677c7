"""What a command comes to, and the parts that plans are made of."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from contracts import subjects
from contracts.api import ChangeKind, Item
from contracts.codec import DataKey, Meta
from contracts.commands import MAX_RESULTS
from contracts.errors import MemlogError
from contracts.events import CommandSettled, ItemResult
from contracts.messages import Event
from contracts.positions import Position
from contracts.subjects import Aggregate

from memory_writer.aggregates import Aggregates, Loaded


@dataclass(frozen=True, slots=True)
class Append:
    """An event to append to an aggregate; `index` is its place in the command, from which its id derives."""

    aggregate: Aggregate
    event: Event
    expected: int
    index: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a command comes to. `touched` are the aggregates that it read: a plan is stale once an earlier command
    appended to one of them. `position` is where it was done before, when nothing is left to append."""

    touched: frozenset[Aggregate]
    appends: tuple[Append, ...] = ()
    items: tuple[Item, ...] = ()
    counts: dict[ChangeKind, int] | None = None
    status: Literal["done", "nothing", "refused"] = "done"
    code: str | None = None
    reason: str | None = None
    position: Position | None = None
    partial: bool = False


def counts(items: Iterable[Item]) -> dict[ChangeKind, int]:
    """How many memories were changed, by kind."""
    return dict(Counter(item.event for item in items))


class Loader:
    """Loads, and remembers what was loaded."""

    def __init__(self, aggregates: Aggregates, key: DataKey) -> None:
        self._aggregates = aggregates
        self._key = key
        self.touched: set[Aggregate] = set()

    async def load(self, aggregate: Aggregate) -> Loaded:
        self.touched.add(aggregate)
        return await self._aggregates.load(aggregate, self._key)


def appends(aggregate: Aggregate, events: Iterable[Event], loaded: Loaded, index: int = 0) -> tuple[Append, ...]:
    return tuple(Append(aggregate, event, loaded.sequence, index) for event in events)


def refuse(meta: Meta, type_: str, error: MemlogError, touched: Iterable[Aggregate] = (), index: int = 0) -> Plan:
    """The plan of a command that is refused: its operation ends with the reason, as the command's `index`-th event."""
    plan = Plan(frozenset(touched), status="refused", code=error.code, reason=error.message)
    return closed(meta, type_, plan, index)


def closed(meta: Meta, type_: str, plan: Plan, index: int) -> Plan:
    """The plan with `CommandSettled` behind what it appends, as the command's `index`-th event."""
    named = plan.items if len(plan.items) <= MAX_RESULTS else ()
    settled = CommandSettled(
        command_type=type_,
        outcome=plan.status,
        code=plan.code,
        reason=plan.reason,
        results=tuple(ItemResult(id=item.id, event=item.event) for item in named),
        counts={**(plan.counts or counts(plan.items))},
    )
    aggregate = subjects.operation(meta.uid, meta.id)
    return replace(plan, appends=(*plan.appends, Append(aggregate, settled, 0, index)))
