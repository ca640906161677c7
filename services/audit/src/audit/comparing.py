"""What two generations differ in, and a hash of what one holds. Content never leaves PostgreSQL: keys and hashes do."""

from collections.abc import Sequence
from hashlib import sha256

from runtime.postgres import Connection

from audit.register import Entry
from audit.statement import Projection

_COMPARE_S = 1800.0
_DIGESTS = 20_000
"""Rows a round trip: 32 bytes each."""

_KEY = """
    SELECT a.attname FROM pg_index AS i
    JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = $1::regclass AND i.indisprimary ORDER BY array_position(i.indkey::int2[], a.attnum)
"""


async def first_difference(connection: Connection, left: str, right: str, tables: Sequence[str]) -> str | None:
    """Table and key of the first row that is not the same in both schemas; None when there is none."""
    for table in tables:
        key = ", ".join(await _key(connection, f"{left}.{table}"))
        one, other = f"SELECT * FROM {left}.{table}", f"SELECT * FROM {right}.{table}"
        row = await connection.fetchrow(
            f"SELECT {key} FROM (({one} EXCEPT {other}) UNION ALL ({other} EXCEPT {one})) AS d ORDER BY {key} LIMIT 1",
            timeout=_COMPARE_S,
        )
        if row is not None:
            return f"{table}: " + ", ".join(f"{name} {row[name]}" for name in row.keys())  # noqa: SIM118 - not a dict
    return None


async def row_counts(connection: Connection, serving: Entry, other: Entry) -> str:
    """How many rows each table has in both, in words."""
    words: list[str] = []
    for table in serving.tables:
        if table in other.tables:
            counts = [
                await connection.fetchval(f"SELECT count(*) FROM {entry.schema}.{table}", timeout=_COMPARE_S)
                for entry in (serving, other)
            ]
            words.append(f"{table} {counts[0]} and {counts[1]}")
    return ", ".join(words)


async def state_hash(connection: Connection, schema: str, models: Sequence[Projection]) -> str:
    """SHA-256 (hex) over the rows of all tables in the order of their keys, without what belongs to one recording of
    the events only."""
    whole = sha256()
    for model in sorted(models, key=lambda model: model.name):
        whole.update(f"{model.name}\n".encode())
        key = ", ".join(await _key(connection, f"{schema}.{model.name}"))
        # jsonb writes a row in one way only, whatever the order of its columns.
        digest = "SELECT sha256(convert_to((to_jsonb(t) - $1::text[])::text, 'UTF8'))"
        await connection.execute("SET LOCAL cursor_tuple_fraction = 1.0")
        rows = connection.cursor(
            f"{digest} FROM {schema}.{model.name} AS t ORDER BY {key}",
            list(model.of_recording),
            prefetch=_DIGESTS,
            timeout=_COMPARE_S,
        )
        async for row in rows:
            whole.update(row[0])
    return whole.hexdigest()


async def _key(connection: Connection, table: str) -> list[str]:
    return [row["attname"] for row in await connection.fetch(_KEY, table)]
