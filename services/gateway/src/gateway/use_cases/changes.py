"""What became of the memories between two moments, and when it did: from the history, for the owner."""

import math
from datetime import datetime

from contracts.changes import Change, ChangePage, DifferenceKind, MemoryThen, Timeline
from contracts.codec import timestamp
from contracts.errors import InvalidInput
from contracts.positions import Position
from contracts.streams import READ_MODELS, SERVING_PROJECTIONS
from runtime.clock import utc_now
from runtime.postgres import Pool, Row, postgres_errors

from gateway.asking import Caller, ChangeQuery
from gateway.use_cases.audit_trail import AuditTrail
from gateway.use_cases.commanding import Principal
from gateway.use_cases.freshness import Freshness
from gateway.use_cases.identity import Identities
from gateway.use_cases.listing import substring
from gateway.use_cases.time_travel import TimeTravel
from gateway.use_cases.views import epoch

# Only memories with a change between both moments are looked at, each with its last row of history up to either. One
# that is deleted is not there: added and deleted in between, it makes no difference. Texts are looked up where they
# decide, and for the page: joined to all of 50,000 memories they took longer than everything else. The moments stand in
# the text: PostgreSQL reads the history once where most of it changed, and by key where little did, and a parameter
# does not tell it which.
_CHANGES = """
    WITH compared AS (
        SELECT last.memory_id, last.sequence, later.version, last.sequence_then,
               earlier.version AS version_then,
               CASE WHEN coalesce(earlier.state, 'deleted') = 'deleted' THEN 'added'
                    WHEN later.state = 'deleted' THEN 'deleted'
                    WHEN earlier.version <> later.version AND (
                        SELECT count(DISTINCT t.text) FROM memlog.memory_texts AS t
                        WHERE t.uid = $1 AND t.memory_id = last.memory_id
                          AND t.version IN (earlier.version, later.version)) > 1 THEN 'revised'
                    WHEN earlier.state <> later.state THEN 'state'
                    WHEN NOT (earlier.category_keys @> later.category_keys
                              AND earlier.category_keys <@ later.category_keys) THEN 'categories' END AS kind
        FROM (SELECT h.memory_id, max(h.sequence) AS sequence,
                     max(h.sequence) FILTER (WHERE h.sequence <= {since}) AS sequence_then
              FROM memlog.history AS h
              WHERE h.uid = $1 AND h.sequence <= {until} AND h.memory_id IN (
                  SELECT c.memory_id FROM memlog.history AS c
                  WHERE c.uid = $1 AND c.sequence > {since} AND c.sequence <= {until})
              GROUP BY h.memory_id) AS last
        JOIN memlog.history AS later ON later.uid = $1 AND later.memory_id = last.memory_id
         AND later.sequence = last.sequence
        LEFT JOIN memlog.history AS earlier ON earlier.uid = $1 AND earlier.memory_id = last.memory_id
         AND earlier.sequence = last.sequence_then
        WHERE earlier.state <> 'deleted' OR later.state <> 'deleted'
        OFFSET 0
    ), found AS MATERIALIZED (
        SELECT * FROM compared AS c
        WHERE kind IS NOT NULL AND ($2::text IS NULL OR EXISTS (
            SELECT FROM memlog.memory_texts AS t WHERE t.uid = $1 AND t.memory_id = c.memory_id
               AND t.version IN (c.version_then, c.version) AND t.text ILIKE $2))
    ), page AS (
        SELECT * FROM found WHERE $3::text IS NULL OR kind = $3 ORDER BY sequence DESC LIMIT $4 OFFSET $5
    )
    SELECT counts.of_kind, page.memory_id, page.kind, m.created_at, m.app_id, coalesce(a.name, '') AS app_name,
           earlier.state AS state_then, earlier.all_categories AS categories_then, text_then.text AS text_then,
           later.state, later.all_categories AS categories, text_later.text, later.recorded_at
    FROM (SELECT coalesce(jsonb_object_agg(kind, number), '{{}}') AS of_kind
            FROM (SELECT kind, count(*) AS number FROM found GROUP BY kind) AS each) AS counts
    LEFT JOIN page ON true
    LEFT JOIN memlog.history AS earlier ON earlier.uid = $1 AND earlier.memory_id = page.memory_id
     AND earlier.sequence = page.sequence_then
    LEFT JOIN memlog.memory_texts AS text_then ON text_then.uid = $1 AND text_then.memory_id = page.memory_id
     AND text_then.version = page.version_then
    LEFT JOIN memlog.history AS later ON later.uid = $1 AND later.memory_id = page.memory_id
     AND later.sequence = page.sequence
    LEFT JOIN memlog.memory_texts AS text_later ON text_later.uid = $1 AND text_later.memory_id = page.memory_id
     AND text_later.version = page.version
    LEFT JOIN memlog.memories AS m ON m.uid = $1 AND m.memory_id = page.memory_id
    LEFT JOIN memlog.apps AS a ON a.uid = $1 AND a.app_id = m.app_id
    ORDER BY page.sequence DESC
"""

_NOW = 2**63 - 1
"""The greatest sequence that a column can hold."""

_FIRST = "SELECT h.recorded_at FROM memlog.history AS h WHERE h.uid = $1 ORDER BY h.sequence LIMIT 1"
# The log's clock may step back, so that a change may seem to come from before the first one.
_TIMELINE = """
    SELECT greatest(width_bucket(extract(epoch FROM h.recorded_at), extract(epoch FROM $2::timestamptz),
                                 extract(epoch FROM $3::timestamptz), $4), 1) AS part, count(*) AS number
    FROM memlog.history AS h WHERE h.uid = $1 AND h.recorded_at < $3 GROUP BY part
"""


class Changes:
    """The part of `gateway.service.MemoryService` that compares moments."""

    def __init__(
        self, identities: Identities, pool: Pool, trail: AuditTrail, freshness: Freshness, time_travel: TimeTravel
    ) -> None:
        self._identities = identities
        self._pool = pool
        self._trail = trail
        self._freshness = freshness
        self._time_travel = time_travel

    async def differences(self, caller: Caller, query: ChangeQuery) -> ChangePage:
        principal = await self._owner(caller)
        since = await self._time_travel.sequence(principal.uid, query.since, "since")
        until = await self._time_travel.sequence(principal.uid, query.until, "until")
        if since is not None and until is not None and since > until:
            raise InvalidInput(f"since: '{query.since}' is later than until, '{query.until}'")
        search = None if query.search is None else substring(query.search)
        with postgres_errors():
            rows = await self._pool.fetch(
                _changes(since or 0, _NOW if until is None else until),
                principal.uid,
                search,
                query.kind,
                query.size,
                (query.page - 1) * query.size,
            )
        counts: dict[DifferenceKind, int] = rows[0]["of_kind"]
        found = [row for row in rows if row["memory_id"] is not None]
        await self._trail.record(principal, "list", [(row["memory_id"], None) for row in found])
        total = sum(counts.values()) if query.kind is None else counts.get(query.kind, 0)
        return ChangePage(
            items=[_change(row) for row in found],
            counts=counts,
            total=total,
            page=query.page,
            size=query.size,
            pages=math.ceil(total / query.size),
        )

    async def timeline(self, caller: Caller, parts: int) -> Timeline:
        principal = await self._owner(caller)
        now = utc_now()
        with postgres_errors():
            first: datetime | None = await self._pool.fetchval(_FIRST, principal.uid)
            if first is None or first >= now:
                return Timeline(first=None if first is None else timestamp(first), now=timestamp(now), changes=[])
            rows = await self._pool.fetch(_TIMELINE, principal.uid, first, now, parts)
        numbers = {row["part"]: row["number"] for row in rows}
        return Timeline(
            first=timestamp(first), now=timestamp(now), changes=[numbers.get(part + 1, 0) for part in range(parts)]
        )

    async def reached(self, position: str, *, index: bool = False) -> None:
        projections = SERVING_PROJECTIONS if index else (READ_MODELS,)
        await self._freshness.reached(Position.parse(position), projections, "Memlog-Min-Position")

    async def _owner(self, caller: Caller) -> Principal:
        principal = await self._identities.owner(caller)
        self._freshness.require(principal.uid, (READ_MODELS,))
        return principal


def _changes(since: int, until: int) -> str:
    return _CHANGES.format(since=int(since), until=int(until))


def _change(row: Row) -> Change:
    kind: DifferenceKind = row["kind"]
    return Change(
        id=row["memory_id"],
        kind=kind,
        app_id=row["app_id"],
        app_name=row["app_name"],
        created_at=epoch(row["created_at"]),
        changed_at=timestamp(row["recorded_at"]),
        before=None if kind == "added" else _side(row, "_then"),
        after=None if kind == "deleted" else _side(row, ""),
    )


def _side(row: Row, suffix: str) -> MemoryThen:
    return MemoryThen(content=row[f"text{suffix}"], state=row[f"state{suffix}"], categories=row[f"categories{suffix}"])
