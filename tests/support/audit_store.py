"""A store of the read models on the session's PostgreSQL, a history, and what is in its tables."""

from dataclasses import replace
from typing import Any

from audit.generations import Generation, read_models
from audit.schema import install
from audit.store import PostgresStore
from contracts.events import (
    AppPaused,
    AppRegistered,
    CommandSettled,
    LogStarted,
    MemoryAdded,
    MemoryDeleted,
    MemoryRevised,
    UserRegistered,
)
from runtime.postgres import Pool
from support.recorded_events import APP, OTHER_UID, recorded

HISTORY = [
    recorded(1, LogStarted(incarnation="i", shard=0, shards=1), uid="system", final=False),
    recorded(2, UserRegistered(name="anna")),
    recorded(3, AppRegistered(app_id=APP, name="cursor")),
    recorded(4, MemoryAdded(memory_id="m", text="Likes tea", metadata={"n": 1}, categories=("food", "home"))),
    recorded(5, MemoryAdded(memory_id="n", text="Lives in Zürich")),
    recorded(6, MemoryRevised(memory_id="m", version=2, text="Likes coffee", categories=("food",))),
    recorded(7, MemoryDeleted(memory_id="n"), final=False, command="delete-all"),
    recorded(8, CommandSettled(command_type="DeleteMemories", outcome="done"), command="delete-all"),
    recorded(9, MemoryAdded(memory_id="m", text="Hers"), uid=OTHER_UID),
    recorded(10, AppPaused(app_id=APP)),
]


async def table(pool: Pool, name: str, order: str = "1, 2, 3") -> list[dict[str, Any]]:
    return [dict(row) for row in await pool.fetch(f"SELECT * FROM memlog.{name} ORDER BY {order}")]  # pyright: ignore


async def everything(pool: Pool, generation: Generation) -> dict[str, list[str]]:
    names = [model.name for model in generation.read_models]
    return {
        name: [str(row[0]) for row in await pool.fetch(f"SELECT t::text FROM {generation.schema}.{name} t ORDER BY 1")]
        for name in names
    }


async def a_store(pool: Pool, generation: Generation | None = None) -> PostgresStore:
    models = generation or read_models()
    store = PostgresStore(pool, await install(pool, lambda number: replace(models, number=number)))
    await store.claim(0, 1)
    await store.checkpoint(0)
    return store
