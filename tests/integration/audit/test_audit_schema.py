"""Installing generations beside each other, and switching what readers see."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from audit.generations import Generation, access_models, read_models
from audit.schema import drop, generations, install, switch
from audit.store import PostgresStore
from contracts.codec import Recorded
from contracts.errors import ConfigurationError, Conflict, Unavailable
from contracts.events import MemoriesRead, MemoryAdded, ReadItem
from runtime.postgres import Pool, StatementRefused, create_pool, postgres_errors
from support.recorded_events import UID, recorded

EVENTS = [recorded(n, MemoryAdded(memory_id=str(n), text=f"Note {n}")) for n in range(1, 6)]


async def fill(pool: Pool, generation: Generation, events: list[Recorded]) -> PostgresStore:
    store = PostgresStore(pool, generation)
    await store.claim(0, 1)
    await store.checkpoint(0)
    await store.apply(events, 1)
    return store


async def count(pool: Pool) -> int:
    return await pool.fetchval("SELECT count(*) FROM memlog.memories")


async def serving(pool: Pool) -> dict[str, int]:
    return {found.projection: found.version for found in await generations(pool) if found.serving}


async def test_two_instances_that_install_at_once_both_succeed(pool: Pool) -> None:
    async with asyncio.timeout(30):
        await asyncio.gather(*(install(pool, make()) for make in (read_models, access_models) for _ in range(4)))
    assert await serving(pool) == {"read-models": 1, "access-log": 1}


async def test_installing_again_keeps_what_is_there(pool: Pool) -> None:
    await install(pool, read_models())
    await fill(pool, read_models(), EVENTS)
    await install(pool, read_models())
    assert await count(pool) == 5


@pytest.mark.guarantee("G5")
async def test_a_new_version_is_filled_beside_and_shown_only_after_the_switch(pool: Pool) -> None:
    await install(pool, read_models(1))
    await fill(pool, read_models(1), EVENTS[:2])
    await install(pool, read_models(2))
    await fill(pool, read_models(2), EVENTS)
    assert (await count(pool), await serving(pool)) == (2, {"read-models": 1})
    assert [r[0] for r in await pool.fetch("SELECT sequence FROM memlog.positions")] == [2]
    await switch(pool, read_models(2))
    assert (await count(pool), await serving(pool)) == (5, {"read-models": 2})
    assert [r[0] for r in await pool.fetch("SELECT sequence FROM memlog.positions")] == [5]
    await switch(pool, read_models(1))  # rollback: the one before was kept
    assert await count(pool) == 2


async def test_views_that_a_new_version_no_longer_has_are_gone_after_the_switch(pool: Pool) -> None:
    await install(pool, read_models(1))
    without = replace(read_models(2), read_models=read_models(2).read_models[:-1])
    await install(pool, without)
    await switch(pool, without)
    assert await pool.fetchval("SELECT to_regclass('memlog.operations')") is None
    assert await pool.fetchval("SELECT to_regclass('memlog.apps')") is not None


@pytest.mark.guarantee("G5")
async def test_no_read_fails_while_generations_are_switched(
    pool: Pool, database: str, as_reader: Callable[[str], str]
) -> None:
    for generation in (read_models(1), read_models(2)):
        await install(pool, generation)
        await fill(pool, generation, EVENTS)
    readers = await create_pool(as_reader(database), application_name="gateway", size=3)
    done = asyncio.Event()
    answers = 0

    async def read(first: str, second: str) -> None:
        nonlocal answers
        while not done.is_set():
            async with readers.acquire() as connection, connection.transaction(readonly=True):
                for view in (first, second):
                    assert await connection.fetchval(f"SELECT count(*) FROM memlog.{view} WHERE uid = $1", UID) == 5
            answers += 1

    async with asyncio.timeout(60):
        async with asyncio.TaskGroup() as group:
            group.create_task(read("memories", "memory_texts"))
            group.create_task(read("memory_texts", "memories"))
            for version in (2, 1, 2, 1, 2):
                before = answers
                await switch(pool, read_models(version))
                while True:
                    await asyncio.sleep(0.001)
                    if answers >= before + 20:
                        break
            done.set()
        await readers.close()


async def test_the_reader_may_read_the_views_and_nothing_else(
    pool: Pool, database: str, as_reader: Callable[[str], str]
) -> None:
    await install(pool, read_models())
    await install(pool, access_models())
    await fill(pool, read_models(), EVENTS)
    await fill(pool, access_models(), [recorded(1, MemoriesRead(kind="get", items=(ReadItem(id="1", rank=1),)))])
    await install(pool, read_models(2))
    await switch(pool, read_models(2))  # new views: granted again
    # Its role is read-only by default; what counts is what holds when it switches that off.
    writing = {"default_transaction_read_only": "off"}
    reader = await create_pool(as_reader(database), application_name="gateway", size=1, settings=writing)
    for view in ("memories", "memory_texts", "history", "users", "apps", "categories", "operations"):
        assert await reader.fetchval(f"SELECT count(*) FROM memlog.{view}") == 0
    for view, rows in (("access_log", 1), ("reads", 1), ("positions", 1), ("generations", 3)):
        assert await reader.fetchval(f"SELECT count(*) FROM memlog.{view}") == rows
    for forbidden in (
        "SELECT * FROM read_models_v2.memories",
        "DELETE FROM memlog.memories",
        "CREATE TABLE memlog.t ()",
    ):
        with pytest.raises(StatementRefused, match="InsufficientPrivilege"), postgres_errors():
            await reader.execute(forbidden)
    await reader.close()


async def test_a_generation_that_serves_is_not_dropped_and_another_is(pool: Pool) -> None:
    await install(pool, read_models(1))
    await install(pool, read_models(2))
    with pytest.raises(Conflict, match="serves"):
        await drop(pool, "read-models", 1)
    await drop(pool, "read-models", 2)
    await drop(pool, "read-models", 2)
    assert [found.version for found in await generations(pool)] == [1]
    assert await pool.fetchval("SELECT to_regnamespace('read_models_v2')") is None


async def test_tables_made_by_other_ddl_under_the_same_version_are_refused(pool: Pool) -> None:
    await install(pool, read_models())
    changed = replace(read_models(), read_models=read_models().read_models[1:])
    with pytest.raises(ConfigurationError, match="raise the version"):
        await install(pool, changed)


async def test_a_schema_dropped_by_hand_is_made_again(pool: Pool) -> None:
    await install(pool, read_models())
    await pool.execute("DROP SCHEMA read_models_v1 CASCADE")
    await install(pool, read_models())
    assert await count(pool) == 0


async def test_switching_to_what_is_not_installed_is_a_conflict(pool: Pool) -> None:
    await install(pool, read_models())
    with pytest.raises(Conflict, match="not installed"):
        await switch(pool, read_models(7))
    assert await serving(pool) == {"read-models": 1}


async def test_a_server_that_is_not_there_is_unavailable_and_a_wrong_database_a_setting(server: str) -> None:
    with pytest.raises(Unavailable):
        await create_pool("postgresql://memlog@/postgres?host=/nonexistent", application_name="audit", size=1)
    with pytest.raises(ConfigurationError):
        await create_pool(server.replace("/postgres?", "/missing?"), application_name="audit", size=1)


async def test_a_pool_gives_warm_connections_with_its_settings(database: str) -> None:
    pool = await create_pool(
        database, application_name="audit", size=3, settings={"synchronous_commit": "off", "enable_seqscan": "off"}
    )
    connected = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'audit'"
    assert await pool.fetchval(connected) == 3
    assert await pool.fetchval("SHOW synchronous_commit") == "off"
    value = {"a": [1, 2.5, None, "é"]}
    assert await pool.fetchval("SELECT $1::jsonb", value) == value
    await pool.close()
