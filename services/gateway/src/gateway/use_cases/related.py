"""What belongs together with a memory: what shares categories with it, then what is similar in meaning."""

import math

from contracts.api import Page, SearchRequest
from contracts.categories import category_keys
from contracts.errors import NotFound
from contracts.streams import SERVING_PROJECTIONS
from nats.aio.client import Client
from runtime.postgres import Pool, postgres_errors

from gateway.asking import Caller
from gateway.use_cases import sql
from gateway.use_cases.audit_trail import AuditTrail
from gateway.use_cases.freshness import Freshness
from gateway.use_cases.identity import Identities
from gateway.use_cases.listing import APP, COLUMNS, TEXT
from gateway.use_cases.paging import fetch_page
from gateway.use_cases.searching import ask_indexer
from gateway.use_cases.views import memory_view

_SIMILAR = 25
"""How many of the nearest count as similar, of those with at least this score."""
_LEAST_SCORE = 0.15
_QUERY_CHARACTERS = 1000

_WHERE = """
    m.uid = $1 AND m.memory_id <> $2 AND m.state = ANY($3)
    AND (m.category_keys && $4::text[] OR m.memory_id = ANY($5::text[]))
"""
_COUNT = f"SELECT count(*) FROM memlog.memories AS m WHERE {_WHERE}"
_ROWS = f"""
    SELECT {COLUMNS} FROM (
        SELECT m.memory_id, m.created_at, array_position($5::text[], m.memory_id) AS nearness,
               (SELECT count(*) FROM unnest(m.category_keys) AS key WHERE key = ANY($4::text[])) AS shared
        FROM memlog.memories AS m WHERE {_WHERE}
        ORDER BY shared DESC, nearness NULLS LAST, m.created_at DESC, m.memory_id LIMIT $6 OFFSET $7
    ) AS found JOIN memlog.memories AS m ON m.uid = $1 AND m.memory_id = found.memory_id JOIN {TEXT} JOIN {APP}
    ORDER BY found.shared DESC, found.nearness NULLS LAST, m.created_at DESC, m.memory_id
"""


class Related:
    """The part of `gateway.service.MemoryService` that finds related memories."""

    def __init__(
        self, client: Client, identities: Identities, pool: Pool, trail: AuditTrail, freshness: Freshness
    ) -> None:
        self._client = client
        self._identities = identities
        self._pool = pool
        self._trail = trail
        self._freshness = freshness

    async def related(
        self, caller: Caller, memory_id: str, *, inactive: bool = False, page: int = 1, size: int = 5
    ) -> Page:
        principal = await self._identities.owner(caller)
        self._freshness.require(principal.uid, SERVING_PROJECTIONS)
        with postgres_errors():
            one = await self._pool.fetchrow(sql.ONE, principal.uid, memory_id)
        if one is None:
            raise NotFound(f"memory {memory_id} was not found")
        states = ["active", "paused", "archived"] if inactive else ["active"]
        query = one["text"][:_QUERY_CHARACTERS]
        request = SearchRequest(uid=principal.uid, query=query, limit=_SIMILAR + 1, states=states)
        hits = await ask_indexer(self._client, request)
        similar = [hit.memory_id for hit in hits if hit.score >= _LEAST_SCORE]
        where = (principal.uid, memory_id, states, [*category_keys(one["categories"])], similar)
        total, rows = await fetch_page(self._pool, _COUNT, _ROWS, where, page=page, size=size)
        await self._trail.record(principal, "list", [(row["memory_id"], None) for row in rows])
        items = [memory_view(row) for row in rows]
        return Page(items=items, total=total, page=page, size=size, pages=math.ceil(total / size))
