"""Imports in OpenMemory's format: all of the file is checked, then all of it is accepted, then it is carried out."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

from contracts import ids
from contracts.api import ChangeKind
from contracts.categories import SEED_CATEGORIES, category_key
from contracts.errors import Unavailable
from contracts.ids import normalize_text
from contracts.importing import ImportedCategory, ImportedMemory, ImportedRule, ImportMemories, ImportPart
from contracts.openmemory import Imported
from contracts.streams import READ_MODELS
from runtime.postgres import Pool, postgres_errors

from gateway.asking import OWNER_APP, Caller
from gateway.backup import archive, form
from gateway.backup.form import MemoryRow
from gateway.backup.reading import Backup, read_backup
from gateway.inputs import MAX_DESCRIPTION
from gateway.use_cases.commanding import Commanding, Principal, Sent
from gateway.use_cases.freshness import Freshness
from gateway.use_cases.identity import Identities

DEFAULT_APP = "openmemory"
_PART_CHARACTERS = 512 * 1024
_PART_THINGS = 2_000
_APPS = "SELECT app_id FROM memlog.apps WHERE uid = $1"


@dataclass(slots=True)
class _Plan:
    """What an import becomes: the user's ids for the file's apps; memories keep theirs, which are a user's own."""

    principal: Principal
    backup: Backup
    app_ids: dict[str, str] = field(default_factory=dict[str, str])
    default_app: str = ""

    def memory(self, row: MemoryRow) -> ImportedMemory:
        return ImportedMemory(
            memory_id=row.id,
            app_id=self.default_app if row.app_id is None else self.app_ids[row.app_id],
            text=row.content,
            metadata=row.metadata,
            categories=_each_once(self.backup.categories_of(row)),
            state=row.state,
            created_at=row.created_at,
            changed_at=row.changed_at,
        )


class Importing:
    """The part of `gateway.service.MemoryService` that imports. One import at a time: it may be much work."""

    def __init__(self, identities: Identities, commanding: Commanding, pool: Pool, freshness: Freshness) -> None:
        self._identities = identities
        self._commanding = commanding
        self._pool = pool
        self._freshness = freshness
        self._one = asyncio.Lock()

    async def import_backup(self, caller: Caller, file: BinaryIO, mode: Literal["skip", "overwrite"]) -> Imported:
        if self._one.locked():
            raise Unavailable("another import is under way; try again in a moment")
        async with self._one:
            with archive.opened(file) as source:
                backup = await asyncio.to_thread(read_backup, source)
                return await self._import(caller, backup, mode)

    async def _import(self, caller: Caller, backup: Backup, mode: Literal["skip", "overwrite"]) -> Imported:
        principal = await self._identities.owner(caller)
        self._freshness.require(principal.uid, (READ_MODELS,))
        plan = _Plan(principal, backup)
        known = await self._known_apps(principal)
        for row in backup.apps.values():
            plan.app_ids[row.id] = ids.app_id(principal.key.identity, row.name)
        plan.default_app = ids.app_id(principal.key.identity, DEFAULT_APP)
        # An app that is registered without a memory does no harm; from here on, nothing is refused any more.
        for name in {DEFAULT_APP, *(row.name for row in backup.apps.values())}:
            await self._identities.resolve(Caller(caller.user, name, caller.actor))
        rules = _rules(plan)
        first = ImportPart(
            default_access="own" if backup.meta.default_access == "own" else None,
            paused_apps=tuple(
                dict.fromkeys(
                    plan.app_ids[row.id]
                    for row in backup.apps.values()
                    if not row.is_active
                    and row.name != OWNER_APP
                    and (mode == "overwrite" or plan.app_ids[row.id] not in known)
                )
            ),
            rules=rules,
            categories=_own_categories(backup),
        )
        parts: list[str] = []
        sizes: list[int] = []
        memories = _parts(first, plan)
        while (part := await asyncio.to_thread(next, memories, None)) is not None:
            sent = await self._commanding.send(principal, part, wait="accepted")
            parts.append(sent.command_id)
            sizes.append(len(part.things))
        command = ImportMemories(parts=tuple(parts), sizes=tuple(sizes), overwrite=mode == "overwrite")
        return _imported(caller.user, plan, len(rules), await self._commanding.send(principal, command))

    async def _known_apps(self, principal: Principal) -> set[str]:
        with postgres_errors():
            return {row["app_id"] for row in await self._pool.fetch(_APPS, principal.uid)}


def _rules(plan: _Plan) -> tuple[ImportedRule, ...]:
    """The file's rules, each once; of two about the same, the one that denies. To OpenMemory, an app that was allowed
    some memories could read no others: then it is denied the rest."""
    found: dict[tuple[str, str | None, str | None], Literal["allow", "deny"]] = {}
    listed: set[str] = set()
    everything: set[str] = set()
    owner = ids.app_id(plan.principal.key.identity, OWNER_APP)
    for rule in plan.backup.rules:
        app_id = plan.app_ids[rule.subject_id]
        if app_id == owner:
            continue  # no rule binds the owner
        of_category = rule.object_type == "category" and rule.object_id is not None
        memory_id = None if rule.object_id is None or of_category else rule.object_id
        category = plan.backup.categories[rule.object_id].name if of_category and rule.object_id else None
        about = app_id, memory_id, None if category is None else normalize_text(category)
        found[about] = "deny" if found.get(about) == "deny" else rule.effect
        (everything if rule.object_id is None else listed).add(app_id)
    if not plan.backup.own:
        found |= {(app_id, None, None): "deny" for app_id in listed - everything}
    return tuple(
        ImportedRule(app_id=app_id, effect=effect, memory_id=memory_id, category=category)
        for (app_id, memory_id, category), effect in found.items()
    )


def _own_categories(backup: Backup) -> tuple[ImportedCategory, ...]:
    """Those with a description that says something, and that is not Memlog's own."""
    seeds = {category_key(name): description for name, description in SEED_CATEGORIES}
    found: dict[str, ImportedCategory] = {}
    for row in backup.categories.values():
        description = (row.description or "").strip()[:MAX_DESCRIPTION]
        said = description and not description.startswith(form.FOREIGN_DESCRIPTION)
        if said and seeds.get(category_key(row.name)) != description:
            category = ImportedCategory(name=normalize_text(row.name), description=description)
            found.setdefault(category_key(row.name), category)
    return tuple(found.values())


def _parts(first: ImportPart, plan: _Plan) -> Iterator[ImportPart]:
    """The parts of the import in order, each small enough for a message."""
    for start in range(0, len(first.rules), _PART_THINGS):
        head = first if start == 0 else ImportPart()
        yield head.model_copy(update={"rules": first.rules[start : start + _PART_THINGS]})
    if not first.rules and first.things:
        yield first
    memories: list[ImportedMemory] = []
    size = 0
    for row in plan.backup.memories():
        memory = plan.memory(row)
        characters = len(memory.model_dump_json())
        if memories and (size + characters > _PART_CHARACTERS or len(memories) == _PART_THINGS):
            yield ImportPart(memories=tuple(memories))
            memories, size = [], 0
        memories.append(memory)
        size += characters
    if memories or not first.things:
        yield ImportPart(memories=tuple(memories))


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(category_key(name), name)
    return tuple(first.values())


def _imported(user: str, plan: _Plan, rules: int, sent: Sent) -> Imported:
    counts: dict[ChangeKind, int] = {kind: count for kind, count in sent.counts.items() if count}
    done = sent.state == "searchable"
    return Imported(
        message=f'Import {"completed" if done else "accepted"} into user "{user}"',
        operation_id=sent.command_id,
        state=sent.state,
        counts=counts,
        memories=len(plan.backup.memory_ids),
        apps=len(plan.app_ids),
        rules=rules,
        reason=sent.reason,
    )
