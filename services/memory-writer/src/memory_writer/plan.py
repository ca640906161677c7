"""From a command to a plan: which aggregates it needs, what it appends, what to answer. Loading is the only I/O."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, assert_never

from contracts import ids, subjects
from contracts.api import ChangeKind, Item
from contracts.codec import DataKey, Decoded, Meta
from contracts.commands import (
    MAX_RESULTS,
    AddMemory,
    AnyCommand,
    DeleteMemories,
    PauseApp,
    RegisterApp,
    RegisterUser,
    ResumeApp,
    ReviseMemory,
)
from contracts.errors import MemlogError, NotFound
from contracts.events import CommandSettled, ItemResult
from contracts.messages import Event
from contracts.positions import Position
from contracts.subjects import Aggregate

from memory_writer.aggregates import Aggregates, Loaded
from memory_writer.domain.app import APP, Pause, Register, Resume, require_running
from memory_writer.domain.memory import MEMORY, Absent, Active, Add, Delete, Revise, same_text
from memory_writer.domain.user import USER

_LOADED_AT_ONCE = 128


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


class Planner:
    """Plans commands against the aggregates as they are now."""

    def __init__(self, aggregates: Aggregates) -> None:
        self._aggregates = aggregates

    async def plan(self, command: Decoded[AnyCommand], key: DataKey) -> Plan:
        """The command's plan. Refusals are plans; raises only `Unavailable` and what is a defect."""
        loader = _Tracking(self._aggregates, key)
        try:
            plan = await self._decide(command, key, loader)
        except MemlogError as error:
            if error.status >= 500:
                raise
            return refuse(command.meta, command.payload.type, error, loader.touched)
        plan = replace(plan, touched=frozenset(loader.touched))
        return _settled(command, plan)

    async def warm(self, command: Decoded[AnyCommand], key: DataKey) -> None:
        """Load what the command will surely need, so that a batch's loads run in parallel."""
        await asyncio.gather(*(self._aggregates.load(a, key) for a in _first_aggregates(command, key)))

    async def _decide(self, command: Decoded[AnyCommand], key: DataKey, loader: "_Tracking") -> Plan:
        uid, command_id = command.meta.uid, command.meta.id
        payload = command.payload
        match payload:
            case RegisterUser():
                return await self._single(loader, subjects.user(uid), USER, payload, command_id)
            case RegisterApp():
                app_id = ids.app_id(key.identity, payload.name)
                register = Register(app_id, payload.name)
                return await self._single(loader, subjects.app(uid, app_id), APP, register, command_id)
            case PauseApp():
                return await self._single(
                    loader, subjects.app(uid, payload.app_id), APP, Pause(payload.app_id), command_id
                )
            case ResumeApp():
                return await self._single(
                    loader, subjects.app(uid, payload.app_id), APP, Resume(payload.app_id), command_id
                )
            case AddMemory():
                require_running((await loader.load(subjects.app(uid, command.meta.app))).state)
                return await self._add(loader, uid, payload, key, command_id)
            case ReviseMemory():
                require_running((await loader.load(subjects.app(uid, command.meta.app))).state)
                return await self._revise(loader, uid, payload, command_id)
            case DeleteMemories():
                require_running((await loader.load(subjects.app(uid, command.meta.app))).state)
                return await self._delete(loader, uid, payload, command_id)
            case _:
                assert_never(payload)

    async def _single(
        self, loader: "_Tracking", aggregate: Aggregate, decider: Any, decision: object, command_id: str
    ) -> Plan:
        loaded = await loader.load(aggregate)
        if command_id in loaded.by_command:
            return Plan(frozenset(), position=loaded.by_command[command_id])
        events = decider.decide(loaded.state, decision)
        if not events:
            return Plan(frozenset(), status="nothing")
        return Plan(frozenset(), _appends(aggregate, events, loaded))

    async def _add(self, loader: "_Tracking", uid: str, request: AddMemory, key: DataKey, command_id: str) -> Plan:
        counter = 0
        while True:
            memory_id = ids.memory_id(key.identity, request.text, counter)
            aggregate = subjects.memory(uid, memory_id)
            loaded = await loader.load(aggregate)
            added = Item(id=memory_id, memory=request.text, event="ADD")
            if command_id in loaded.by_command:
                return Plan(frozenset(), items=(added,), position=loaded.by_command[command_id])
            match loaded.state:
                case Absent():
                    events = MEMORY.decide(loaded.state, Add(memory_id, request))
                    return Plan(frozenset(), _appends(aggregate, events, loaded), (added,))
                case Active(text=text) if same_text(text, request.text):
                    return Plan(frozenset(), items=(Item(id=memory_id, memory=text, event="NONE"),), status="nothing")
                case _:  # the id is taken by a memory that was revised or deleted
                    counter += 1

    async def _revise(self, loader: "_Tracking", uid: str, request: ReviseMemory, command_id: str) -> Plan:
        aggregate = subjects.memory(uid, request.memory_id)
        loaded = await loader.load(aggregate)
        updated = Item(id=request.memory_id, memory=request.text, event="UPDATE")
        if command_id in loaded.by_command:
            return Plan(frozenset(), items=(updated,), position=loaded.by_command[command_id])
        events = MEMORY.decide(loaded.state, Revise(request))
        if not events:
            same = Item(id=request.memory_id, memory=request.text, event="NONE")
            return Plan(frozenset(), items=(same,), status="nothing")
        updated = updated.model_copy(update={"previous_memory": loaded.state.text})
        return Plan(frozenset(), _appends(aggregate, events, loaded), (updated,))

    async def _delete(self, loader: "_Tracking", uid: str, request: DeleteMemories, command_id: str) -> Plan:
        memory_ids = list(dict.fromkeys(request.memory_ids))
        aggregates = [subjects.memory(uid, memory_id) for memory_id in memory_ids]
        appends: list[Append] = []
        items: list[Item] = []
        missing: list[str] = []
        for start in range(0, len(aggregates), _LOADED_AT_ONCE):
            chunk = aggregates[start : start + _LOADED_AT_ONCE]
            for offset, loaded in enumerate(await asyncio.gather(*(loader.load(a) for a in chunk))):
                index = start + offset
                memory_id = memory_ids[index]
                if command_id in loaded.by_command:
                    items.append(Item(id=memory_id, event="DELETE"))
                    continue
                try:
                    events = MEMORY.decide(loaded.state, Delete(memory_id))
                except NotFound:
                    missing.append(memory_id)
                    items.append(Item(id=memory_id, event="NONE"))
                    continue
                items.append(Item(id=memory_id, event="DELETE" if events else "NONE"))
                if not events and request.all_or_nothing:
                    missing.append(memory_id)  # already deleted: for its owner it is not there any more
                appends += _appends(aggregates[index], events, loaded, index)
        if missing and request.all_or_nothing:
            raise NotFound(f"nothing was deleted: not found: {', '.join(missing)}")
        done = any(item.event == "DELETE" for item in items)
        return Plan(frozenset(), tuple(appends), tuple(items), status="done" if done else "nothing")


def counts(items: Iterable[Item]) -> dict[ChangeKind, int]:
    """How many memories were changed, by kind."""
    return dict(Counter(item.event for item in items))


class _Tracking:
    """Loads, and remembers what was loaded."""

    def __init__(self, aggregates: Aggregates, key: DataKey) -> None:
        self._aggregates = aggregates
        self._key = key
        self.touched: set[Aggregate] = set()

    async def load(self, aggregate: Aggregate) -> Loaded:
        self.touched.add(aggregate)
        return await self._aggregates.load(aggregate, self._key)


def _appends(aggregate: Aggregate, events: Iterable[Event], loaded: Loaded, index: int = 0) -> tuple[Append, ...]:
    return tuple(Append(aggregate, event, loaded.sequence, index) for event in events)


def refuse(meta: Meta, type_: str, error: MemlogError, touched: Iterable[Aggregate] = ()) -> Plan:
    """The plan of a command that is refused: its operation ends with the reason."""
    return _closed(meta, type_, Plan(frozenset(touched), status="refused", code=error.code, reason=error.message), 0)


def _settled(command: Decoded[AnyCommand], plan: Plan) -> Plan:
    """Every operation ends in the log: a single event ends its command by itself; none or several need
    `CommandSettled` behind them."""
    payload = command.payload
    if plan.position is not None or (len(plan.appends) == 1 and not isinstance(payload, DeleteMemories)):
        return plan
    index = len(payload.memory_ids) if isinstance(payload, DeleteMemories) else 0
    return _closed(command.meta, payload.type, plan, index)


def _closed(meta: Meta, type_: str, plan: Plan, index: int) -> Plan:
    named = plan.items if len(plan.items) <= MAX_RESULTS else ()
    settled = CommandSettled(
        command_type=type_,
        outcome=plan.status,
        code=plan.code,
        reason=plan.reason,
        results=tuple(ItemResult(id=item.id, event=item.event) for item in named),
        counts={**counts(plan.items)},
    )
    aggregate = subjects.operation(meta.uid, meta.id)
    return replace(plan, appends=(*plan.appends, Append(aggregate, settled, 0, index)))


def _first_aggregates(command: Decoded[AnyCommand], key: DataKey) -> list[Aggregate]:
    uid, payload = command.meta.uid, command.payload
    match payload:
        case RegisterUser():
            return [subjects.user(uid)]
        case RegisterApp():
            return [subjects.app(uid, ids.app_id(key.identity, payload.name))]
        case PauseApp() | ResumeApp():
            return [subjects.app(uid, payload.app_id)]
        case AddMemory():
            first = ids.memory_id(key.identity, payload.text, 0)
            return [subjects.app(uid, command.meta.app), subjects.memory(uid, first)]
        case ReviseMemory():
            return [subjects.app(uid, command.meta.app), subjects.memory(uid, payload.memory_id)]
        case DeleteMemories():
            return [subjects.app(uid, command.meta.app)]
        case _:
            assert_never(payload)
