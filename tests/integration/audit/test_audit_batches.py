"""Batches applied to the real thing: again, by an owner that is none any more, with a failure in between."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from audit.generations import read_models
from audit.statement import Projection, Statement
from audit.store import PostgresStore
from contracts.codec import Recorded
from contracts.errors import ConcurrencyConflict, Unavailable
from contracts.events import (
    MemoryAdded,
)
from runtime.postgres import Pool, StatementRefused
from support.audit_store import HISTORY, a_store, everything, table
from support.recorded_events import OTHER_UID, recorded


@pytest.mark.guarantee("G3")
async def test_a_batch_applied_again_whole_or_in_part_changes_nothing(pool: Pool) -> None:
    store = await a_store(pool)
    await store.apply(HISTORY[:7], 1)
    await store.apply(HISTORY[3:], 1)  # overlaps
    once = await everything(pool, read_models())
    for batch in (HISTORY, HISTORY[-1:], HISTORY[:3], []):
        await store.apply(batch, 1)
        checkpoint = await store.checkpoint(0)
        assert checkpoint is not None and checkpoint.position.sequence == 10
    assert await everything(pool, read_models()) == once
    assert len(once["history"]) == 5


async def test_rows_that_survived_without_their_position_are_not_doubled(pool: Pool) -> None:
    store = await a_store(pool)
    await store.apply(HISTORY, 1)
    once = await everything(pool, read_models())
    await pool.execute("UPDATE read_models_g1.positions SET sequence = 0")
    await store.checkpoint(0)
    await store.apply(HISTORY, 1)
    assert await everything(pool, read_models()) == once


async def test_shards_have_positions_of_their_own(pool: Pool) -> None:
    store = await a_store(pool)
    await store.apply([recorded(5, MemoryAdded(memory_id="m", text="x"))], 1)
    await store.apply([recorded(2, MemoryAdded(memory_id="m", text="y"), uid=OTHER_UID, shard=1)], 9)
    assert [(r["shard"], r["sequence"], r["epoch"]) for r in await table(pool, "positions")] == [(0, 5, 1), (1, 2, 9)]


async def test_an_older_owner_is_refused_once_a_newer_one_has_claimed(pool: Pool) -> None:
    old = await a_store(pool)
    await old.apply(HISTORY[:4], 1)
    new = PostgresStore(pool, read_models())
    await new.claim(0, 2)
    with pytest.raises(ConcurrencyConflict):
        await old.apply(HISTORY[4:], 1)
    with pytest.raises(ConcurrencyConflict):
        await old.claim(0, 1)
    at_claim = await new.checkpoint(0)
    assert at_claim is not None and at_claim.position.sequence == 4
    await new.apply(HISTORY[4:], 2)
    assert len(await table(pool, "memories")) == 3


async def test_an_older_owner_that_waits_for_the_row_is_refused_when_it_gets_it(pool: Pool) -> None:
    old = await a_store(pool)
    async with asyncio.timeout(60):
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("UPDATE read_models_g1.positions SET epoch = 2")
            waiting = asyncio.create_task(old.apply(HISTORY, 1))
            while True:
                await asyncio.sleep(0.005)
                if await pool.fetchval("SELECT true FROM pg_locks WHERE NOT granted"):
                    break
        with pytest.raises(ConcurrencyConflict):
            await waiting
    assert await table(pool, "memories") == []


async def test_a_statement_that_fails_leaves_neither_rows_nor_position(pool: Pool) -> None:
    def refused(event: Recorded) -> Iterator[Statement]:
        if event.position.sequence == 6:
            yield Statement(
                "bad", ("k",), "INSERT INTO {table} SELECT 1 / 0 WHERE $1::text IS NOT NULL", {"x": "SECRET"}
            )

    good = read_models()
    generation = replace(
        good, read_models=(*good.read_models, Projection("bad", ("CREATE TABLE {table} (n integer)",), refused))
    )
    store = await a_store(pool, generation)
    await store.apply(HISTORY[:4], 1)
    before = await everything(pool, generation)
    with pytest.raises(StatementRefused) as error:
        await store.apply(HISTORY[4:], 1)
    assert "SECRET" not in str(error.value) and error.value.__cause__ is None
    assert await everything(pool, generation) == before
    checkpoint = await store.checkpoint(0)
    assert checkpoint is not None and checkpoint.position.sequence == 4
    await store.apply(HISTORY[4:5], 1)


async def test_a_position_that_a_crash_took_back_is_noticed(pool: Pool) -> None:
    store = await a_store(pool)
    await store.apply(HISTORY[:8], 1)
    await pool.execute("UPDATE read_models_g1.positions SET sequence = 6")  # as synchronous_commit=off may leave it
    with pytest.raises(Unavailable, match="came back from a crash"):
        await store.apply(HISTORY[8:], 1)
    checkpoint = await store.checkpoint(0)
    assert checkpoint is not None and checkpoint.position.sequence == 6
    await store.apply(HISTORY[6:], 1)
    assert len(await table(pool, "operations")) == 8


async def test_a_lost_connection_is_unavailable_and_the_next_batch_goes_through(
    pool: Pool, administrator: Pool
) -> None:
    store = await a_store(pool)
    await administrator.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'audit'"
    )
    async with asyncio.timeout(60):
        while True:
            try:
                await store.apply(HISTORY, 1)
                break
            except Unavailable:
                await asyncio.sleep(0.01)
    assert len(await table(pool, "memories")) == 3


async def test_a_batch_takes_as_many_statements_for_five_hundred_events_as_for_five(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await a_store(pool)
    execute: Any = asyncpg.Connection.execute  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    statements = 0

    async def counted(*arguments: Any, **options: Any) -> str:
        nonlocal statements
        statements += 1
        return await execute(*arguments, **options)

    async def statements_for(first: int, count: int) -> int:
        nonlocal statements
        statements = 0
        added = [MemoryAdded(memory_id=str(n), text=f"Note {n} about tea") for n in range(first, first + count)]
        await store.apply([recorded(first + n, event) for n, event in enumerate(added)], 1)
        return statements

    monkeypatch.setattr(asyncpg.Connection, "execute", counted)
    few = await statements_for(1, 5)
    assert 0 < await statements_for(6, 500) <= few
