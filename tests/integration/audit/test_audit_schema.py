"""Generations beside each other in PostgreSQL, and which of them readers see."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from audit.generations import READ_MODELS_VERSION, Generation, access_models, read_models
from audit.keeper import PostgresKeeper
from audit.register import settle
from audit.schema import install
from audit.store import PostgresStore
from contracts.codec import Recorded
from contracts.errors import ConfigurationError, Conflict, InvalidInput, Unavailable
from contracts.events import MemoriesRead, MemoryAdded, MemoryRevised, ReadItem
from runtime.postgres import Pool, StatementRefused, create_pool, postgres_errors
from runtime.store import ProjectionStore
from support.recorded_events import UID, recorded

EVENTS = [recorded(n, MemoryAdded(memory_id=str(n), text=f"Note {n}")) for n in range(1, 6)]
TRUTH = "read-models"


def keeper_of(pool: Pool, make: Callable[[int], Generation] = read_models) -> PostgresKeeper:
    return PostgresKeeper(pool, pool, make)


async def feed(store: ProjectionStore, events: list[Recorded], epoch: int = 1) -> None:
    await store.claim(0, epoch)
    await store.checkpoint(0)
    await store.apply(events, epoch)


async def serving_with(pool: Pool, events: list[Recorded]) -> PostgresKeeper:
    """The first generation serves these events."""
    await feed(PostgresStore(pool, await install(pool, read_models)), events)
    return keeper_of(pool)


async def following_with(keeper: PostgresKeeper, events: list[Recorded], epoch: int = 1) -> int:
    """Another generation beside it, with these events."""
    number = (await keeper.create(None, False)).number
    await feed(await keeper.open(number), events, epoch)
    await keeper.note(number, "following")
    return number


async def count(pool: Pool) -> int:
    return await pool.fetchval("SELECT count(*) FROM memlog.memories")


async def states(keeper: PostgresKeeper) -> dict[int, str]:
    return {found.number: found.state for found in await keeper.generations()}


async def test_two_instances_that_install_at_once_both_succeed(pool: Pool) -> None:
    async with asyncio.timeout(60):
        await asyncio.gather(*(install(pool, make) for make in (read_models, access_models) for _ in range(4)))
    assert [await states(keeper_of(pool, make)) for make in (read_models, access_models)] == [{1: "serving"}] * 2


async def test_installing_again_keeps_what_is_there(pool: Pool) -> None:
    await serving_with(pool, EVENTS)
    assert (await install(pool, read_models)).number == 1
    assert await count(pool) == 5


@pytest.mark.guarantee("G5")
async def test_a_generation_is_filled_beside_and_shown_only_after_the_switch(pool: Pool) -> None:
    keeper = await serving_with(pool, EVENTS)
    number = (await keeper.create(None, False)).number
    await feed(await keeper.open(number), EVENTS[:2])
    assert (await count(pool), await states(keeper)) == (5, {1: "serving", 2: "building"})
    await feed(await keeper.open(number), EVENTS[2:])
    await keeper.note(number, "following")
    await pool.execute("DELETE FROM read_models_g1.memories WHERE memory_id = '3'")
    assert await count(pool) == 4
    await keeper.switch(number)
    assert (await count(pool), await states(keeper)) == (5, {1: "retired", 2: "serving"})
    assert [tuple(row.values()) for row in await pool.fetch("SELECT sequence FROM memlog.positions")] == [(5,)]
    await keeper.note(1, "following")
    await keeper.switch(1)  # back to the one before
    assert await count(pool) == 4


@pytest.mark.guarantee("G5")
async def test_no_read_fails_while_generations_are_switched(
    pool: Pool, database: str, as_reader: Callable[[str], str]
) -> None:
    keeper = await serving_with(pool, EVENTS)
    beside = await following_with(keeper, EVENTS)
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
            for number in (beside, 1, beside, 1, beside):
                before = answers
                if (await states(keeper))[number] == "retired":
                    await keeper.note(number, "following")
                await keeper.switch(number)
                while True:
                    await asyncio.sleep(0.001)
                    if answers >= before + 20:
                        break
            done.set()
        await readers.close()


async def test_a_generation_that_is_behind_is_not_shown(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.keeper._LEVEL_S", 0.05)
    keeper = await serving_with(pool, EVENTS)
    number = await following_with(keeper, EVENTS[:4])
    with pytest.raises(Conflict, match="behind"):
        await keeper.switch(number)
    assert await states(keeper) == {1: "serving", number: "following"}


async def test_a_generation_that_somebody_else_than_the_owner_feeds_is_not_shown(pool: Pool) -> None:
    keeper = await serving_with(pool, EVENTS)
    number = await following_with(keeper, EVENTS, epoch=2)
    with pytest.raises(Conflict, match="not fed in shard 0"):
        await keeper.switch(number)
    await PostgresStore(pool, read_models()).claim(0, 2)
    await keeper.switch(number)


async def test_a_switch_waits_for_the_batch_that_is_under_way(pool: Pool) -> None:
    """Who feeds both writes to the serving one first; between the two commits nobody may be shown the other one."""
    keeper = await serving_with(pool, EVENTS)
    number = await following_with(keeper, EVENTS[:4])
    switching = asyncio.create_task(keeper.switch(number))
    await asyncio.sleep(0.05)
    assert not switching.done()
    store = await keeper.open(number)
    await store.checkpoint(0)
    await store.apply(EVENTS[4:], 1)
    async with asyncio.timeout(60):
        await switching
    assert await count(pool) == 5


async def test_the_first_difference_is_named_by_table_and_key_and_never_by_content(pool: Pool) -> None:
    keeper = await serving_with(pool, EVENTS)
    number = await following_with(keeper, EVENTS)
    assert await keeper.compare(number) is None
    await pool.execute("UPDATE read_models_g2.memory_texts SET text = 'secret' WHERE memory_id IN ('3', '4')")
    assert await keeper.compare(number) == f"memory_texts: uid {UID}, memory_id 3, version 1"
    await pool.execute("DELETE FROM read_models_g1.memories WHERE memory_id = '2'")
    assert await keeper.compare(number) == f"memories: uid {UID}, memory_id 2"


async def test_generations_of_different_versions_are_counted_instead_of_compared(pool: Pool) -> None:
    await serving_with(pool, EVENTS)
    keeper = keeper_of(pool, lambda number: replace(read_models(number), version=READ_MODELS_VERSION + 1))
    assert f"version {READ_MODELS_VERSION} serves" in str(keeper.stale((await keeper.generations())[0]))
    number = await following_with(keeper, EVENTS)
    with pytest.raises(Conflict, match="memories 5 and 5"):
        await keeper.compare(number)
    await keeper.switch(number)
    assert keeper.stale((await keeper.generations())[1]) is None


@pytest.mark.guarantee("G5")
async def test_the_hash_of_a_state_depends_on_what_it_holds_and_not_on_how_it_was_filled(pool: Pool) -> None:
    events = [*EVENTS, recorded(6, MemoryRevised(memory_id="2", version=2, text="Other"))]
    keeper = await serving_with(pool, events)
    number = (await keeper.create(None, False)).number
    for event in events:
        await feed(await keeper.open(number), [event])
    assert await keeper.state_hash(number) == await keeper.state_hash(1)
    # Recorded anew (as an import does): other sequences and times of recording, and the same state.
    again = (await keeper.create(None, False)).number
    moved = [replace(event, position=replace(event.position, sequence=event.position.sequence + 9)) for event in events]
    await feed(await keeper.open(again), [replace(event, recorded_at=event.meta.occurred_at) for event in moved])
    assert await keeper.state_hash(again) == await keeper.state_hash(1)
    await pool.execute(f"UPDATE read_models_g{again}.memory_texts SET text = 'x' WHERE memory_id = '5'")
    assert await keeper.state_hash(again) != await keeper.state_hash(1)


async def test_the_reader_may_read_the_views_and_nothing_else(
    pool: Pool, database: str, as_reader: Callable[[str], str]
) -> None:
    await install(pool, access_models)
    keeper = await serving_with(pool, EVENTS)
    await feed(
        PostgresStore(pool, access_models()),
        [recorded(1, MemoriesRead(kind="get", items=(ReadItem(id="1", rank=1),)))],
    )
    await keeper.switch(await following_with(keeper, EVENTS))  # new views: granted again
    # Its role is read-only by default; what counts is what holds when it switches that off.
    writing = {"default_transaction_read_only": "off"}
    reader = await create_pool(as_reader(database), application_name="gateway", size=1, settings=writing)
    for view, rows in (("memories", 5), ("users", 0), ("access_log", 1), ("reads", 1), ("positions", 2)):
        assert await reader.fetchval(f"SELECT count(*) FROM memlog.{view}") == rows
    assert await reader.fetchval("SELECT count(*) FROM memlog.generations") == 3
    for forbidden in (
        "SELECT * FROM read_models_g2.memories",
        "DELETE FROM memlog.memories",
        "CREATE TABLE memlog.t ()",
    ):
        with pytest.raises(StatementRefused, match="InsufficientPrivilege"), postgres_errors():
            await reader.execute(forbidden)
    await reader.close()


async def test_a_generation_that_serves_is_neither_dropped_nor_noted_and_another_is(pool: Pool) -> None:
    keeper = await serving_with(pool, EVENTS)
    number = await following_with(keeper, EVENTS)
    with pytest.raises(Conflict, match="serves"):
        await keeper.drop(1)
    with pytest.raises(Conflict, match="serves"):
        await keeper.note(1, "failed")
    await keeper.drop(number)
    await keeper.drop(number)
    assert await states(keeper) == {1: "serving"}
    assert await pool.fetchval("SELECT to_regnamespace('read_models_g2')") is None


async def test_tables_made_by_other_ddl_stop_serving_and_serve_again_for_the_code_that_made_them(pool: Pool) -> None:
    """An upgrade fills new tables from the log; going back to the Memlog before finds its own."""
    keeper = await serving_with(pool, EVENTS)
    less = replace(read_models(), version=2, read_models=read_models().read_models[:-1])
    upgraded = await install(pool, lambda number: replace(less, number=number))
    assert (upgraded.number, await count(pool)) == (2, 0)
    assert await states(keeper) == {1: "retired", 2: "serving"}
    assert await pool.fetchval("SELECT to_regclass('memlog.event_audit')") is None
    with pytest.raises(Conflict, match="tables of another version"):
        await keeper.open(2)
    assert (await install(pool, read_models)).number == 1
    assert await count(pool) == 5


async def test_the_register_of_an_older_memlog_is_replaced_with_all_that_it_names(pool: Pool) -> None:
    await pool.execute("CREATE SCHEMA memlog_generations; CREATE SCHEMA read_models_v1; CREATE SCHEMA memlog")
    await pool.execute("CREATE TABLE read_models_v1.memories (n integer)")
    await pool.execute("CREATE VIEW memlog.memories AS TABLE read_models_v1.memories")
    await pool.execute(
        "CREATE TABLE memlog_generations.generations (projection text, version integer, schema text, serving boolean)"
    )
    await pool.execute(f"INSERT INTO memlog_generations.generations VALUES ('{TRUTH}', 1, 'read_models_v1', true)")
    await serving_with(pool, EVENTS)
    assert await count(pool) == 5
    assert await pool.fetchval("SELECT to_regnamespace('read_models_v1')") is None


async def test_a_schema_dropped_by_hand_is_made_again(pool: Pool) -> None:
    await install(pool, read_models)
    await pool.execute("DROP SCHEMA read_models_g1 CASCADE")
    assert (await install(pool, read_models)).number == 2
    assert await count(pool) == 0


async def test_indexes_that_a_fill_left_out_are_there_once_it_is_settled(pool: Pool) -> None:
    keeper = await serving_with(pool, EVENTS)
    number = (await keeper.create(None, False)).number
    indexes = "SELECT array_agg(indexname::text ORDER BY indexname) FROM pg_indexes WHERE schemaname = $1"
    whole = await pool.fetchval(indexes, "read_models_g1")
    assert len(await pool.fetchval(indexes, "read_models_g2")) < len(whole)
    for _ in range(2):  # a crash in the middle settles it again
        await settle(pool, read_models(number))
        assert await pool.fetchval(indexes, "read_models_g2") == whole


async def test_read_models_have_no_embedder_and_what_is_not_there_is_not_shown(pool: Pool) -> None:
    keeper = await serving_with(pool, EVENTS)
    with pytest.raises(InvalidInput, match="no embedder"):
        await keeper.create("minilm", False)
    with pytest.raises(Conflict, match="no generation 7"):
        await keeper.switch(7)
    assert await states(keeper) == {1: "serving"}


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
