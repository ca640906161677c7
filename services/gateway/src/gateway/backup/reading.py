"""A backup, checked from its first to its last byte before anything is made of it; its memories are read one by one."""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

from contracts.errors import PayloadTooLarge
from pydantic import JsonValue, ValidationError

from gateway.backup import archive, form
from gateway.backup.errors import BrokenBackup
from gateway.backup.form import AppRow, CategoryRow, LinkRow, MemoryRow, MetaRow, RuleRow
from gateway.backup.json_rows import rows
from gateway.inputs import MAX_CATEGORIES, TOO_LARGE

MOST_MEMORIES = 200_000
MOST_ROWS = 2_000_000
"""Of a list. What is not a memory is small."""
_MOST_OTHERS = 1_000
"""Apps, categories: a person has few."""
_MOST_RULES = 100_000


@dataclass(slots=True)
class Backup:
    """What a backup holds, but for its memories. Ids are those of the file; `links` has the categories of memories,
    which are named by the 16 bytes of their id. `own`: Memlog wrote it."""

    source: zipfile.ZipFile
    apps: dict[str, AppRow] = field(default_factory=dict[str, AppRow])
    categories: dict[str, CategoryRow] = field(default_factory=dict[str, CategoryRow])
    rules: list[RuleRow] = field(default_factory=list[RuleRow])
    links: dict[bytes, tuple[str, ...]] = field(default_factory=dict[bytes, tuple[str, ...]])
    meta: MetaRow = field(default_factory=MetaRow)
    memory_ids: set[bytes] = field(default_factory=set[bytes])

    @property
    def own(self) -> bool:
        return self.meta.generator == "memlog"

    def memories(self) -> Iterator[MemoryRow]:
        """All of them, read anew. Raises as `read_backup`, if the file is another one by now."""
        for key, row in _document(self.source):
            if key == "memories" and row is not None:
                yield MemoryRow.model_validate(row)

    def categories_of(self, memory: MemoryRow) -> tuple[str, ...]:
        """The names of its categories, in the file's order."""
        ids = dict.fromkeys((*memory.category_ids, *self.links.get(form.short(memory.id), ())))
        return tuple(self.categories[id_].name for id_ in ids)


def read_backup(source: zipfile.ZipFile) -> Backup:
    """Check all of it. Raises `BrokenBackup` naming what is wrong, `PayloadTooLarge`."""
    archive.check_whole(source)
    reader = _Reader(Backup(source))
    for key, row in _document(source):
        reader.take(key, row)
    reader.finish()
    return reader.backup


def _document(source: zipfile.ZipFile) -> Iterator[tuple[str, JsonValue]]:
    with archive.member(source, archive.MEMORIES) as stream:
        yield from rows(stream, set(form.LISTS), archive.MEMORIES)


@dataclass(slots=True)
class _Reader:
    backup: Backup
    seen: set[str] = field(default_factory=set[str])
    counts: dict[str, int] = field(default_factory=dict[str, int])
    used_apps: set[str] = field(default_factory=set[str])
    used_categories: set[str] = field(default_factory=set[str])

    def take(self, key: str, row: JsonValue) -> None:
        if key not in form.KEYS:
            raise BrokenBackup(f"{archive.MEMORIES} has '{key[:80]}', which is nothing that backups have")
        self.seen.add(key)
        if key == "export_meta":
            self.backup.meta = cast(MetaRow, _checked(MetaRow, row, key))
        elif key == "user":
            if not isinstance(row, dict):
                raise BrokenBackup(f"{archive.MEMORIES}: 'user' is not an object")
        elif row is None:
            if key in self.counts:
                raise BrokenBackup(f"{archive.MEMORIES}: {key}[{self.counts[key]}] is null")
            self.counts[key] = 0
        else:
            where = f"{key}[{self.counts[key]}]"
            self.counts[key] += 1
            self._bound(key)
            self._keep(where, _checked(form.ROWS[key], row, where))

    def _bound(self, key: str) -> None:
        most = {
            "memories": MOST_MEMORIES,
            "apps": _MOST_OTHERS,
            "categories": _MOST_OTHERS,
            "access_controls": _MOST_RULES,
        }
        if self.counts[key] > (limit := most.get(key, MOST_ROWS)):
            raise PayloadTooLarge(f"{archive.MEMORIES} has more than {limit} {key.replace('_', ' ')}")

    def _keep(self, where: str, row: form.Row) -> None:
        backup = self.backup
        match row:
            case AppRow():
                _once(backup.apps, row.id, where)
                backup.apps[row.id] = row
            case CategoryRow():
                _once(backup.categories, row.id, where)
                backup.categories[row.id] = row
            case RuleRow():
                backup.rules.append(row)
            case LinkRow():
                memory = form.short(row.memory_id)
                before = backup.links.get(memory, ())
                if len(before) >= MAX_CATEGORIES:
                    raise BrokenBackup(f"{where}: a memory has more than {MAX_CATEGORIES} categories")
                self.used_categories.add(row.category_id)
                backup.links[memory] = (*before, row.category_id)
            case MemoryRow():
                _once(backup.memory_ids, form.short(row.id), where)
                backup.memory_ids.add(form.short(row.id))
                self.used_categories.update(row.category_ids)
                if row.app_id is not None:
                    self.used_apps.add(row.app_id)
            case _:
                pass  # checked; the states in the past are no part of what is imported

    def finish(self) -> None:
        """What can only be seen from the end."""
        missing = [key for key in form.REQUIRED if key not in self.seen]
        if missing:
            raise BrokenBackup(f"{archive.MEMORIES} lacks {', '.join(missing)}")
        backup = self.backup
        used = {rule.subject_id for rule in backup.rules}
        if unknown := (self.used_apps | used) - backup.apps.keys():
            raise BrokenBackup(f"{archive.MEMORIES}: the app {min(unknown)} is used and is not among 'apps'")
        of_rules = {r.object_id for r in backup.rules if r.object_type == "category" and r.object_id is not None}
        if unknown := (self.used_categories | of_rules) - backup.categories.keys():
            raise BrokenBackup(f"{archive.MEMORIES}: the category {min(unknown)} is used and is not among 'categories'")


def _checked(kind: type[form.Row], row: JsonValue, where: str) -> form.Row:
    try:
        return kind.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field_ = ".".join(str(part) for part in first["loc"])[:80]
        message = f"{archive.MEMORIES}: {where}{'.' if field_ else ''}{field_}: {first['msg']}"
        raise (PayloadTooLarge if first["type"] == TOO_LARGE else BrokenBackup)(message) from None


def _once(known: "set[bytes] | dict[str, AppRow] | dict[str, CategoryRow]", id_: str | bytes, where: str) -> None:
    if id_ in known:
        raise BrokenBackup(f"{archive.MEMORIES}: {where} has the id of one before")
