"""Who read or wrote what, newest first."""

from datetime import UTC, datetime

from contracts import ids, subjects
from contracts.auditing import AuditEntry, AuditPage, ReadMemories, ReadMemory
from contracts.codec import timestamp
from contracts.errors import NotFound
from contracts.positions import Position
from contracts.streams import READ_MODELS
from runtime.postgres import Pool, Row, postgres_errors

from gateway.asking import AuditQuery, Caller
from gateway.use_cases.freshness import Freshness
from gateway.use_cases.identity import Identities
from gateway.use_cases.paging import fetch_page

# $1 user, $2 action, $3 kind, $4 app, $5 and $6 times, $7 memory, $8 subject of the memory's events, $9 app whose reads
# are left out; null: any, or none.
_FEED = """
    SELECT 'read' AS action, r.kind, r.accessed_at AS at, r.app_id, r.actor, r.returned AS memories,
           NULL AS subject, r.trace_id, r.correlation_id, r.shard, r.sequence, r.event_id
    FROM memlog.reads AS r
    WHERE r.uid = $1 AND coalesce($2, 'read') = 'read' AND r.kind = coalesce($3, r.kind)
      AND r.app_id = coalesce($4, r.app_id) AND r.accessed_at >= coalesce($5, r.accessed_at)
      AND r.accessed_at <= coalesce($6, r.accessed_at)
      AND ($9::text IS NULL OR r.app_id <> $9)
      AND ($7::text IS NULL OR EXISTS (
          SELECT 1 FROM memlog.access_log AS l
          WHERE l.uid = r.uid AND l.memory_id = $7 AND l.sequence = r.sequence))
    UNION ALL
    SELECT 'write', e.type, e.recorded_at, e.app_id, e.actor, NULL, e.subject, e.trace_id, e.correlation_id, e.shard,
           e.sequence, e.event_id
    FROM memlog.event_audit AS e
    WHERE e.uid = $1 AND coalesce($2, 'write') = 'write' AND e.type = coalesce($3, e.type)
      AND e.app_id = coalesce($4, e.app_id) AND e.recorded_at >= coalesce($5, e.recorded_at)
      AND e.recorded_at <= coalesce($6, e.recorded_at) AND e.subject = coalesce($8, e.subject)
"""
_COUNT = f"SELECT count(*) FROM ({_FEED}) AS f"
_ROWS = f"""
    SELECT f.*, a.name AS app_name FROM ({_FEED}) AS f
    LEFT JOIN memlog.apps AS a ON a.uid = $1 AND a.app_id = f.app_id
    ORDER BY f.at DESC, f.action, f.sequence DESC LIMIT $10 OFFSET $11
"""
_READ = "SELECT sequence FROM memlog.reads WHERE uid = $1 AND event_id = $2"
_RETURNED = "SELECT memory_id, rank, score FROM memlog.access_log WHERE uid = $1 AND sequence = $2 ORDER BY rank"


class Auditing:
    """The part of `gateway.service.MemoryService` that tells who did what. It holds ids and times only, so reading it
    is not itself a read."""

    def __init__(self, identities: Identities, pool: Pool, freshness: Freshness, shards: int) -> None:
        self._identities = identities
        self._pool = pool
        self._freshness = freshness
        self._shards = shards

    async def audit(self, caller: Caller, query: AuditQuery) -> AuditPage:
        """See `gateway.service.MemoryService`."""
        principal = await self._identities.owner(caller)
        self._freshness.require(principal.uid, (READ_MODELS,))
        about = None
        if query.memory_id is not None:
            shard = subjects.shard_of(principal.uid, self._shards)
            about = subjects.event_subject(shard, subjects.memory(principal.uid, query.memory_id))
        times = (_time(query.from_date), _time(query.to_date))
        # Nobody but the owner is here: the app is that of the person.
        own = principal.app_id
        app_id = own if query.app_id == ids.OWNER_APP else query.app_id
        without = own if query.without_own_reads else None
        where = (principal.uid, query.action, query.kind, app_id, *times, query.memory_id, about, without)
        total, rows = await fetch_page(self._pool, _COUNT, _ROWS, where, page=query.page, size=query.size)
        return AuditPage(
            items=[_entry(row) for row in rows],
            total=total,
            page=query.page,
            size=query.size,
            pages=-(-total // query.size),
        )

    async def read_memories(self, caller: Caller, read_id: str) -> ReadMemories:
        """See `gateway.service.MemoryService`."""
        principal = await self._identities.owner(caller)
        with postgres_errors():
            read = await self._pool.fetchrow(_READ, principal.uid, read_id)
            if read is None:
                raise NotFound(f"read {read_id} was not found")
            rows = await self._pool.fetch(_RETURNED, principal.uid, read["sequence"])
        return ReadMemories(
            memories=[ReadMemory(memory_id=row["memory_id"], rank=row["rank"], score=row["score"]) for row in rows]
        )


def _time(epoch: int | None) -> datetime | None:
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC)


def _entry(row: Row) -> AuditEntry:
    kind, _, id_ = (row["subject"] or "").rpartition(".memory.")
    own = row["app_id"] == ids.OWN_APP
    return AuditEntry(
        id=row["event_id"],
        action=row["action"],
        kind=row["kind"],
        at=timestamp(row["at"]),
        app_id=row["app_id"],
        app_name=ids.OWN_APP if own else row["app_name"],
        actor=row["actor"],
        memories=row["memories"],
        memory_id=id_ if kind else None,
        trace_id=row["trace_id"],
        request_id=row["correlation_id"],
        position=str(Position(row["shard"], row["sequence"])),
    )
