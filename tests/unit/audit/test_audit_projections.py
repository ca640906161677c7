from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType

import pytest
from audit.generations import access_models, read_models
from audit.projections import (
    access_log,
    access_rules,
    app_reads,
    apps,
    categories,
    history,
    memories,
    memory_texts,
    operations,
    reads,
    users,
)
from audit.statement import Projection, Value
from contracts.codec import Recorded
from contracts.events import (
    AccessRuleRemoved,
    AccessRuleSet,
    AppPaused,
    AppRegistered,
    AppResumed,
    CategoryDefined,
    CategoryRemoved,
    CommandSettled,
    DefaultAccessChanged,
    ItemResult,
    LogStarted,
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
    UserRegistered,
)
from contracts.messages import Event
from support.recorded_events import APP, UID, at, recorded

ADDED = MemoryAdded(memory_id="m", text="Likes tea", metadata={"source": "chat"}, categories=("Preferences",))


def rows(projection: ModuleType, event: Recorded) -> Sequence[dict[str, Value]]:
    model: Projection = projection.PROJECTION
    statements = list(model.apply(event))
    assert all(statement.table == model.name for statement in statements)
    return [dict(statement.row) for statement in statements]


def test_an_added_memory_is_one_row_of_its_app_with_its_categories() -> None:
    assert rows(memories, recorded(5, ADDED)) == [
        {
            "uid": UID,
            "memory_id": "m",
            "app_id": APP,
            "state": "active",
            "at": at(5),
            "changed_at": at(5),
            "sequence": 5,
            "categories": ["Preferences"],
            "category_keys": ["preferences"],
        }
    ]


def test_only_the_narrow_table_holds_the_text_of_a_memory() -> None:
    event = recorded(5, MemoryAdded(memory_id="m", text="SECRET", metadata={"note": "SECRET"}))
    holding = [model.name for model in read_models().read_models for s in model.apply(event) if "SECRET" in repr(s.row)]
    assert holding == ["memory_texts"]


def test_a_revision_carries_version_and_text_and_leaves_metadata_alone() -> None:
    event = recorded(6, MemoryRevised(memory_id="m", version=2, text="Likes coffee", categories=("home",)))
    text = {"uid": UID, "memory_id": "m", "version": 2, "text": "Likes coffee", "metadata": None}
    assert rows(memory_texts, event) == [text]
    assert rows(memories, event) == [
        {
            "uid": UID,
            "memory_id": "m",
            "version": 2,
            "state": None,
            "at": at(6),
            "sequence": 6,
            "categories": ["home"],
            "category_keys": ["home"],
        }
    ]


STATES: list[tuple[Event, str]] = [
    (MemoryPaused(memory_id="m"), "paused"),
    (MemoryResumed(memory_id="m"), "active"),
    (MemoryArchived(memory_id="m"), "archived"),
    (MemoryUnarchived(memory_id="m"), "active"),
    (MemoryDeleted(memory_id="m"), "deleted"),
    (MemoryRestored(memory_id="m"), "active"),
]


@pytest.mark.parametrize(("payload", "state"), STATES)
def test_a_change_of_state_changes_the_state_and_no_text(payload: Event, state: str) -> None:
    event = recorded(7, payload)
    assert rows(memories, event) == [{"uid": UID, "memory_id": "m", "state": state, "at": at(7), "sequence": 7}]
    assert rows(memory_texts, event) == []


def test_categories_come_with_who_chose_them() -> None:
    event = recorded(
        7, MemoryCategorized(memory_id="m", categories=("Travel", "Night  shifts"), by="model", model="gpt")
    )
    assert rows(memories, event) == [
        {
            "uid": UID,
            "memory_id": "m",
            "by": "model",
            "sequence": 7,
            "categories": ["Travel", "Night  shifts"],
            "category_keys": ["travel", "night shifts"],
        }
    ]


def test_a_rule_is_a_row_with_what_its_category_is_compared_by_until_it_is_removed() -> None:
    rule = AccessRuleSet(rule_id="r", app_id=APP, effect="deny", category="Night  Shifts")
    assert rows(access_rules, recorded(7, rule)) == [
        {
            "uid": UID,
            "rule_id": "r",
            "app_id": APP,
            "effect": "deny",
            "memory_id": None,
            "category": "Night  Shifts",
            "category_key": "night shifts",
            "at": at(7),
            "sequence": 7,
        }
    ]
    removed = recorded(8, AccessRuleRemoved(rule_id="r"))
    assert rows(access_rules, removed) == [{"uid": UID, "rule_id": "r", "sequence": 8}]


def test_the_default_is_one_row_a_user_in_a_table_of_its_own() -> None:
    changed = recorded(7, DefaultAccessChanged(policy="own"))
    assert rows(access_rules, changed) == []
    assert [statement.row for statement in access_rules.DEFAULT.apply(changed)] == [
        {"uid": UID, "policy": "own", "sequence": 7}
    ]


def test_a_category_is_a_row_until_it_is_removed() -> None:
    defined = recorded(7, CategoryDefined(category_id="c", name="gliding", description="Without an engine"))
    assert rows(categories, defined) == [
        {
            "uid": UID,
            "category_id": "c",
            "name": "gliding",
            "description": "Without an engine",
            "at": at(7),
            "sequence": 7,
        }
    ]
    removed = recorded(8, CategoryRemoved(category_id="c"))
    assert rows(categories, removed) == [{"uid": UID, "category_id": "c", "sequence": 8}]


@pytest.mark.parametrize(
    ("payload", "version", "state"),
    [
        (ADDED, 1, "active"),
        (MemoryRevised(memory_id="m", version=4, text="x"), 4, None),
        (MemoryCategorized(memory_id="m", categories=("work",), by="person"), None, None),
        *((payload, None, state) for payload, state in STATES),
    ],
)
def test_history_records_what_an_event_changes_and_leaves_the_rest_open(
    payload: Event, version: int | None, state: str | None
) -> None:
    (row,) = rows(history, recorded(8, payload))
    assert (row["event"], row["version"], row["state"]) == (payload.type, version, state)
    assert (row["shard"], row["sequence"], row["event_id"], row["actor"]) == (0, 8, "event-8", "mcp")
    assert (row["correlation_id"], row["causation_id"]) == ("request-8", "command-8")
    assert row["updated_at"] == (None if version is None and state is None else at(8))


def test_history_says_when_an_imported_memory_changed_last_and_what_its_categories_are_compared_by() -> None:
    imported = MemoryAdded(memory_id="m", text="x", categories=("Night  Shifts",), state="paused", changed_at=at(9))
    (row,) = rows(history, recorded(8, imported))
    assert (row["state"], row["updated_at"], row["category_keys"]) == ("paused", at(9), ["night shifts"])


def test_users_and_apps_are_named_and_apps_paused_and_resumed() -> None:
    assert rows(users, recorded(1, UserRegistered(name="anna")))[0]["name"] == "anna"
    assert rows(apps, recorded(2, AppRegistered(app_id="a", name="cursor")))[0]["name"] == "cursor"
    assert rows(apps, recorded(3, AppPaused(app_id="a")))[0]["is_active"] is False
    assert rows(apps, recorded(4, AppResumed(app_id="a")))[0]["is_active"] is True


@pytest.mark.parametrize(
    ("payload", "type_", "results"),
    [
        (ADDED, "AddMemory", [{"id": "m", "event": "ADD"}]),
        (MemoryRevised(memory_id="m", version=2, text="x"), "ReviseMemory", [{"id": "m", "event": "UPDATE"}]),
        (MemoryDeleted(memory_id="m"), "DeleteMemories", [{"id": "m", "event": "DELETE"}]),
        (
            MemoryCategorized(memory_id="m", categories=(), by="classifier"),
            "CategorizeMemory",
            [{"id": "m", "event": "STATE"}],
        ),
        (CategoryDefined(category_id="c", name="n", description=""), "DefineCategory", []),
        (CategoryRemoved(category_id="c"), "RemoveCategory", []),
        (UserRegistered(name="anna"), "RegisterUser", []),
        (AppRegistered(app_id="a", name="cursor"), "RegisterApp", []),
        (AppPaused(app_id="a"), "PauseApp", []),
        (AppResumed(app_id="a"), "ResumeApp", []),
    ],
)
def test_a_final_event_settles_its_command(payload: Event, type_: str, results: list[dict[str, str]]) -> None:
    (row,) = rows(operations, recorded(9, payload))
    assert (row["command_id"], row["type"], row["status"]) == ("command-9", type_, "done")
    assert (row["results"], row["position"], row["code"]) == (results, "0-9", None)
    assert row["counts"] == {result["event"]: 1 for result in results}


def test_an_event_that_is_not_final_settles_nothing() -> None:
    assert rows(operations, recorded(9, ADDED, final=False)) == []


def test_a_refusal_keeps_code_and_reason() -> None:
    settled = CommandSettled(
        command_type="AddMemory",
        outcome="refused",
        code="app_paused",
        reason="cursor is paused",
        results=(ItemResult(id="m", event="NONE"),),
        counts={"NONE": 1},
    )
    (row,) = rows(operations, recorded(9, settled, final=True))
    assert (row["status"], row["code"], row["reason"]) == ("refused", "app_paused", "cursor is paused")
    assert (row["type"], row["results"]) == ("AddMemory", [{"id": "m", "event": "NONE"}])
    assert row["counts"] == {"NONE": 1}


def test_a_read_is_one_row_and_its_memories_another_each_without_the_query() -> None:
    items = (ReadItem(id="m", rank=1, score=0.9), ReadItem(id="n", rank=2))
    event = recorded(3, MemoriesRead(kind="search", items=items, query="SECRET"))
    (read,) = rows(reads, event)
    assert (read["kind"], read["returned"], read["app_id"]) == ("search", 2, APP)
    (log,) = rows(access_log, event)
    assert log["items"] == [{"id": "m", "rank": 1, "score": 0.9}, {"id": "n", "rank": 2, "score": None}]
    assert "SECRET" not in repr((read, log))


def test_a_read_that_returned_nothing_is_a_read_all_the_same() -> None:
    event = recorded(3, MemoriesRead(kind="list"))
    assert [row["returned"] for row in rows(reads, event)] == [0]
    assert rows(access_log, event) == []
    assert rows(app_reads, event) == []


def test_only_what_was_searched_listed_or_got_counts_as_read_by_an_app() -> None:
    items = (ReadItem(id="b", rank=1), ReadItem(id="a", rank=2), ReadItem(id="b", rank=3))
    for kind in ("search", "list", "get"):
        (read,) = rows(app_reads, recorded(8, MemoriesRead(kind=kind, items=items)))
        assert read == {"uid": UID, "app_id": APP, "at": at(8), "sequence": 8, "ids": ["b", "a"]}
    for kind in ("history", "export", "stream"):
        assert rows(app_reads, recorded(8, MemoriesRead(kind=kind, items=items))) == []


def test_events_of_unknown_type_and_of_the_log_itself_change_nothing() -> None:
    unknown = replace(recorded(2, ADDED), type="MemoryDreamt", payload=None)
    started = recorded(1, LogStarted(incarnation="i", shard=0, shards=1), final=False)
    for generation in (read_models(), access_models()):
        for model in generation.read_models:
            assert list(model.apply(unknown)) == [] == list(model.apply(started))


def test_a_generation_is_named_after_its_projection_and_number() -> None:
    assert (read_models(3).schema, access_models(1).schema) == ("read_models_g3", "access_log_g1")
    assert read_models(3).fingerprint == read_models(4).fingerprint != access_models().fingerprint
