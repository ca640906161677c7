"""Carrying out an import, some things at a time: each decides for itself, by what is there and what was asked for."""

import asyncio
from collections.abc import Sequence
from itertools import accumulate

from contracts import ids, subjects
from contracts.api import ChangeKind, Item
from contracts.codec import DataKey, Decoded, Meta, decode_command
from contracts.commands import AnyCommand
from contracts.errors import Conflict
from contracts.events import AccessRuleSet
from contracts.importing import (
    ImportedCategory,
    ImportedDefault,
    ImportedMemory,
    ImportedPause,
    ImportedRule,
    ImportMemories,
    ImportPart,
    Thing,
)
from contracts.messages import Event
from contracts.streams import commands
from contracts.subjects import Aggregate
from runtime.event_store import EventStore

from memory_writer.aggregates import Loaded
from memory_writer.domain import access
from memory_writer.domain.access import ACCESS, Unset
from memory_writer.domain.app import APP, Pause
from memory_writer.domain.category import CATEGORY, Define
from memory_writer.domain.category import Defined as DefinedCategory
from memory_writer.domain.memory import MEMORY, Absent, Import
from memory_writer.planning import Append, Loader, Plan


class Parts:
    """Reads the parts of imports back from the commands' stream. One is kept: the next chunk is mostly of it, too."""

    def __init__(self, events: EventStore) -> None:
        self._events = events
        self._kept: tuple[str, ImportPart] | None = None

    async def require_all(self, meta: Meta, command: ImportMemories, key: DataKey) -> None:
        """Raises `Conflict` when a part is not there as it was announced: then nothing is done."""
        for part_id, size in zip(command.parts, command.sizes, strict=True):
            if len((await self._load(meta, part_id, key)).things) != size:
                raise Conflict(f"part {part_id} of the import is not as it was announced; nothing was changed")

    async def things(self, meta: Meta, command: ImportMemories, window: range, key: DataKey) -> list[Thing]:
        """Those whose places in the import are in `window`."""
        found: list[Thing] = []
        ends = list(accumulate(command.sizes))
        for part_id, size, end in zip(command.parts, command.sizes, ends, strict=True):
            if end > window.start and end - size < window.stop:
                start = end - size
                things = (await self._load(meta, part_id, key)).things
                found += things[max(window.start - start, 0) : window.stop - start]
        return found

    async def _load(self, meta: Meta, part_id: str, key: DataKey) -> ImportPart:
        if self._kept is not None and self._kept[0] == part_id:
            return self._kept[1]
        shard = subjects.shard_of(meta.uid, self._events.shards)
        subject = subjects.command_subject(shard, meta.uid, part_id)
        page, _ = await self._events.read_page(commands(shard).name, subject, 1, 1)
        part = decode_command(page[0].data, key).payload if page else None
        if not isinstance(part, ImportPart):
            raise Conflict(f"part {part_id} of the import is gone; import the backup again")
        self._kept = part_id, part
        return part


async def plan_import(loader: Loader, parts: Parts, command: Decoded[AnyCommand], window: range, key: DataKey) -> Plan:
    """The plan for the things whose places are in `window`. An event's index is its thing's place, so that a command
    that is handled again appends only what is missing."""
    payload, meta = command.payload, command.meta
    assert isinstance(payload, ImportMemories)
    if window.start == 0:
        await parts.require_all(meta, payload, key)
    things = await parts.things(meta, payload, window, key)
    aggregates = [_aggregate(meta.uid, thing, key) for thing in things]
    loads = await asyncio.gather(*map(loader.load, aggregates))
    appends: list[Append] = []
    items: list[Item] = []
    for place, thing, aggregate, loaded in zip(window, things, aggregates, loads, strict=True):
        done = meta.id in loaded.by_command
        events = () if done else _decide(thing, loaded, payload.overwrite, key)
        new = next(iter(loaded.by_command)) == meta.id if done else isinstance(loaded.state, Absent)
        at = thing.created_at if isinstance(thing, ImportedMemory) and new else None
        app = thing.app_id if isinstance(thing, ImportedMemory) else None
        appends += (Append(aggregate, event, loaded.sequence, place, at=at, app=app) for event in events)
        if isinstance(thing, ImportedMemory):
            kind: ChangeKind = "NONE" if not (done or events) else "ADD" if new else "UPDATE"
            items.append(Item(id=thing.memory_id, event=kind))
    return Plan(frozenset(), tuple(appends), tuple(items), status="done")


def _aggregate(uid: str, thing: Thing, key: DataKey) -> Aggregate:
    match thing:
        case ImportedDefault():
            return subjects.default_access(uid)
        case ImportedPause(app_id=app_id):
            return subjects.app(uid, app_id)
        case ImportedRule():
            return subjects.access_rule(uid, _rule(thing, key).rule_id)
        case ImportedCategory(name=name):
            return subjects.category(uid, ids.category_id(key.identity, name))
        case ImportedMemory(memory_id=memory_id):
            return subjects.memory(uid, memory_id)


def _decide(thing: Thing, loaded: Loaded, overwrite: bool, key: DataKey) -> Sequence[Event]:
    match thing:
        case ImportedDefault(policy=policy):
            keep = not overwrite and not isinstance(loaded.state, Unset)
            return () if keep else ACCESS.decide(loaded.state, access.ChangeDefault(policy))
        case ImportedPause(app_id=app_id):
            return APP.decide(loaded.state, Pause(app_id))
        case ImportedRule():
            keep = not overwrite and not isinstance(loaded.state, Unset)
            return () if keep else ACCESS.decide(loaded.state, access.Set(_rule(thing, key)))
        case ImportedCategory(name=name, description=description):
            keep = not overwrite and isinstance(loaded.state, DefinedCategory)
            define = Define(ids.category_id(key.identity, name), name, description)
            return () if keep else CATEGORY.decide(loaded.state, define)
        case ImportedMemory():
            return MEMORY.decide(loaded.state, Import(thing, overwrite))


def _rule(rule: ImportedRule, key: DataKey) -> AccessRuleSet:
    rule_id = ids.rule_id(key.identity, rule.app_id, rule.memory_id, rule.category)
    return AccessRuleSet(rule_id=rule_id, **rule.model_dump())
