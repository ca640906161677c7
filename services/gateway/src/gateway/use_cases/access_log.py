"""Who read a memory, when and how."""

import uuid

from contracts.codec import timestamp
from contracts.errors import NotFound
from contracts.openmemory import AccessLog, AccessLogEntry
from contracts.streams import READ_MODELS
from runtime.postgres import Pool, Row, postgres_errors

from gateway.asking import Caller
from gateway.use_cases.freshness import Freshness
from gateway.use_cases.identity import Identities
from gateway.use_cases.paging import fetch_page

_KNOWN = "SELECT 1 FROM memlog.memories WHERE uid = $1 AND memory_id = $2"
_COUNT = "SELECT count(*) FROM memlog.access_log WHERE uid = $1 AND memory_id = $2"
_ROWS = """
    SELECT l.correlation_id, l.trace_id, l.memory_id, l.app_id, l.kind, l.accessed_at, l.rank, l.score, l.actor,
           a.name AS app_name
    FROM memlog.access_log AS l LEFT JOIN memlog.apps AS a ON a.uid = l.uid AND a.app_id = l.app_id
    WHERE l.uid = $1 AND l.memory_id = $2
    ORDER BY l.accessed_at DESC, l.sequence DESC LIMIT $3 OFFSET $4
"""


class AccessLogReading:
    """The part of `gateway.service.MemoryService` that tells who read what. It holds ids and times only, so reading it
    is not itself a read."""

    def __init__(self, identities: Identities, pool: Pool, freshness: Freshness) -> None:
        self._identities = identities
        self._pool = pool
        self._freshness = freshness

    async def access_log(self, caller: Caller, memory_id: str, *, page: int, page_size: int) -> AccessLog:
        principal = await self._identities.owner(caller)
        self._freshness.require(principal.uid, (READ_MODELS,))
        where = (principal.uid, memory_id)
        with postgres_errors():
            if await self._pool.fetchrow(_KNOWN, *where) is None:
                raise NotFound(f"memory {memory_id} was not found")
        total, rows = await fetch_page(self._pool, _COUNT, _ROWS, where, page=page, size=page_size)
        return AccessLog(total=total, page=page, page_size=page_size, logs=[_entry(row) for row in rows])


def _entry(row: Row) -> AccessLogEntry:
    return AccessLogEntry(
        id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{row['correlation_id']}/{row['memory_id']}")),
        memory_id=row["memory_id"],
        app_id=row["app_id"],
        app_name=row["app_name"],
        accessed_at=timestamp(row["accessed_at"]),
        access_type=row["kind"],
        metadata_={
            "actor": row["actor"],
            "rank": row["rank"],
            "score": row["score"],
            "read_id": row["correlation_id"],
            "trace_id": row["trace_id"],
        },
    )
