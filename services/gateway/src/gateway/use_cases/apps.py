"""The user's apps: what each wrote, what was returned to it, and the totals of both."""

from contracts.api import App, AppPage, Stats
from contracts.codec import timestamp
from contracts.commands import PauseApp, ResumeApp
from contracts.errors import Conflict, NotFound, Unavailable
from contracts.openmemory import AccessedMemories, AccessedMemory, AppDetail, AppMemories
from contracts.streams import READ_MODELS
from runtime.postgres import Pool, postgres_errors

from gateway.asking import OWNER_APP, AppQuery, Caller, ListQuery
from gateway.use_cases import sql
from gateway.use_cases.audit_trail import AuditTrail
from gateway.use_cases.commanding import Commanding, Principal
from gateway.use_cases.freshness import Freshness
from gateway.use_cases.identity import Identities
from gateway.use_cases.listing import APP, COLUMNS, TEXT, listing, substring
from gateway.use_cases.paging import fetch_page
from gateway.use_cases.views import app_view, memory_view

_TOTALS = """
    (SELECT count(*) FROM memlog.memories AS m
      WHERE m.uid = a.uid AND m.app_id = a.app_id AND m.state <> 'deleted') AS created,
    (SELECT count(*) FROM memlog.app_reads AS r WHERE r.uid = a.uid AND r.app_id = a.app_id) AS accessed
"""
_APPS = f"SELECT a.app_id, a.name, a.is_active, {_TOTALS} FROM memlog.apps AS a"
_APPS_WHERE = """
    a.uid = $1 AND a.name <> $2 AND ($3::text IS NULL OR a.name ILIKE $3)
    AND ($4::boolean IS NULL OR a.is_active = $4)
"""
_COUNT_APPS = f"SELECT count(*) FROM memlog.apps AS a WHERE {_APPS_WHERE}"
_ORDER = {"name": "lower(name)", "memories": "created", "memories_accessed": "accessed"}
_ONE_APP = f"""
    {_APPS.replace("AS accessed", "AS accessed, r.first_at, r.last_at")}
    CROSS JOIN LATERAL (SELECT min(first_at) AS first_at, max(last_at) AS last_at FROM memlog.app_reads AS r
                         WHERE r.uid = a.uid AND r.app_id = a.app_id) AS r
    WHERE a.uid = $1 AND a.app_id = $2
"""
_COUNT_ACCESSED = "SELECT count(*) FROM memlog.app_reads WHERE uid = $1 AND app_id = $2"
_ACCESSED = f"""
    SELECT {COLUMNS}, r.reads FROM (
        SELECT memory_id, reads, last_at FROM memlog.app_reads WHERE uid = $1 AND app_id = $2
        ORDER BY reads DESC, last_at DESC, memory_id LIMIT $3 OFFSET $4
    ) AS r JOIN memlog.memories AS m ON m.uid = $1 AND m.memory_id = r.memory_id JOIN {TEXT} JOIN {APP}
    ORDER BY r.reads DESC, r.last_at DESC, m.memory_id
"""
_ALL = 1_000_000


def _apps(sort_by: str, sort_direction: str) -> str:
    """A page of the user's apps with their totals; $2 is the owner's own app, which is not shown."""
    direction = {"asc": "ASC", "desc": "DESC"}[sort_direction]
    order = f"{_ORDER[sort_by]} {direction}, app_id"
    return f"SELECT * FROM ({_APPS} WHERE {_APPS_WHERE}) AS found ORDER BY {order} LIMIT $5 OFFSET $6"


_MEMORIES = "SELECT count(*) FROM memlog.memories WHERE uid = $1 AND state <> 'deleted'"


class Apps:
    """The part of `gateway.service.MemoryService` that is about apps."""

    def __init__(
        self, identities: Identities, commanding: Commanding, pool: Pool, trail: AuditTrail, freshness: Freshness
    ) -> None:
        self._identities = identities
        self._commanding = commanding
        self._pool = pool
        self._trail = trail
        self._freshness = freshness

    async def apps(self, caller: Caller, query: AppQuery) -> AppPage:
        principal = await self._reader(caller)
        name = None if query.name is None else substring(query.name)
        where = (principal.uid, OWNER_APP, name, query.is_active)
        rows = _apps(query.sort_by, query.sort_direction)
        total, found = await fetch_page(self._pool, _COUNT_APPS, rows, where, page=query.page, size=query.page_size)
        return AppPage(total=total, page=query.page, page_size=query.page_size, apps=[app_view(row) for row in found])

    async def stats(self, caller: Caller) -> Stats:
        principal = await self._reader(caller)
        where = (principal.uid, OWNER_APP, None, None)
        rows = _apps("memories", "desc")
        # The count of memories beside the apps' own: as of one moment, as pages are.
        count = f"SELECT total FROM (SELECT ({_MEMORIES}) AS total, ({_COUNT_APPS})) AS totals"
        total, found = await fetch_page(self._pool, count, rows, where, page=1, size=_ALL)
        return Stats(total_memories=total, total_apps=len(found), apps=[app_view(row) for row in found])

    async def app(self, caller: Caller, app_id: str) -> AppDetail:
        principal = await self._reader(caller)
        with postgres_errors():
            row = await self._pool.fetchrow(_ONE_APP, principal.uid, app_id)
        if row is None:
            raise _unknown(app_id)
        first, last = row["first_at"], row["last_at"]
        return AppDetail(
            **dict(app_view(row)),
            first_accessed=None if first is None else timestamp(first),
            last_accessed=None if last is None else timestamp(last),
        )

    async def app_memories(self, caller: Caller, app_id: str, *, page: int, page_size: int) -> AppMemories:
        principal = await self._of(caller, app_id)
        asked = listing(principal.uid, ListQuery(app_ids=(app_id,)), None)
        total, rows = await fetch_page(self._pool, asked.count, asked.rows, asked.values, page=page, size=page_size)
        await self._trail.record(principal, "list", [(row["memory_id"], None) for row in rows])
        return AppMemories(total=total, page=page, page_size=page_size, memories=[memory_view(row) for row in rows])

    async def app_accessed(self, caller: Caller, app_id: str, *, page: int, page_size: int) -> AccessedMemories:
        principal = await self._of(caller, app_id)
        where = (principal.uid, app_id)
        total, rows = await fetch_page(self._pool, _COUNT_ACCESSED, _ACCESSED, where, page=page, size=page_size)
        await self._trail.record(principal, "list", [(row["memory_id"], None) for row in rows])
        found = [AccessedMemory(memory=memory_view(row), access_count=row["reads"]) for row in rows]
        return AccessedMemories(total=total, page=page, page_size=page_size, memories=found)

    async def set_app_active(self, caller: Caller, app_id: str, active: bool) -> App:
        principal = await self._identities.owner(caller)
        with postgres_errors():
            row = await self._pool.fetchrow(_ONE_APP, principal.uid, app_id)
        if row is None:
            raise _unknown(app_id)
        if row["name"] == OWNER_APP:
            raise Conflict(f"'{OWNER_APP}' is the owner's own app and cannot be paused")
        command = ResumeApp(app_id=app_id) if active else PauseApp(app_id=app_id)
        sent = await self._commanding.send(principal, command, projections=(READ_MODELS,))
        if sent.state != "searchable":
            raise Unavailable(
                f"the change is accepted (operation {sent.command_id}) but the read models do not show it: "
                f"{sent.reason or 'ask for the app again before relying on it'}"
            )
        with postgres_errors():
            row = await self._pool.fetchrow(_ONE_APP, principal.uid, app_id)
        if row is None:
            raise _unknown(app_id)
        return app_view(row)

    async def _reader(self, caller: Caller) -> Principal:
        principal = await self._identities.owner(caller)
        self._freshness.require(principal.uid, (READ_MODELS,))
        return principal

    async def _of(self, caller: Caller, app_id: str) -> Principal:
        """The reader, of an app of theirs. Raises `NotFound`."""
        principal = await self._reader(caller)
        with postgres_errors():
            if await self._pool.fetchrow(sql.PRINCIPAL, principal.uid, app_id) is None:
                raise _unknown(app_id)
        return principal


def _unknown(app_id: str) -> NotFound:
    return NotFound(f"app {app_id} was not found")
