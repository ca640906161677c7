"""Plans for texts that a language model reads: received, and later what was decided about the facts in them.

The operation of the command that brought the text stays open in between. A memory that is not any more what the model
saw is left alone: what was to be its new text is added, so that nothing that was acknowledged is dropped.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, assert_never

from contracts import ids, subjects
from contracts.api import Item
from contracts.codec import DataKey, Decoded, Meta
from contracts.commands import AddMemory, AnyCommand, FactDecision, ProcessText, ReprocessText, ReviseMemory
from contracts.errors import LanguageModelFailed, NotFound
from contracts.events import ProcessedItem, TextProcessed
from contracts.subjects import Aggregate

from memory_writer.aggregates import Loaded
from memory_writer.domain.memory import (
    MEMORY,
    Absent,
    Active,
    Add,
    Become,
    Memory,
    MemoryEvent,
    Revise,
    same_text,
)
from memory_writer.domain.source import SOURCE, Receive, Received, Reprocess
from memory_writer.planning import Append, Loader, Plan, appends, closed, operation_of

_Event = Literal["ADD", "UPDATE", "DELETE", "NONE"]


async def plan_received(loader: Loader, command: Decoded[AnyCommand]) -> Plan:
    """The plan of a command that brings a text, or brings one up again: not the end of its operation."""
    payload, uid, command_id = command.payload, command.meta.uid, command.meta.id
    match payload:
        case AddMemory():
            source_id, decision = command_id, Receive(command_id, payload)
        case ReprocessText(source_id=source_id):
            decision = Reprocess(source_id)
        case _:
            raise TypeError(f"{payload.type} brings no text")
    aggregate = subjects.source(uid, source_id)
    loaded = await loader.load(aggregate)
    events = () if command_id in loaded.by_command else SOURCE.decide(loaded.state, decision)
    return Plan(frozenset(), appends(aggregate, events, loaded), partial=True)


async def plan_processed(loader: Loader, command: Decoded[AnyCommand], key: DataKey) -> Plan:
    """The plan that does what was decided, says so on the source, and closes the operation. An event's index is its
    decision's place, so that a command that is handled again appends only what is missing. Raises `NotFound`."""
    payload, meta = command.payload, command.meta
    assert isinstance(payload, ProcessText)
    aggregate = subjects.source(meta.uid, payload.source_id)
    source = await loader.load(aggregate)
    if not isinstance(source.state, Received):
        raise NotFound(f"source {payload.source_id} was not found")
    text = AddMemory(**source.state.text.model_dump(exclude={"source_id"}))
    decisions = payload.decisions
    if payload.outcome == "verbatim" and _is_first(payload):
        decisions = (FactDecision(event="ADD", text=text.text),)
    work = _Work(loader, meta, key, text, decisions)
    for index, decision in enumerate(decisions):
        await work.carry_out(index, decision)
    if meta.id not in source.by_command:
        processed = TextProcessed(
            source_id=payload.source_id,
            outcome=payload.outcome,
            items=tuple(work.processed),
            model=payload.model,
            reason=payload.reason,
        )
        work.appends.append(Append(aggregate, processed, source.sequence, len(decisions)))
    plan = Plan(frozenset(), tuple(work.appends), tuple(work.items), reason=payload.reason)
    if payload.outcome == "verbatim" and not _is_first(payload):
        plan = replace(plan, status="refused", code=LanguageModelFailed.code)
    elif work.items and all(item.event == "NONE" for item in work.items):
        plan = replace(plan, status="nothing")
    return closed(meta, operation_of(meta, payload), plan, len(decisions) + 1)


def _is_first(payload: ProcessText) -> bool:
    """Whether the text is gone through for the command that brought it. Later, what came of it stays when it fails."""
    return payload.operation_id == payload.source_id


class _Work:
    """Does what was decided, one fact after the other: each sees what those before it came to."""

    def __init__(
        self, loader: Loader, meta: Meta, key: DataKey, text: AddMemory, decisions: tuple[FactDecision, ...]
    ) -> None:
        self._loader = loader
        self._meta = meta
        self._key = key
        self._text = text
        self._named = {decision.memory_id for decision in decisions}
        self._after: dict[Aggregate, Memory] = {}
        self.appends: list[Append] = []
        self.items: list[Item] = []
        self.processed: list[ProcessedItem] = []

    async def carry_out(self, index: int, decision: FactDecision) -> None:
        """Plan what the decision comes to now; `index` is its place. Raises `Unavailable`."""
        match decision.event:
            case "ADD":
                await self._add(index, decision.text)
            case "UPDATE":
                await self._update(index, decision)
            case "DELETE":
                await self._delete(index, decision)
            case "NONE":
                self._note(decision.memory_id, "NONE", decision.text)
            case _:
                assert_never(decision.event)

    async def _add(self, index: int, text: str) -> None:
        counter = 0
        while True:
            memory_id = ids.memory_id(self._key.identity, text, counter)
            aggregate, loaded, state = await self._load(memory_id)
            # What is on a memory that a decision names is that decision's.
            if self._meta.id in loaded.by_command and memory_id not in self._named:
                again = any(item.id == memory_id for item in self.items)
                return self._note(memory_id, "NONE" if again else "ADD", text)
            match state:
                case Absent():
                    added = Add(memory_id, self._text.model_copy(update={"text": text}))
                    self._append(aggregate, MEMORY.decide(state, added), loaded, index)
                    return self._note(memory_id, "ADD", text)
                case Active(text=known) if same_text(known, text):
                    return self._note(memory_id, "NONE", text)
                case _:  # the id is taken by a memory that was revised or deleted
                    counter += 1

    async def _update(self, index: int, decision: FactDecision) -> None:
        memory_id, text, previous = str(decision.memory_id), decision.text, decision.previous_text
        aggregate, loaded, state = await self._load(memory_id)
        if self._meta.id in loaded.by_command:
            return self._note(memory_id, "UPDATE", text, previous)
        if not _as_seen(state, decision):
            return await self._add(index, text)
        events = MEMORY.decide(state, Revise(ReviseMemory(memory_id=memory_id, text=text)))
        self._append(aggregate, events, loaded, index)
        return self._note(memory_id, "UPDATE" if events else "NONE", text, previous if events else None)

    async def _delete(self, index: int, decision: FactDecision) -> None:
        memory_id, previous = str(decision.memory_id), decision.previous_text
        aggregate, loaded, state = await self._load(memory_id)
        if self._meta.id not in loaded.by_command:
            if not _as_seen(state, decision):
                return self._note(memory_id, "NONE", decision.text)
            self._append(aggregate, MEMORY.decide(state, Become(memory_id, "deleted", True)), loaded, index)
        return self._note(memory_id, "DELETE", decision.text, previous)

    async def _load(self, memory_id: str) -> tuple[Aggregate, Loaded, Memory]:
        aggregate = subjects.memory(self._meta.uid, memory_id)
        loaded = await self._loader.load(aggregate)
        state: Memory = loaded.state
        return aggregate, loaded, self._after.get(aggregate, state)

    def _append(self, aggregate: Aggregate, events: Sequence[MemoryEvent], loaded: Loaded, index: int) -> None:
        state: Memory = loaded.state
        for event in events:
            self._after[aggregate] = MEMORY.evolve(self._after.get(aggregate, state), event)
        self.appends += appends(aggregate, events, loaded, index)

    def _note(self, memory_id: str | None, event: _Event, text: str, previous: str | None = None) -> None:
        said = None if event == "DELETE" else text
        if memory_id is not None:
            self.items.append(Item(id=memory_id, memory=said, event=event, previous_memory=previous))
        self.processed.append(ProcessedItem(id=memory_id, event=event, text=text, previous_text=previous))


def _as_seen(state: Memory, decision: FactDecision) -> bool:
    return isinstance(state, Active) and state.version == decision.version
