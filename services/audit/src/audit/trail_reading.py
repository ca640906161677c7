"""Reading the audit rows that serve: pages of them, chain heads, and where a message belongs."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from contracts.errors import Unavailable
from contracts.streams import ACCESS_LOG, READ_MODELS, is_truth
from runtime.postgres import Pool, postgres_errors

from audit.chain import AuditRow, Head, genesis
from audit.projections import trail

_PAGE = f"""
    SELECT {trail.COLUMNS} FROM memlog.{{table}} WHERE shard = $1 AND sequence > $2 AND sequence <= $3
    ORDER BY sequence LIMIT $4
"""
_LAST = "SELECT sequence, chain FROM memlog.{table} WHERE shard = $1 ORDER BY sequence DESC LIMIT 1"
_CHAINS = "SELECT sequence, chain FROM memlog.{table} WHERE shard = $1 AND sequence = ANY ($2::bigint[])"
_BELONGS = "SELECT sequence FROM memlog.{table} WHERE shard = $1 AND sha256 = $2 ORDER BY sequence LIMIT 1"
_BELONGS_S = 300.0
"""No index helps: it is asked once, about a message that stands in the wrong place."""


class Rows(Protocol):
    """The audit rows of one stream."""

    async def page(self, after: int, upto: int, limit: int) -> Sequence[AuditRow]:
        """The first `limit` rows behind `after`, up to `upto`, in order."""
        ...

    async def belongs(self, sha256: str) -> int | None:
        """The sequence at which a message with this hash was recorded."""
        ...


class TrailRows:
    """`Rows` of a shard in the generation that serves. All methods raise `Unavailable`."""

    def __init__(self, pool: Pool, projection: str, shard: int) -> None:
        self.projection = projection
        self.shard = shard
        self._table = {READ_MODELS: "event_audit", ACCESS_LOG: "access_audit"}[projection]
        self._pool = pool

    @property
    def stream(self) -> str:
        return trail.STREAMS[self._table](self.shard).name

    async def there(self) -> bool:
        """Whether PostgreSQL has such rows at all: it may be new, and not yet filled by anybody."""
        with postgres_errors():
            return await self._pool.fetchval("SELECT to_regclass($1) IS NOT NULL", f"memlog.{self._table}")

    async def page(self, after: int, upto: int, limit: int) -> Sequence[AuditRow]:
        with postgres_errors():
            found = await self._pool.fetch(_PAGE.format(table=self._table), self.shard, after, upto, limit)
        return [trail.audit_row(row) for row in found]

    async def belongs(self, sha256: str) -> int | None:
        query = _BELONGS.format(table=self._table)
        with postgres_errors():
            return await self._pool.fetchval(query, self.shard, sha256, timeout=_BELONGS_S)

    async def head(self) -> Head:
        """The chain up to the last row."""
        with postgres_errors():
            row = await self._pool.fetchrow(_LAST.format(table=self._table), self.shard)
        return genesis(self.stream) if row is None else Head(row["sequence"], row["chain"])

    async def chains(self, sequences: Sequence[int]) -> Mapping[int, str]:
        """The chain at those of these sequences that have a row."""
        with postgres_errors():
            found = await self._pool.fetch(_CHAINS.format(table=self._table), self.shard, [*sequences])
        return {row["sequence"]: row["chain"] for row in found}


async def position(pool: Pool, projection: str, shard: int) -> tuple[int, str, str]:
    """Sequence, event id and hash up to which the generation that serves was derived; 0 for none. Raises
    `Unavailable`."""
    with postgres_errors():
        row = await pool.fetchrow(
            "SELECT sequence, event_id, sha256 FROM memlog.positions WHERE projection = $1 AND shard = $2",
            projection,
            shard,
        )
    return (0, "", "") if row is None else (row["sequence"], row["event_id"], row["sha256"])


def projection_of(stream: str) -> str:
    """Whose rows a stream's are."""
    if not is_truth(stream) and not stream.startswith("MEMLOG_ACCESS_"):
        raise Unavailable(f"{stream} has no audit rows")
    return READ_MODELS if is_truth(stream) else ACCESS_LOG
