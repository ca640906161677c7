"""Exports in OpenMemory's format: everything of one moment, written to a file before the answer begins."""

import asyncio
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import IO, Any

from contracts import ids
from contracts.categories import SEED_CATEGORIES, category_key
from contracts.errors import NotFound, Unavailable
from contracts.streams import READ_MODELS
from runtime.clock import utc_now
from runtime.postgres import Connection, Pool, Row, postgres_errors

from gateway.asking import BackupQuery, Caller
from gateway.backup.writing import BackupWriter, ExportedBackup
from gateway.use_cases import sql
from gateway.use_cases.audit_trail import AuditTrail
from gateway.use_cases.commanding import Principal
from gateway.use_cases.freshness import Freshness
from gateway.use_cases.identity import Identities

_PAGE = 500
_AUDIT_AT_ONCE = 5_000
_IN_MEMORY = 8 * 1024 * 1024

_WHERE = """
    m.uid = $1 AND ($2::text IS NULL OR m.app_id = $2)
    AND ($3::double precision IS NULL OR m.created_at >= to_timestamp($3))
    AND ($4::double precision IS NULL OR m.created_at < to_timestamp($4 + 1))
"""
_MEMORIES = f"""
    SELECT m.memory_id, m.app_id, m.state, m.created_at, m.updated_at, m.deleted_at, m.categories, t.text, t.metadata,
           a.name AS app_name
    FROM memlog.memories AS m
    JOIN memlog.memory_texts AS t ON t.uid = m.uid AND t.memory_id = m.memory_id AND t.version = m.version
    JOIN memlog.apps AS a ON a.uid = m.uid AND a.app_id = m.app_id
    WHERE {_WHERE} ORDER BY m.created_at, m.memory_id
"""
_LINKS = f"""
    SELECT m.memory_id, m.categories FROM memlog.memories AS m
    WHERE {_WHERE} AND cardinality(m.categories) > 0 ORDER BY m.created_at, m.memory_id
"""
_STATES = f"""
    SELECT * FROM (
        SELECT h.event_id, h.memory_id, h.sequence, h.state, h.occurred_at,
               lag(h.state) OVER (PARTITION BY h.memory_id ORDER BY h.sequence) AS before
        FROM memlog.history AS h
        WHERE h.uid = $1 AND h.memory_id IN (SELECT m.memory_id FROM memlog.memories AS m WHERE {_WHERE})
    ) AS changes WHERE before IS DISTINCT FROM state ORDER BY sequence
"""
_APPS = """
    SELECT app_id, name, is_active, registered_at FROM memlog.apps
    WHERE uid = $1 AND ($2::text IS NULL OR app_id = $2) ORDER BY registered_at, app_id
"""
_CATEGORIES = f"""
    SELECT name, min(m.created_at) AS first_at, max(m.created_at) AS last_at
    FROM memlog.memories AS m, unnest(m.categories) AS name WHERE {_WHERE} GROUP BY name ORDER BY name
"""
_RULES = """
    SELECT rule_id, app_id, effect, memory_id, category, updated_at FROM memlog.access_rules
    WHERE uid = $1 AND ($2::text IS NULL OR app_id = $2) ORDER BY rule_id
"""
_DEFAULT = "SELECT policy FROM memlog.default_access WHERE uid = $1"


class Exporting:
    """The part of `gateway.service.MemoryService` that exports. One export at a time: it holds a connection."""

    def __init__(self, identities: Identities, pool: Pool, trail: AuditTrail, freshness: Freshness) -> None:
        self._identities = identities
        self._pool = pool
        self._trail = trail
        self._freshness = freshness
        self._one = asyncio.Lock()

    async def export_backup(self, caller: Caller, query: BackupQuery) -> ExportedBackup:
        principal = await self._identities.owner(caller)
        self._freshness.require(principal.uid, (READ_MODELS,))
        if self._one.locked():
            raise Unavailable("another export is being written; try again in a moment")
        file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - who sends it closes it
        try:
            async with self._one:
                with postgres_errors():
                    async with (
                        self._pool.acquire() as connection,
                        connection.transaction(isolation="repeatable_read", readonly=True),
                    ):
                        exported = await _Export(connection, principal, caller.user, query).write(file)
            # What leaves is written down before it does.
            for start in range(0, max(len(exported), 1), _AUDIT_AT_ONCE):
                part = exported[start : start + _AUDIT_AT_ONCE]
                await self._trail.record(principal, "export", [(memory_id, None) for memory_id in part])
            size = file.tell()
            file.seek(0)
            return ExportedBackup(file, size)
        except BaseException:
            file.close()
            raise


class _Export:
    """One export, within its transaction."""

    def __init__(self, connection: Connection, principal: Principal, user: str, query: BackupQuery) -> None:
        self._connection = connection
        self._principal = principal
        self._user = user
        self._query = query
        self._where = (principal.uid, query.app_id, query.from_date, query.to_date)
        self._owner = ids.keyed_id(principal.key.identity, "owner")

    async def write(self, file: IO[bytes]) -> list[str]:
        """The whole backup; the ids of its memories."""
        apps = await self._connection.fetch(_APPS, *self._where[:2])
        if self._query.app_id is not None and not apps:
            raise NotFound(f"app {self._query.app_id} was not found")
        rules = await self._connection.fetch(_RULES, *self._where[:2])
        since = await self._connection.fetchval(sql.USER_SINCE, self._principal.uid)
        exported: list[str] = []
        writer = BackupWriter(file)
        writer.value("user", self._owner_row(since))
        writer.rows("apps", [self._app_row(app) for app in apps])
        writer.rows("categories", await self._category_rows(rules))

        def memories(page: Sequence[Row]) -> None:
            exported.extend(row["memory_id"] for row in page)
            writer.rows("memories", map(self._memory_row, page))
            writer.logical(map(_logical_row, page))

        writer.rows("memories", ())
        await self._each_page(_MEMORIES, memories)
        writer.rows("memory_categories", ())
        await self._each_page(_LINKS, lambda page: writer.rows("memory_categories", self._links(page)))
        writer.rows("status_history", ())
        await self._each_page(_STATES, lambda page: writer.rows("status_history", map(self._state_row, page)))
        writer.rows("access_controls", [self._rule_row(rule) for rule in rules])
        writer.value("export_meta", await self._meta())
        await asyncio.to_thread(writer.close)
        return exported

    async def _each_page(self, query: str, write: Callable[[Sequence[Row]], None]) -> None:
        async for page in _pages(self._connection.cursor(query, *self._where, prefetch=_PAGE)):
            await asyncio.to_thread(write, page)

    def _owner_row(self, since: datetime) -> Mapping[str, Any]:
        return {
            "id": self._owner,
            "user_id": self._user,
            "name": None,
            "email": None,
            "metadata": {},
            "created_at": _iso(since),
            "updated_at": _iso(since),
        }

    def _app_row(self, row: Row) -> Mapping[str, Any]:
        return {
            "id": row["app_id"],
            "owner_id": self._owner,
            "name": row["name"],
            "description": None,
            "metadata": {},
            "is_active": row["is_active"],
            "created_at": _iso(row["registered_at"]),
            "updated_at": _iso(row["registered_at"]),
        }

    async def _category_rows(self, rules: Sequence[Row]) -> list[Mapping[str, Any]]:
        """Those that memories or rules have, and the user's own; a name in several spellings is one category."""
        own = await self._connection.fetch(sql.OWN_CATEGORIES, self._principal.uid)
        used = await self._connection.fetch(_CATEGORIES, *self._where)
        described = {category_key(name): description for name, description in SEED_CATEGORIES}
        described |= {category_key(row["name"]): row["description"] for row in own}
        named = [(row["name"], row["defined_at"], row["updated_at"]) for row in own]
        named += [(row["name"], row["first_at"], row["last_at"]) for row in used]
        named += [
            (row["category"], row["updated_at"], row["updated_at"]) for row in rules if row["category"] is not None
        ]
        found: dict[str, Mapping[str, Any]] = {}
        for name, first, last in named:
            found.setdefault(
                category_key(name),
                {
                    "id": self._category_id(name),
                    "name": name,
                    "description": described.get(category_key(name), ""),
                    "created_at": _iso(first),
                    "updated_at": _iso(last),
                },
            )
        return [*found.values()]

    def _memory_row(self, row: Row) -> Mapping[str, Any]:
        state = row["state"]
        return {
            "id": row["memory_id"],
            "user_id": self._owner,
            "app_id": row["app_id"],
            "content": row["text"],
            "metadata": row["metadata"],
            "state": state,
            "created_at": _iso(row["created_at"]),
            "updated_at": _iso(row["updated_at"]),
            "archived_at": _iso(row["updated_at"]) if state == "archived" else None,
            "deleted_at": _iso(row["deleted_at"]),
            "category_ids": self._category_ids(row["categories"]),
        }

    def _links(self, page: Iterable[Row]) -> Iterable[Mapping[str, Any]]:
        for row in page:
            for category_id in self._category_ids(row["categories"]):
                yield {"memory_id": row["memory_id"], "category_id": category_id}

    def _state_row(self, row: Row) -> Mapping[str, Any]:
        return {
            "id": row["event_id"],
            "memory_id": row["memory_id"],
            "changed_by": self._owner,
            "old_state": row["before"] or "deleted",  # as OpenMemory has it of a memory that is new
            "new_state": row["state"],
            "changed_at": _iso(row["occurred_at"]),
        }

    def _rule_row(self, row: Row) -> Mapping[str, Any]:
        of_category = row["category"] is not None
        return {
            "id": row["rule_id"],
            "subject_type": "app",
            "subject_id": row["app_id"],
            "object_type": "category" if of_category else "memory",
            "object_id": self._category_id(row["category"]) if of_category else row["memory_id"],
            "effect": row["effect"],
            "created_at": _iso(row["updated_at"]),
        }

    async def _meta(self) -> Mapping[str, Any]:
        return {
            "app_id_filter": self._query.app_id,
            "from_date": self._query.from_date,
            "to_date": self._query.to_date,
            "version": "1",
            "generated_at": _iso(utc_now()),
            "generator": "memlog",
            "default_access": await self._connection.fetchval(_DEFAULT, self._principal.uid) or "allow",
        }

    def _category_id(self, name: str) -> str:
        return ids.category_id(self._principal.key.identity, name)

    def _category_ids(self, names: Iterable[str]) -> list[str]:
        return [*dict.fromkeys(map(self._category_id, names))]


def _logical_row(row: Row) -> Mapping[str, Any]:
    return {
        "id": row["memory_id"],
        "content": row["text"],
        "metadata": row["metadata"],
        "created_at": _iso(row["created_at"]),
        "updated_at": _iso(row["updated_at"]),
        "state": row["state"],
        "app": row["app_name"],
        "categories": row["categories"],
    }


async def _pages(rows: AsyncIterable[Row]) -> AsyncIterator[list[Row]]:
    page: list[Row] = []
    async for row in rows:
        page.append(row)
        if len(page) == _PAGE:
            yield page
            page = []
    if page:
        yield page


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
