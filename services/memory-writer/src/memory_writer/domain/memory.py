"""The memory aggregate: one remembered text, its versions and its state."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from contracts.commands import AddMemory, ReviseMemory
from contracts.errors import NotFound
from contracts.events import MemoryAdded, MemoryDeleted, MemoryRevised
from contracts.ids import normalize_text
from runtime.decider import Decider

# Events (a storage format: see contracts/messages.py before you change one)

MemoryEvent = MemoryAdded | MemoryRevised | MemoryDeleted

# Fold


@dataclass(frozen=True, slots=True)
class Absent:
    """No memory has this id."""


@dataclass(frozen=True, slots=True)
class Active:
    """A memory in use. `version` counts from 1."""

    memory_id: str
    version: int
    text: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """Deleted: its id is taken, its history stays."""

    memory_id: str
    version: int
    text: str


Memory = Absent | Active | Deleted


def evolve(state: Memory, event: MemoryEvent) -> Memory:
    match event:
        case MemoryAdded():
            return Active(event.memory_id, 1, event.text)
        case MemoryRevised():
            return Active(event.memory_id, event.version, event.text)
        case MemoryDeleted():
            match state:
                case Active() | Deleted():
                    return Deleted(state.memory_id, state.version, state.text)
                case Absent():
                    return state
                case _:
                    assert_never(state)
        case _:
            assert_never(event)


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
class Delete:
    memory_id: str


MemoryCommand = Add | Revise | Delete


def decide(state: Memory, command: MemoryCommand) -> Sequence[MemoryEvent]:
    """The events that follow. Empty when there is nothing to do; raises `NotFound` for a memory that is not there."""
    match command:
        case Add(memory_id, request):
            if isinstance(state, Active) and same_text(state.text, request.text):
                return ()  # the duplicate gate: it is remembered already
            if not isinstance(state, Absent):
                raise AssertionError("an add goes to a free id: the handler moves its counter on")
            return (
                MemoryAdded(
                    memory_id=memory_id, text=request.text, metadata=request.metadata, categories=request.categories
                ),
            )
        case Revise(request):
            if not isinstance(state, Active):
                raise NotFound(f"memory {request.memory_id} was not found")
            if state.text == request.text:
                return ()  # it says that already
            return (MemoryRevised(memory_id=state.memory_id, version=state.version + 1, text=request.text),)
        case Delete(memory_id):
            match state:
                case Active():
                    return (MemoryDeleted(memory_id=memory_id),)
                case Deleted():
                    return ()  # it is deleted already
                case Absent():
                    raise NotFound(f"memory {memory_id} was not found")
                case _:
                    assert_never(state)
        case _:
            assert_never(command)


def same_text(one: str, other: str) -> bool:
    """Identical for the duplicate gate: nothing short of that is (cosine does not tell "9:15" from "9:45")."""
    return normalize_text(one) == normalize_text(other)


MEMORY: Decider[MemoryCommand, MemoryEvent, Memory] = Decider(decide, evolve, Absent())
