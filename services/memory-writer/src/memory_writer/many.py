"""Plans for commands that name many memories: each memory decides for itself, and has its own event."""

import asyncio
from typing import Literal

from contracts import subjects
from contracts.api import ChangeKind, Item
from contracts.codec import Decoded
from contracts.commands import (
    ActivateMemories,
    AnyCommand,
    ArchiveMemories,
    DeleteMemories,
    ForMemories,
    PauseMemories,
    RestoreMemories,
)
from contracts.errors import NotFound
from contracts.importing import ImportMemories

from memory_writer.domain.memory import MEMORY, Become
from memory_writer.planning import Append, Loader, Plan, appends

_LOADED_AT_ONCE = 128
LARGE = 500
"""A command for more memories than this is carried out beside the others, in chunks."""
CHUNK = 100
"""Memories a chunk: somebody else's command waits for the chunk under way, some 0.1 s on a slow machine."""
_State = Literal["active", "paused", "archived", "deleted", "restored"]


def size(command: Decoded[AnyCommand]) -> int:
    """How many memories a command is for, or how many things it brings in."""
    match command.payload:
        case ForMemories(memory_ids=memory_ids):
            return len(memory_ids)
        case ImportMemories(sizes=sizes):
            return sum(sizes)
        case _:
            return 1


def is_large(command: Decoded[AnyCommand]) -> bool:
    """Whether it is carried out beside the others, in chunks. An import always is: its things are read in chunks."""
    return isinstance(command.payload, ImportMemories) or size(command) > LARGE


def _target(payload: ForMemories) -> _State:
    match payload:
        case DeleteMemories():
            return "deleted"
        case PauseMemories():
            return "paused"
        case ArchiveMemories():
            return "archived"
        case ActivateMemories():
            return "active"
        case RestoreMemories():
            return "restored"
        case _:
            raise TypeError(f"{payload.type} has no target state")


async def plan_many(loader: Loader, command: Decoded[AnyCommand], window: range) -> Plan:
    """The plan for the memories whose places are in `window`. An event's index is its memory's place, so that a
    command that is handled again appends only what is missing. Raises `NotFound` for `all_or_nothing`."""
    payload, command_id, uid = command.payload, command.meta.id, command.meta.uid
    assert isinstance(payload, ForMemories)
    state = _target(payload)
    kind: ChangeKind = "DELETE" if state == "deleted" else "STATE"
    places = list(window)
    planned: list[Append] = []
    items: list[Item] = []
    missing: list[str] = []
    for start in range(0, len(places), _LOADED_AT_ONCE):
        chunk = [(place, payload.memory_ids[place]) for place in places[start : start + _LOADED_AT_ONCE]]
        loads = await asyncio.gather(*(loader.load(subjects.memory(uid, memory_id)) for _, memory_id in chunk))
        for (place, memory_id), loaded in zip(chunk, loads, strict=True):
            if command_id in loaded.by_command:
                items.append(Item(id=memory_id, event=kind))
                continue
            unchanged = payload.unchanged_since if isinstance(payload, ArchiveMemories) else ()
            if unchanged and loaded.sequence != unchanged[place]:
                items.append(Item(id=memory_id, event="NONE"))
                continue
            try:
                events = MEMORY.decide(loaded.state, Become(memory_id, state, payload.only_active))
            except NotFound:
                missing.append(memory_id)
                items.append(Item(id=memory_id, event="NONE"))
                continue
            if not events and state == "deleted":
                missing.append(memory_id)  # already deleted: for whoever asks it is not there any more
            items.append(Item(id=memory_id, event=kind if events else "NONE"))
            planned += appends(subjects.memory(uid, memory_id), events, loaded, place)
    if missing and payload.all_or_nothing:
        raise NotFound(f"nothing was changed: not found: {', '.join(missing)}")
    done = any(item.event != "NONE" for item in items)
    return Plan(frozenset(), tuple(planned), tuple(items), status="done" if done else "nothing")
