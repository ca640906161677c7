"""What readers see: the schema `memlog`, with views of the generations that serve.

The switch makes new views in a schema of their own and renames schemas, because that takes no lock on any view:
replacing the views one by one would wait for readers, and readers for it, each holding what the other wants.
"""

from collections.abc import Callable
from contextlib import suppress

import structlog
from contracts.errors import Unavailable
from runtime.postgres import Connection, Pool, postgres_errors

from audit.generations import Generation
from audit.register import GIVE_WAY, REGISTER, VIEWS, changing, create, entries, set_up

log = structlog.get_logger()
READER = "memlog_reader"
"""The role that reads the views; whoever sets up the server may create it, then installing grants to it."""
AUDITOR = "memlog_auditor"
"""Likewise a role that sees who read when, by which app, and in which trace: no text, no query, no user's name."""
AUDITED = ("reads", "apps")
"""The views that it sees."""

_RETIRED = "memlog_retired_"


async def install(pool: Pool, make: Callable[[int], Generation]) -> Generation:
    """The generation that serves, one whose tables this code can feed: that of the register, else the newest other one
    that fits (this Memlog was here before another one), else a new one, empty.

    Safe to call at every start, and by several instances together. Raises `Unavailable`.
    """
    async with changing(pool) as connection:
        await set_up(connection)
        code = make(1)
        found = await entries(connection, code.projection)
        serving = next((entry for entry in found if entry.serves), None)
        fitting = [
            entry
            for entry in found
            if entry.fingerprint == code.fingerprint and await is_there(connection, entry.schema)
        ]
        chosen = next((entry for entry in fitting if entry.serves), None)
        if chosen is not None:
            generation = make(chosen.number)
            if not await is_there(connection, VIEWS):
                await make_views(connection)
        else:
            again = next((entry for entry in reversed(fitting) if entry.generation.state == "retired"), None)
            if serving is not None:
                log.warning(
                    "generation_replaced",
                    projection=code.projection,
                    generation=serving.number,
                    reason="its tables were made by other code; reads wait until this one's are filled from the log",
                )
            generation = make(again.number if again else max((entry.number for entry in found), default=0) + 1)
            if again is None:
                await _retire(connection, code.projection)
                await create(connection, generation, "serving")
            else:
                await show(connection, generation.projection, generation.number)
            await make_views(connection)
        await _grant(connection)
    await drop_retired_views(pool)
    return generation


async def show(connection: Connection, projection: str, number: int) -> None:
    """Enter that this generation serves, and the one before does not any more."""
    await _retire(connection, projection)
    await connection.execute(
        f"UPDATE {REGISTER} SET state = 'serving', switched_at = now(), failure = NULL "
        "WHERE projection = $1 AND number = $2",
        *(projection, number),
    )


async def make_views(connection: Connection) -> None:
    """Give `memlog` the views of all that serves. The schema before is renamed, and dropped when nobody reads it."""
    if await is_there(connection, VIEWS):
        retired = await connection.fetchval("SELECT $1 || pg_current_xact_id()::text", _RETIRED)
        await connection.execute(f"ALTER SCHEMA {VIEWS} RENAME TO {retired}")
    await connection.execute(f"CREATE SCHEMA {VIEWS}")
    serving = await connection.fetch(f"SELECT schema, tables FROM {REGISTER} WHERE state = 'serving' ORDER BY schema")
    for row in serving:
        for table in row["tables"]:
            await connection.execute(f"CREATE VIEW {VIEWS}.{table} AS SELECT * FROM {row['schema']}.{table}")
    union = " UNION ALL ".join(f"SELECT * FROM {row['schema']}.positions" for row in serving)
    await connection.execute(f"CREATE VIEW {VIEWS}.positions AS {union}")
    await connection.execute(f"CREATE VIEW {VIEWS}.generations AS SELECT * FROM {REGISTER}")
    await _grant(connection)


async def is_there(connection: Connection, schema: str) -> bool:
    return await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", schema)


async def drop_retired_views(pool: Pool) -> None:
    """Remove views that no longer show. One that a transaction still reads stays until the next time."""
    with postgres_errors():
        rows = await pool.fetch("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, $1)", _RETIRED)
    for row in rows:
        with suppress(Unavailable):
            async with changing(pool) as connection:
                await connection.execute(GIVE_WAY)
                await connection.execute(f"DROP SCHEMA IF EXISTS {row['nspname']} CASCADE")


async def _retire(connection: Connection, projection: str) -> None:
    await connection.execute(
        f"UPDATE {REGISTER} SET state = 'retired' WHERE projection = $1 AND state = 'serving'", projection
    )


async def _grant(connection: Connection) -> None:
    """The reader sees the views, never the schemas behind them: views read with their owner's rights. Asked for at
    every start too, for a role that came later."""
    roles = await connection.fetch("SELECT rolname FROM pg_roles WHERE rolname = ANY($1)", [READER, AUDITOR])
    there = {row["rolname"] for row in roles}
    if READER in there:
        await connection.execute(f"GRANT USAGE ON SCHEMA {VIEWS} TO {READER}")
        await connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {VIEWS} TO {READER}")
    if AUDITOR in there:
        await connection.execute(f"GRANT USAGE ON SCHEMA {VIEWS} TO {AUDITOR}")
        for view in AUDITED:
            # The views of another projection may come later.
            if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", f"{VIEWS}.{view}"):
                await connection.execute(f"GRANT SELECT ON {VIEWS}.{view} TO {AUDITOR}")
