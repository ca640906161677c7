"""Histories applied to the real thing: the rows that they become."""

from dataclasses import replace
from typing import Any

import pytest
from audit.generations import access_models, read_models
from contracts.events import (
    AppResumed,
    CategoryDefined,
    CategoryRemoved,
    MemoriesRead,
    MemoryAdded,
    MemoryArchived,
    MemoryCategorized,
    MemoryDeleted,
    MemoryPaused,
    MemoryRestored,
    MemoryResumed,
    MemoryRevised,
    MemoryUnarchived,
    ReadItem,
)
from contracts.positions import Checkpoint, Position
from contracts.subjects import Aggregate
from runtime.postgres import Pool
from runtime.store import ProjectionStore
from support.audit_store import HISTORY, a_store, everything, table
from support.recorded_events import APP, OTHER_UID, UID, at, recorded


@pytest.mark.guarantee("G3")
async def test_a_history_becomes_current_rows_texts_and_changes(pool: Pool) -> None:
    store = await a_store(pool)
    await store.apply(HISTORY, 1)
    m, n, hers = await table(pool, "memories")
    assert m == {
        "uid": UID,
        "memory_id": "m",
        "app_id": APP,
        "state": "active",
        "version": 2,
        "created_at": at(4),
        "updated_at": at(6),
        "deleted_at": None,
        "categories": ["food"],
        "category_keys": ["food"],
        "categories_by": "person",
        "last_sequence": 6,
    }
    assert (n["state"], n["version"], n["deleted_at"]) == ("deleted", 1, at(7))
    assert (hers["uid"], hers["memory_id"], hers["version"]) == (OTHER_UID, "m", 1)
    texts = [
        (r["memory_id"], r["version"], r["current"], r["text"], r["metadata"])
        for r in await table(pool, "memory_texts")
    ]
    assert texts == [
        ("m", 1, False, "Likes tea", {"n": 1}),
        ("m", 2, True, "Likes coffee", {"n": 1}),
        ("n", 1, True, "Lives in Zürich", {}),
        ("m", 1, True, "Hers", {}),
    ]
    changes = [
        (r["uid"], r["memory_id"], r["sequence"], r["event"], r["version"], r["state"])
        for r in await table(pool, "history", "sequence")
    ]
    assert changes == [
        (UID, "m", 4, "MemoryAdded", 1, "active"),
        (UID, "n", 5, "MemoryAdded", 1, "active"),
        (UID, "m", 6, "MemoryRevised", 2, "active"),
        (UID, "n", 7, "MemoryDeleted", 1, "deleted"),
        (OTHER_UID, "m", 9, "MemoryAdded", 1, "active"),
    ]


STATES = [
    recorded(1, MemoryAdded(memory_id="m", text="Likes tea")),
    recorded(2, MemoryCategorized(memory_id="m", categories=("preferences",), by="classifier")),
    recorded(3, MemoryPaused(memory_id="m")),
    recorded(4, MemoryResumed(memory_id="m")),
    recorded(5, MemoryArchived(memory_id="m")),
    recorded(6, MemoryUnarchived(memory_id="m")),
    recorded(7, MemoryDeleted(memory_id="m")),
    recorded(8, MemoryRestored(memory_id="m")),
    recorded(9, MemoryRevised(memory_id="m", version=2, text="Likes coffee")),
    recorded(10, MemoryCategorized(memory_id="m", categories=("food",), by="person")),
    recorded(11, MemoryRevised(memory_id="m", version=3, text="Likes milk", categories=("food",))),
]


async def test_states_and_categories_follow_the_events_and_each_is_in_the_history(pool: Pool) -> None:
    store = await a_store(pool)
    seen: list[tuple[Any, ...]] = []
    for event in STATES:
        await store.apply([event], 1)
        [row] = await table(pool, "memories")
        seen.append((row["state"], row["categories"], row["categories_by"], row["deleted_at"]))
    assert seen == [
        ("active", [], None, None),
        ("active", ["preferences"], "classifier", None),
        ("paused", ["preferences"], "classifier", None),
        ("active", ["preferences"], "classifier", None),
        ("archived", ["preferences"], "classifier", None),
        ("active", ["preferences"], "classifier", None),
        ("deleted", ["preferences"], "classifier", at(7)),
        ("active", ["preferences"], "classifier", None),
        ("active", [], None, None),
        ("active", ["food"], "person", None),
        ("active", ["food"], "person", None),
    ]
    rows = await table(pool, "history", "sequence")
    assert [(r["event"], r["version"], r["state"], r["categories"]) for r in rows] == [
        ("MemoryAdded", 1, "active", []),
        ("MemoryCategorized", 1, "active", ["preferences"]),
        ("MemoryPaused", 1, "paused", None),
        ("MemoryResumed", 1, "active", None),
        ("MemoryArchived", 1, "archived", None),
        ("MemoryUnarchived", 1, "active", None),
        ("MemoryDeleted", 1, "deleted", None),
        ("MemoryRestored", 1, "active", None),
        ("MemoryRevised", 2, "active", []),
        ("MemoryCategorized", 2, "active", ["food"]),
        ("MemoryRevised", 3, "active", ["food"]),
    ]


async def test_categories_are_described_anew_removed_and_defined_again(pool: Pool) -> None:
    store = await a_store(pool)
    await store.apply(
        [
            recorded(1, CategoryDefined(category_id="c", name="gliding", description="")),
            recorded(2, CategoryDefined(category_id="c", name="Gliding", description="Without an engine")),
            recorded(3, CategoryDefined(category_id="d", name="chess", description="")),
            recorded(4, CategoryDefined(category_id="c", name="hers", description=""), uid=OTHER_UID),
        ],
        1,
    )
    found = await table(pool, "categories")
    assert [(r["uid"], r["name"], r["description"], r["defined_at"], r["updated_at"]) for r in found] == [
        (UID, "Gliding", "Without an engine", at(1), at(2)),
        (UID, "chess", "", at(3), at(3)),
        (OTHER_UID, "hers", "", at(4), at(4)),
    ]
    await store.apply([recorded(5, CategoryRemoved(category_id="c")), recorded(6, CategoryRemoved(category_id="d"))], 1)
    await store.apply([recorded(7, CategoryDefined(category_id="d", name="chess", description="Openings"))], 1)
    found = await table(pool, "categories")
    assert [(r["name"], r["defined_at"]) for r in found] == [("chess", at(7)), ("hers", at(4))]


@pytest.mark.guarantee("G12")
async def test_an_aggregate_folded_anew_is_as_if_nothing_had_been_missed(pool: Pool) -> None:
    store = await a_store(pool)
    category = [
        recorded(12, CategoryDefined(category_id="c", name="gliding", description="")),
        recorded(13, CategoryDefined(category_id="c", name="gliding", description="Without an engine")),
    ]
    whole = [*STATES, *category]
    await store.apply(whole, 1)
    right = await everything(pool, read_models())
    missed = {2, 5, 8, 11, 13}
    await pool.execute("TRUNCATE read_models_g1.memories, read_models_g1.memory_texts, read_models_g1.history")
    await pool.execute("TRUNCATE read_models_g1.categories")
    await pool.execute("UPDATE read_models_g1.positions SET sequence = 0")
    await store.checkpoint(0)
    await store.apply([replace(e, payload=None) if e.position.sequence in missed else e for e in whole], 1)
    assert await everything(pool, read_models()) != right
    for aggregate, history in ((Aggregate(UID, "memory", "m"), STATES), (Aggregate(UID, "category", "c"), category)):
        await store.refold(aggregate, history, 1)
        await store.refold(aggregate, history, 1)
    assert await everything(pool, read_models()) == right


async def test_users_apps_and_operations_follow_the_events(pool: Pool) -> None:
    store = await a_store(pool)
    await store.apply(HISTORY, 1)
    assert [(r["uid"], r["name"]) for r in await table(pool, "users", "1")] == [(UID, "anna")]
    assert [(r["name"], r["is_active"]) for r in await table(pool, "apps")] == [("cursor", False)]
    await store.apply([recorded(11, AppResumed(app_id=APP))], 1)
    assert [(r["name"], r["is_active"]) for r in await table(pool, "apps")] == [("cursor", True)]
    found = {r["command_id"]: r for r in await table(pool, "operations")}
    assert set(found) == {f"command-{i}" for i in (2, 3, 4, 5, 6, 9, 10, 11)} | {"delete-all"}
    assert (found["command-4"]["type"], found["command-4"]["results"]) == ("AddMemory", [{"id": "m", "event": "ADD"}])
    assert (found["delete-all"]["status"], found["delete-all"]["position"]) == ("done", "0-8")


async def test_reads_are_logged_with_each_memory_they_returned(pool: Pool) -> None:
    store = await a_store(pool, access_models())
    items = (ReadItem(id="m", rank=1, score=0.1 + 0.2), ReadItem(id="n", rank=2))
    found = recorded(1, MemoriesRead(kind="search", items=items, query="tea"))
    await store.apply([found, recorded(2, MemoriesRead(kind="list"))], 1)
    log = [
        (r["memory_id"], r["rank"], r["score"], r["kind"], r["accessed_at"]) for r in await table(pool, "access_log")
    ]
    assert log == [("m", 1, 0.1 + 0.2, "search", at(1)), ("n", 2, None, "search", at(1))]
    assert [(r["sequence"], r["kind"], r["returned"]) for r in await table(pool, "reads")] == [
        (1, "search", 2),
        (2, "list", 0),
    ]


async def test_the_position_is_stored_with_the_event_that_stood_there(pool: Pool) -> None:
    store: ProjectionStore = await a_store(pool)
    assert await store.checkpoint(0) is None
    await store.apply(HISTORY, 1)
    last = HISTORY[-1]
    assert await store.checkpoint(0) == Checkpoint(Position(0, 10), last.meta.id, last.sha256)
    assert await store.checkpoint(1) is None
    rows = await table(pool, "positions")
    assert [(r["projection"], r["shard"], r["sequence"], r["sha256"]) for r in rows] == [
        ("read-models", 0, 10, last.sha256)
    ]


async def test_content_that_postgresql_cannot_hold_does_not_stop_the_projection(pool: Pool) -> None:
    store = await a_store(pool)
    text = "nul \x00 quote ' \\ {table} $1 😀"
    await store.apply([recorded(1, MemoryAdded(memory_id="m", text=text, metadata={"a\x00": [1e400, "{x}"]}))], 1)
    (row,) = await table(pool, "memory_texts")
    assert row["text"] == text.replace("\x00", "\ufffd")
    assert row["metadata"] == {"a\ufffd": [None, "{x}"]}


@pytest.mark.guarantee("G5")
async def test_a_read_that_is_healed_behind_later_ones_counts_as_in_a_replay_and_once(pool: Pool) -> None:
    store = await a_store(pool, access_models())
    reads = [recorded(n, MemoriesRead(kind="get", items=(ReadItem(id="m", rank=1),))) for n in (1, 2, 3)]
    await store.apply([reads[0], replace(reads[1], payload=None), reads[2]], 1)
    for _ in range(2):  # its dead letter may outlive it
        await store.refold(Aggregate(UID, "access", APP), [reads[1]], 1)
    found = [
        (row["reads"], row["first_at"], row["last_at"], row["last_sequence"]) for row in await table(pool, "app_reads")
    ]
    assert found == [(3, at(1), at(3), 3)]
