"""The indexes serve the queries that the gateway asks, at 5,000 memories."""

from collections.abc import AsyncGenerator, Callable

import pytest
from audit.generations import access_models, read_models
from audit.register import settle
from audit.schema import install
from audit.store import PostgresStore
from contracts.events import MemoriesRead, MemoryAdded, MemoryDeleted, MemoryRevised, ReadItem
from contracts.messages import Event
from runtime.postgres import Executor, Pool, create_pool
from support.recorded_events import APP, UID, recorded

WORDS = ["garden", "dentist", "berlin", "python", "invoice", "guitar", "passport", "running", "coffee", "lawyer"]
MEMORIES = 5_000


@pytest.fixture
async def reader(pool: Pool, database: str, as_reader: Callable[[str], str]) -> AsyncGenerator[Pool]:
    """A pool with the planner's defaults, as the gateway has it, over 5,000 memories and 2,000 reads."""
    events: list[Event] = [
        MemoryAdded(
            memory_id=f"m{n:05}",
            text=f"{WORDS[n % 10].title()} note {n}: {WORDS[n // 10 % 10]}, {WORDS[n // 100 % 10]}, Größe {n * 7919}",
            categories=(f"category-{n % 50}",),
        )
        for n in range(MEMORIES)
    ]
    events += [MemoryRevised(memory_id="m00042", version=2, text="The rhinoceros lives in KÖLN")]
    events += [MemoryDeleted(memory_id=f"m{n:05}") for n in range(1, 1_000, 2)]
    accesses = [
        MemoriesRead(kind="search" if n % 2 else "history", items=(ReadItem(id=f"m{n % 300:05}", rank=1),))
        for n in range(2_000)
    ]
    for make, payloads in ((read_models, events), (access_models, accesses)):
        generation = await install(pool, make)
        store = PostgresStore(pool, generation)
        await store.claim(0, 1)
        recorded_events = [recorded(n, payload) for n, payload in enumerate(payloads, start=1)]
        for start in range(0, len(recorded_events), 500):
            await store.apply(recorded_events[start : start + 500], 1)
        await settle(pool, generation)
    gateway = await create_pool(as_reader(database), application_name="gateway", size=1)
    yield gateway
    await gateway.close()


async def plan(executor: Executor, query: str, *args: object) -> str:
    return "\n".join(row[0] for row in await executor.fetch(f"EXPLAIN {query}", *args))


SEARCH = """
    SELECT m.memory_id, t.text FROM memlog.memories m JOIN memlog.memory_texts t USING (uid, memory_id)
    WHERE m.uid = $1 AND t.uid = $1 AND t.current AND t.text ILIKE $2 AND m.state <> 'deleted'
    ORDER BY m.created_at DESC, m.memory_id DESC LIMIT 50
"""


async def test_the_indexes_serve_what_the_gateway_asks(reader: Pool) -> None:
    # Substring search in any case, also beyond ASCII, over current texts only.
    assert "memory_texts_by_trigram" in await plan(reader, SEARCH, UID, "%rhinoceros%")
    assert [r["memory_id"] for r in await reader.fetch(SEARCH, UID, "%RHINOceros%köln%")] == ["m00042"]
    assert [r["memory_id"] for r in await reader.fetch(SEARCH, UID, "%note 4243:%")] == ["m04243"]
    assert await reader.fetch(SEARCH, UID, "%Berlin note 42:%") == []  # the text before the revision
    assert await reader.fetch(SEARCH, "b" * 32, "%rhinoceros%") == []
    # The owner's list and the app's, newest first.
    newest = (
        "SELECT memory_id FROM memlog.memories WHERE uid = $1 AND {} ORDER BY created_at DESC, memory_id DESC LIMIT 20"
    )
    assert "memories_not_deleted" in await plan(reader, newest.format("state <> 'deleted'"), UID)
    active = await plan(reader, newest.format("state = 'active'"), UID)
    assert "Sort" not in active and "Index" in active
    of_app = await plan(reader, newest.format("state = 'active' AND app_id = $2"), UID, APP)
    assert "Sort" not in of_app and "Index" in of_app
    # Categories, counts per app, what an app accessed, who accessed a memory.
    of_category = "SELECT memory_id FROM memlog.memories WHERE uid = $1 AND category_keys && $2"
    assert "memories_by_category" in await plan(reader, of_category, UID, ["category-7"])
    counts = "SELECT app_id, count(*) FROM memlog.memories WHERE uid = $1 AND state = 'active' GROUP BY app_id"
    assert {r[0]: r[1] for r in await reader.fetch(counts, UID)} == {APP: 4_500}
    accessed = "SELECT count(*) FROM memlog.app_reads WHERE uid = $1 AND app_id = $2"
    async with reader.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")  # all of a small table: scanning is as cheap
        assert "app_reads_pkey" in await plan(connection, accessed, UID, APP)
    assert await reader.fetchval(accessed, UID, APP) == 150
    assert await reader.fetchval("SELECT sum(reads) FROM memlog.app_reads WHERE uid = $1", UID) == 1_000
    of_memory = """
        SELECT * FROM memlog.access_log WHERE uid = $1 AND memory_id = $2
        ORDER BY accessed_at DESC, sequence DESC LIMIT 10
    """
    log_plan = await plan(reader, of_memory, UID, "m00001")
    assert "access_log_of_memory" in log_plan and "Sort" not in log_plan
