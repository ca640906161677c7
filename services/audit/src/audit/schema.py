"""Schemas in PostgreSQL: one for each generation of read models, and `memlog` with views of those that serve.

Readers know `memlog` only. A generation is installed beside the serving one, replayed, and switched to in one
transaction; the one before stays until it is dropped.

The switch makes new views in a schema of their own and renames schemas, because that takes no lock on any view:
replacing the views one by one would wait for readers, and readers for it, each holding what the other wants.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from contracts.errors import ConfigurationError, Conflict, Unavailable
from runtime.postgres import Connection, Pool, postgres_errors

from audit.generations import Generation

SCHEMA = "memlog"
READER = "memlog_reader"
"""The role that reads the views; whoever sets up the server may create it, then installing grants to it."""

_LOCK = 0x6D656D6C6F67  # "memlog": one installation or switch at a time
_REGISTER = "memlog_generations.generations"
_RETIRED = "memlog_retired_"
_GIVE_WAY = "SET LOCAL lock_timeout = '250ms'"  # below deadlock_timeout (1 s), so that no reader has to

_BASE = f"""
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE SCHEMA IF NOT EXISTS memlog_generations;
    CREATE TABLE IF NOT EXISTS {_REGISTER} (
        projection text NOT NULL,
        version integer NOT NULL,
        schema text NOT NULL UNIQUE,
        tables text[] NOT NULL,
        fingerprint text NOT NULL,
        serving boolean NOT NULL DEFAULT false,
        installed_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (projection, version)
    );
    CREATE UNIQUE INDEX IF NOT EXISTS generations_serving ON {_REGISTER} (projection) WHERE serving;
"""

_POSITIONS = """
    CREATE TABLE {schema}.positions (
        projection text NOT NULL,
        shard integer NOT NULL,
        sequence bigint NOT NULL DEFAULT 0,
        event_id text NOT NULL DEFAULT '',
        sha256 text NOT NULL DEFAULT '',
        epoch bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (projection, shard)
    )
"""

_SETTLE_INDEXES = """
    SELECT gin_clean_pending_list(c.oid) FROM pg_class AS c JOIN pg_am AS a ON a.oid = c.relam
    WHERE a.amname = 'gin' AND c.relkind = 'i' AND c.relnamespace = to_regnamespace($1)
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """A generation that PostgreSQL holds; `serving` is the one that the views show."""

    projection: str
    version: int
    schema: str
    serving: bool
    installed_at: datetime


async def install(pool: Pool, generation: Generation) -> None:
    """Create the generation's tables unless they are there. The first one of its projection serves at once.

    Safe to call at every start, and by several instances together. Raises `ConfigurationError` when the tables
    of this version were made by other DDL, `Unavailable`.
    """
    with postgres_errors():
        async with pool.acquire() as connection, connection.transaction():
            await _begin(connection)
            await connection.execute(_BASE)
            fingerprint = await connection.fetchval(
                f"SELECT fingerprint FROM {_REGISTER} WHERE schema = $1", generation.schema
            )
            exists = await _is_there(connection, generation.schema)
            if exists and fingerprint != generation.fingerprint:
                raise ConfigurationError(
                    f"the schema {generation.schema} was made by other code than this one; raise the version in "
                    f"audit.generations, or drop the schema to have it rebuilt from the log"
                )
            if not exists:
                await _create(connection, generation)
            serving = await connection.fetchval(
                f"SELECT true FROM {_REGISTER} WHERE projection = $1 AND serving", generation.projection
            )
            if not serving:
                await _show(connection, generation)
            if not serving or not await _is_there(connection, SCHEMA):
                await _make_views(connection)
            await _grant(connection)
    await _drop_retired(pool)


async def switch(pool: Pool, generation: Generation) -> None:
    """Let the views show this generation, in one transaction: a reader sees the one before or this one, and none
    fails or waits. The caller has seen that it has caught up. Raises `Conflict` when it is not installed.
    """
    with postgres_errors():
        if generation.schema not in {found.schema for found in await generations(pool)}:
            raise _not_installed(generation)
        # Just filled, it has no statistics to plan with, and entries that wait to be sorted into its GIN indexes.
        await pool.execute(_SETTLE_INDEXES, generation.schema, timeout=300)
        for table in _tables(generation):
            await pool.execute(f"ANALYZE {generation.schema}.{table}", timeout=300)
        async with pool.acquire() as connection, connection.transaction():
            await _begin(connection)
            await _show(connection, generation)
            await _make_views(connection)
            await _grant(connection)
    await _drop_retired(pool)


async def generations(pool: Pool) -> list[Installed]:
    """What is installed, serving or not."""
    with postgres_errors():
        rows = await pool.fetch(
            f"SELECT projection, version, schema, serving, installed_at FROM {_REGISTER} ORDER BY projection, version"
        )
    return [
        Installed(row["projection"], row["version"], row["schema"], row["serving"], row["installed_at"]) for row in rows
    ]


async def drop(pool: Pool, projection: str, version: int) -> None:
    """Remove a generation that does not serve. Nothing happens when it is not there. Raises `Conflict` when it
    serves, `Unavailable` while a reader that began before the switch still reads it."""
    await _drop_retired(pool)
    with postgres_errors():
        async with pool.acquire() as connection, connection.transaction():
            await _begin(connection)
            row = await connection.fetchrow(
                f"SELECT schema, serving FROM {_REGISTER} WHERE projection = $1 AND version = $2",
                projection,
                version,
            )
            if row is None:
                return
            if row["serving"]:
                raise Conflict(f"{row['schema']} serves; switch to another generation first")
            await connection.execute(_GIVE_WAY)
            await connection.execute(f"DROP SCHEMA IF EXISTS {row['schema']} CASCADE")
            await connection.execute(f"DELETE FROM {_REGISTER} WHERE schema = $1", row["schema"])


def _tables(generation: Generation) -> list[str]:
    return [model.name for model in generation.read_models]


def _not_installed(generation: Generation) -> Conflict:
    return Conflict(f"{generation.schema} is not installed")


async def _is_there(connection: Connection, schema: str) -> bool:
    return await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", schema)


async def _begin(connection: Connection) -> None:
    await connection.execute("SET LOCAL synchronous_commit = on")
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)


async def _create(connection: Connection, generation: Generation) -> None:
    schema = generation.schema
    await connection.execute(f"CREATE SCHEMA {schema}")
    await connection.execute(_POSITIONS.format(schema=schema))
    for model in generation.read_models:
        for statement in model.ddl:
            await connection.execute(statement.format(table=f"{schema}.{model.name}", name=model.name))
    await connection.execute(f"DELETE FROM {_REGISTER} WHERE schema = $1", schema)
    await connection.execute(
        f"INSERT INTO {_REGISTER} (projection, version, schema, tables, fingerprint) VALUES ($1, $2, $3, $4, $5)",
        *(generation.projection, generation.version, schema, _tables(generation), generation.fingerprint),
    )


async def _show(connection: Connection, generation: Generation) -> None:
    await connection.execute(
        f"UPDATE {_REGISTER} SET serving = false WHERE projection = $1 AND serving", generation.projection
    )
    shown = await connection.fetchval(
        f"UPDATE {_REGISTER} SET serving = true WHERE schema = $1 RETURNING true", generation.schema
    )
    if not shown:
        raise _not_installed(generation)


async def _make_views(connection: Connection) -> None:
    """Give `memlog` the views of all that serves. The schema before is renamed, and dropped when nobody reads it."""
    if await _is_there(connection, SCHEMA):
        retired = await connection.fetchval("SELECT $1 || pg_current_xact_id()::text", _RETIRED)
        await connection.execute(f"ALTER SCHEMA {SCHEMA} RENAME TO {retired}")
    await connection.execute(f"CREATE SCHEMA {SCHEMA}")
    serving = await connection.fetch(f"SELECT schema, tables FROM {_REGISTER} WHERE serving ORDER BY schema")
    for row in serving:
        for table in row["tables"]:
            await connection.execute(f"CREATE VIEW {SCHEMA}.{table} AS SELECT * FROM {row['schema']}.{table}")
    union = " UNION ALL ".join(f"SELECT * FROM {row['schema']}.positions" for row in serving)
    await connection.execute(f"CREATE VIEW {SCHEMA}.positions AS {union}")
    await connection.execute(f"CREATE VIEW {SCHEMA}.generations AS SELECT * FROM {_REGISTER}")


async def _grant(connection: Connection) -> None:
    """The reader sees the views, never the schemas behind them: views read with their owner's rights. Asked for at
    every start too, for a role that came later."""
    if await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", READER):
        await connection.execute(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {READER}")
        await connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {READER}")


async def _drop_retired(pool: Pool) -> None:
    """Remove views that no longer show. One that a transaction still reads stays until the next time."""
    with postgres_errors():
        rows = await pool.fetch("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, $1)", _RETIRED)
    for row in rows:
        with suppress(Unavailable), postgres_errors():
            async with pool.acquire() as connection, connection.transaction():
                await _begin(connection)
                await connection.execute(_GIVE_WAY)
                await connection.execute(f"DROP SCHEMA IF EXISTS {row['nspname']} CASCADE")
