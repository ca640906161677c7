"""The memory aggregate: one remembered text, its versions, its categories and its state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, assert_never

from contracts.commands import AddMemory, CategorizeMemory, ReviseMemory
from contracts.errors import Conflict, NotFound
from contracts.events import (
    MemoryAdded,
    MemoryArchived,
    MemoryCategorized,
    MemoryDeleted,
    MemoryPaused,
    MemoryRestored,
    MemoryResumed,
    MemoryRevised,
    MemoryUnarchived,
)
from contracts.ids import normalize_text
from contracts.importing import ImportedMemory
from runtime.decider import Decider

# Events (a storage format: see contracts/messages.py before you change one)

MemoryEvent = (
    MemoryAdded
    | MemoryRevised
    | MemoryCategorized
    | MemoryPaused
    | MemoryResumed
    | MemoryArchived
    | MemoryUnarchived
    | MemoryDeleted
    | MemoryRestored
)

# Fold


@dataclass(frozen=True, slots=True)
class Absent:
    """No memory has this id."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What every memory has. `version` counts from 1; `chosen`: a person chose the categories."""

    memory_id: str
    version: int
    text: str
    categories: tuple[str, ...] = ()
    chosen: bool = False
    metadata: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True)
class Active(_Known):
    """In use."""


@dataclass(frozen=True, slots=True)
class Paused(_Known):
    """Hidden from apps for a while."""


@dataclass(frozen=True, slots=True)
class Archived(_Known):
    """Put away."""


@dataclass(frozen=True, slots=True)
class Deleted(_Known):
    """Deleted: its id is taken, its history stays."""


Present = Active | Paused | Archived
Memory = Absent | Present | Deleted
_STATES: Mapping[str, type[Present] | type[Deleted]] = {
    "active": Active,
    "paused": Paused,
    "archived": Archived,
    "deleted": Deleted,
}


def evolve(state: Memory, event: MemoryEvent) -> Memory:
    if isinstance(event, MemoryAdded):
        return _STATES[event.state](
            event.memory_id, 1, event.text, event.categories, bool(event.categories), event.metadata
        )
    if isinstance(state, Absent):
        return state  # a history that does not begin at its beginning says nothing
    match event:
        case MemoryRevised(text=text, categories=categories):
            # Categories come with a revision where a person chose them, or where they were imported.
            metadata = state.metadata if event.metadata is None else event.metadata
            chosen = state.chosen or bool(categories)
            revised = replace(
                state, version=event.version, text=text, categories=categories, chosen=chosen, metadata=metadata
            )
            return revised if event.state is None else _as(_STATES[event.state], revised)
        case MemoryCategorized():
            return replace(state, categories=event.categories, chosen=event.by == "person")
        case MemoryPaused():
            return _as(Paused, state)
        case MemoryArchived():
            return _as(Archived, state)
        case MemoryDeleted():
            return _as(Deleted, state)
        case MemoryResumed() | MemoryUnarchived() | MemoryRestored():
            return _as(Active, state)
        case _:
            assert_never(event)


def _as(kind: type[Present] | type[Deleted], known: _Known) -> Present | Deleted:
    return kind(known.memory_id, known.version, known.text, known.categories, known.chosen, known.metadata)


# Decisions


@dataclass(frozen=True, slots=True)
class Add:
    """`AddMemory` with the id that was derived for it (contracts.ids.memory_id)."""

    memory_id: str
    request: AddMemory


@dataclass(frozen=True, slots=True)
class Revise:
    request: ReviseMemory


@dataclass(frozen=True, slots=True)
class Categorize:
    request: CategorizeMemory


@dataclass(frozen=True, slots=True)
class Become:
    """Move the memory to another state. `only_active`: an app asks, to which anything else is not there."""

    memory_id: str
    state: Literal["active", "paused", "archived", "deleted", "restored"]
    only_active: bool = False


@dataclass(frozen=True, slots=True)
class Import:
    """A memory of a backup, under its own id. With `overwrite`, one that is there becomes what the backup says."""

    imported: ImportedMemory
    overwrite: bool


MemoryCommand = Add | Revise | Categorize | Become | Import


def decide(state: Memory, command: MemoryCommand) -> Sequence[MemoryEvent]:
    """The events that follow. Empty when there is nothing to do; raises `NotFound` for a memory that is not there."""
    match command:
        case Add():
            return _add(state, command)
        case Revise(request):
            return _revise(_present(state, request.memory_id, request.only_active), request)
        case Categorize(request):
            return _categorize(_present(state, request.memory_id), request)
        case Become(memory_id, "restored"):
            if isinstance(state, Absent):
                raise _not_found(memory_id)
            return (MemoryRestored(memory_id=memory_id),) if isinstance(state, Deleted) else ()
        case Become(memory_id, "deleted") if isinstance(state, Deleted):
            return ()  # it is deleted already
        case Become():
            return _become(_present(state, command.memory_id, command.only_active), command)
        case Import(imported, overwrite):
            return _import(state, imported, overwrite)
        case _:
            assert_never(command)


def _add(state: Memory, command: Add) -> Sequence[MemoryEvent]:
    request = command.request
    if isinstance(state, Active) and same_text(state.text, request.text):
        return ()  # the duplicate gate: it is remembered already
    if not isinstance(state, Absent):
        raise Conflict("an add goes to a free id: the handler moves its counter on")
    return (
        MemoryAdded(
            memory_id=command.memory_id, text=request.text, metadata=request.metadata, categories=request.categories
        ),
    )


def _revise(state: Present, request: ReviseMemory) -> Sequence[MemoryEvent]:
    if state.text == request.text:
        return ()  # it says that already
    kept = state.categories if state.chosen else ()
    version = state.version + 1
    return (MemoryRevised(memory_id=state.memory_id, version=version, text=request.text, categories=kept),)


def _categorize(state: Present, request: CategorizeMemory) -> Sequence[MemoryEvent]:
    if request.by != "person":
        if state.chosen:
            return ()  # a person's choice wins
        if request.version is not None and request.version != state.version:
            return ()  # it was about another text
    if state.categories == request.categories and state.chosen == (request.by == "person"):
        return ()
    return (
        MemoryCategorized(memory_id=state.memory_id, categories=request.categories, by=request.by, model=request.model),
    )


def _become(state: Present, command: Become) -> Sequence[MemoryEvent]:
    memory_id = state.memory_id
    match command.state:
        case "paused":
            return () if isinstance(state, Paused) else (MemoryPaused(memory_id=memory_id),)
        case "archived":
            return () if isinstance(state, Archived) else (MemoryArchived(memory_id=memory_id),)
        case "deleted":
            return (MemoryDeleted(memory_id=memory_id),)
        case "active" | "restored":
            match state:
                case Active():
                    return ()
                case Paused():
                    return (MemoryResumed(memory_id=memory_id),)
                case Archived():
                    return (MemoryUnarchived(memory_id=memory_id),)
                case _:
                    assert_never(state)
        case _:
            assert_never(command.state)


def _import(state: Memory, imported: ImportedMemory, overwrite: bool) -> Sequence[MemoryEvent]:
    said = imported.model_dump(include={"memory_id", "text", "metadata", "categories", "state"})
    if isinstance(state, Absent):
        return (MemoryAdded(**said, changed_at=imported.changed_at),)
    # Categories that nobody chose come by themselves, again and again: where none are imported, they are no difference.
    found = () if not (imported.categories or state.chosen) else state.categories
    same = (state.text, state.metadata, found) == (imported.text, imported.metadata, imported.categories)
    if not overwrite or (same and isinstance(state, _STATES[imported.state])):
        return ()
    return (MemoryRevised(version=state.version + 1, **said),)


def _present(state: Memory, memory_id: str, only_active: bool = False) -> Present:
    if isinstance(state, Active) or (isinstance(state, Paused | Archived) and not only_active):
        return state
    raise _not_found(memory_id)


def _not_found(memory_id: str) -> NotFound:
    return NotFound(f"memory {memory_id} was not found")


def same_text(one: str, other: str) -> bool:
    """Identical for the duplicate gate: nothing short of that is (cosine does not tell "9:15" from "9:45")."""
    return normalize_text(one) == normalize_text(other)


MEMORY: Decider[MemoryCommand, MemoryEvent, Memory] = Decider(decide, evolve, Absent())
