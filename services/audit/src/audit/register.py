"""The durable register of generations, and the tables of each (architecture §6).

All of it is changed under one advisory lock, by whoever opens `changing`.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from contracts.generations import GenerationState
from runtime import generations
from runtime.postgres import Connection, Executor, Pool, Row, postgres_errors

from audit.generations import Generation
from audit.statement import Projection

log = structlog.get_logger()
REGISTER = "memlog_generations.generations"
VIEWS = "memlog"
GIVE_WAY = "SET LOCAL lock_timeout = '250ms'"
"""Below deadlock_timeout (1 s), so that no reader has to."""

_LOCK = 0x6D656D6C6F67  # "memlog": one installation or switch at a time

_BASE = f"""
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE SCHEMA IF NOT EXISTS memlog_generations;
    CREATE TABLE IF NOT EXISTS {REGISTER} (
        projection text NOT NULL,
        number integer NOT NULL,
        state text NOT NULL,
        version integer NOT NULL,
        schema text NOT NULL UNIQUE,
        tables text[] NOT NULL,
        fingerprint text NOT NULL,
        hold boolean NOT NULL DEFAULT false,
        started_at timestamptz NOT NULL DEFAULT now(),
        switched_at timestamptz,
        parity text,
        difference text,
        failure text,
        PRIMARY KEY (projection, number)
    );
    CREATE UNIQUE INDEX IF NOT EXISTS generations_serving ON {REGISTER} (projection) WHERE state = 'serving';
"""

_OLDER = """
    SELECT true FROM pg_attribute WHERE attrelid = to_regclass('memlog_generations.generations') AND attname = 'serving'
"""
"""The register of the first Memlogs had no numbers and no states."""

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

_PENDING = """
    SELECT gin_clean_pending_list(c.oid) FROM pg_class AS c JOIN pg_am AS a ON a.oid = c.relam
    JOIN pg_index AS i ON i.indexrelid = c.oid JOIN pg_class AS t ON t.oid = i.indrelid
    WHERE a.amname = 'gin' AND c.relkind = 'i' AND c.relnamespace = to_regnamespace($1) AND t.relname = $2
"""
_SETTLE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A generation as the register has it, with the schema that holds it and the DDL that made it."""

    generation: generations.Generation
    schema: str
    tables: tuple[str, ...]
    fingerprint: str

    @property
    def number(self) -> int:
        return self.generation.number

    @property
    def serves(self) -> bool:
        return self.generation.state == "serving"


@asynccontextmanager
async def changing(pool: Pool) -> AsyncGenerator[Connection]:
    """A transaction that may change the register, alone and durably."""
    with postgres_errors():
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL synchronous_commit = on")
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            yield connection


async def set_up(connection: Connection) -> None:
    """Make the register. One of an older Memlog goes, with all that it names: it is derived, and built from the log."""
    if await connection.fetchval(_OLDER):
        log.warning("derived_tables_dropped", reason="made by an older Memlog; they are built again from the log")
        for row in await connection.fetch(f"SELECT schema FROM {REGISTER}"):
            await connection.execute(f"DROP SCHEMA IF EXISTS {row['schema']} CASCADE")
        await connection.execute(f"DROP SCHEMA IF EXISTS {VIEWS} CASCADE")
        await connection.execute("DROP SCHEMA memlog_generations CASCADE")
    await connection.execute(_BASE)


async def entries(executor: Executor, projection: str) -> list[Entry]:
    """The projection's generations, by number."""
    with postgres_errors():
        rows = await executor.fetch(f"SELECT * FROM {REGISTER} WHERE projection = $1 ORDER BY number", projection)
    return [_entry(row) for row in rows]


async def create(
    connection: Connection, generation: Generation, state: GenerationState, *, hold: bool = False
) -> generations.Generation:
    """Make the generation's tables and enter it. One that is being built has no indexes but those of its keys until
    it is settled: keeping them up to date would take most of the time."""
    schema = generation.schema
    await connection.execute(f"CREATE SCHEMA {schema}")
    await connection.execute(_POSITIONS.format(schema=schema))
    for model in generation.read_models:
        table, *indexes = model.ddl
        for statement in (table, *([] if state == "building" else indexes)):
            await connection.execute(_ddl(generation, model.name, statement))
    await connection.execute(f"DELETE FROM {REGISTER} WHERE schema = $1", schema)
    row = await connection.fetchrow(
        f"INSERT INTO {REGISTER} (projection, number, state, version, schema, tables, fingerprint, hold, switched_at) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, CASE WHEN $3 = 'serving' THEN now() END) RETURNING *",
        *(generation.projection, generation.number, state, generation.version, schema),
        *(generation.tables, generation.fingerprint, hold),
    )
    assert row is not None
    return _entry(row).generation


async def settle(pool: Pool, generation: Generation) -> None:
    """Make the indexes that a generation was filled without, and statistics to plan with: of as many tables at once as
    the pool has connections."""
    done = await asyncio.gather(
        *(_settle(pool, generation, model) for model in generation.read_models), return_exceptions=True
    )
    for failure in done:
        if failure is not None:
            raise failure


async def _settle(pool: Pool, generation: Generation, model: Projection) -> None:
    with postgres_errors():
        for statement in model.ddl[1:]:
            made_once = _ddl(generation, model.name, statement).replace("CREATE INDEX", "CREATE INDEX IF NOT EXISTS", 1)
            await pool.execute(made_once, timeout=_SETTLE_S)
        await pool.execute(_PENDING, generation.schema, model.name, timeout=_SETTLE_S)
        await pool.execute(f"ANALYZE {generation.schema}.{model.name}", timeout=_SETTLE_S)


async def drop(connection: Connection, schema: str) -> None:
    """Remove a generation. Raises `Unavailable` while a reader that began before the switch still reads it."""
    await connection.execute(GIVE_WAY)
    await connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    await connection.execute(f"DELETE FROM {REGISTER} WHERE schema = $1", schema)


def _ddl(generation: Generation, table: str, statement: str) -> str:
    return statement.format(table=f"{generation.schema}.{table}", name=table)


def _entry(row: Row) -> Entry:
    names = ("number", "state", "version", "started_at", "switched_at", "parity", "difference", "failure", "hold")
    generation = generations.Generation(**{name: row[name] for name in names})
    return Entry(generation, row["schema"], tuple(row["tables"]), row["fingerprint"])
