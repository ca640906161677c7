"""What a command comes to, and the parts that plans are made of."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NamedTuple

from contracts import subjects
from contracts.api import ChangeKind, Item
from contracts.codec import DataKey, Meta
from contracts.commands import MAX_RESULTS, AddMemory, AnyCommand, ForMemories, ProcessText, ReprocessText
from contracts.errors import MemlogError
from contracts.events import CommandSettled, ItemResult
from contracts.messages import Event
from contracts.positions import Position
from contracts.subjects import Aggregate

from memory_writer.aggregates import Aggregates, Loaded


@dataclass(frozen=True, slots=True)
class Append:
    """An event to append to an aggregate; `index` is its place in the command, from which its id derives. `at` and
    `app`: when it happened and in which app, where that is not when and where the command was given."""

    aggregate: Aggregate
    event: Event
    expected: int
    index: int
    at: datetime | None = None
    app: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a command comes to. `touched` are the aggregates that it read: a plan is stale once an earlier command
    appended to one of them. `position` is where it was done before, when nothing is left to append. `partial`: this is
    not the end of its operation."""

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


class Operation(NamedTuple):
    """What ends with a command: its own operation, or that of the command that it carries on."""

    id: str
    type: str


def operation_of(meta: Meta, payload: AnyCommand) -> Operation:
    """The operation that the command ends."""
    if not isinstance(payload, ProcessText):
        return Operation(meta.id, payload.type)
    brought = payload.operation_id == payload.source_id
    return Operation(payload.operation_id, AddMemory.type if brought else ReprocessText.type)


def last_index(payload: AnyCommand) -> int:
    """The place of the event that closes the command, where one does by itself: behind those that it may append."""
    match payload:
        case ForMemories(memory_ids=memory_ids):
            return len(memory_ids)
        case ProcessText(decisions=decisions):
            return max(len(decisions), 1) + 1
        case _:
            return 0


def refuse(
    meta: Meta, operation: Operation, error: MemlogError, touched: Iterable[Aggregate] = (), index: int = 0
) -> Plan:
    """The plan of a command that is refused: its operation ends with the reason, as the command's `index`-th event."""
    plan = Plan(frozenset(touched), status="refused", code=error.code, reason=error.message)
    return closed(meta, operation, plan, index)


def closed(meta: Meta, operation: Operation, plan: Plan, index: int) -> Plan:
    """The plan with `CommandSettled` behind what it appends, as the command's `index`-th event."""
    named = plan.items if len(plan.items) <= MAX_RESULTS else ()
    settled = CommandSettled(
        command_type=operation.type,
        outcome=plan.status,
        code=plan.code,
        reason=plan.reason,
        results=tuple(ItemResult(id=item.id, event=item.event) for item in named),
        counts={**(plan.counts or counts(plan.items))},
    )
    aggregate = subjects.operation(meta.uid, operation.id)
    return replace(plan, appends=(*plan.appends, Append(aggregate, settled, 0, index)))
