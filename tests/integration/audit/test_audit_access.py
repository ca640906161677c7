"""One decision, told three times: the function, the SQL over the read models, the filter of each index (G8)."""

from collections.abc import AsyncGenerator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from audit.generations import read_models
from audit.schema import install
from audit.store import PostgresStore
from contracts.access import Asking, Readable, Rule, access_of, may_read
from contracts.categories import category_key, category_keys
from contracts.events import (
    AccessRuleRemoved,
    AccessRuleSet,
    AppPaused,
    AppRegistered,
    DefaultAccessChanged,
    MemoryAdded,
    MemoryArchived,
    MemoryDeleted,
    MemoryPaused,
)
from contracts.ids import rule_id
from contracts.messages import Event
from contracts_index.adapters import DIMENSION, EMBEDDER, apply, found, open_edge, open_local_server, put
from gateway.use_cases import sql
from gateway.use_cases.access import asking
from hypothesis import example, given, settings
from hypothesis import strategies as st
from indexer.index import MemoryIndex, SearchFilter
from runtime.postgres import DERIVED_STORE, Pool, create_pool
from support.recorded_events import recorded

OWN, OTHER, OWNER = "app-own", "app-other", "app-owner"
NAMES = {OWN: "cursor", OTHER: "claude", OWNER: "dashboard"}
STATES = {"paused": MemoryPaused, "archived": MemoryArchived, "deleted": MemoryDeleted}
CATEGORIES = ("Food", "Night  work", "Straße")
SPELLINGS = {"Food": "food", "Night  work": "NIGHT WORK", "Straße": "STRASSE"}
"""A rule's category in another spelling than the memories'."""
_examples = count(1)


@st.composite
def memories(draw: st.DrawFn) -> list[tuple[str, str, tuple[str, ...]]]:
    """App, state and categories of some memories."""
    apps = st.sampled_from([OWN, OTHER])
    states = st.sampled_from(["active", "active", "active", *STATES])
    categories = st.sampled_from([(), CATEGORIES[:1], CATEGORIES[:2], CATEGORIES[1:], CATEGORIES])
    return draw(st.lists(st.tuples(apps, states, categories), min_size=1, max_size=6))


@st.composite
def changes(draw: st.DrawFn) -> list[tuple[str, str | int | None, str]]:
    """Rules set and removed, in order: of which app, about what (a memory's number, a category, everything), how."""
    about = st.sampled_from([*range(6), *CATEGORIES, None])
    effects = st.sampled_from(["allow", "allow", "deny", "deny", "remove"])
    return draw(st.lists(st.tuples(st.sampled_from([OWN, OWN, OTHER, OWNER]), about, effects), max_size=12))


def told(ruled: list[tuple[str, str | int | None, str]], default: str | None = None) -> example:
    """An example with memories of another app: without category, with one, and with two."""
    written = [(OTHER, "active", ()), (OTHER, "active", CATEGORIES[:1]), (OTHER, "active", CATEGORIES[:2])]
    return example(written=written, ruled=ruled, default=default, paused=False, known=True)


@pytest.fixture(scope="module")
async def shared(server: str, administrator: Pool) -> AsyncGenerator[Pool]:
    """Examples keep apart by users."""
    await administrator.execute("CREATE DATABASE access OWNER memlog")
    pool = await create_pool(
        server.replace("/postgres?", "/access?"), application_name="access", size=1, settings=DERIVED_STORE
    )
    await install(pool, read_models)
    yield pool
    await pool.close()
    await administrator.execute("DROP DATABASE access WITH (FORCE)")


@pytest.fixture(scope="module")
async def indexes(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[list[MemoryIndex]]:
    folder: Path = tmp_path_factory.mktemp("access")
    opened = [
        await open_edge(folder / "edge", EMBEDDER, DIMENSION),
        await open_local_server(folder / "local", EMBEDDER, DIMENSION),
    ]
    yield opened
    for index in opened:
        await index.close()


@pytest.mark.guarantee("G8")
@told([(OWN, "Food", "allow"), (OWN, "Night  work", "deny")])
@told([(OWN, "Night  work", "allow"), (OWN, None, "deny")])
@told([(OWN, 0, "deny"), (OWN, 1, "allow"), (OWN, "Food", "deny"), (OWN, None, "allow")])
@told([(OWN, 0, "allow"), (OWN, "Food", "allow"), (OWN, "Night  work", "deny")], "own")
@settings(max_examples=60, deadline=None)
@given(
    written=memories(),
    ruled=changes(),
    default=st.sampled_from([None, "allow", "own", "own"]),
    paused=st.sampled_from([False, False, False, True]),
    known=st.sampled_from([True, True, True, False]),
)
async def test_the_function_the_sql_and_the_index_agree_on_every_memory(
    shared: Pool,
    indexes: list[MemoryIndex],
    written: list[tuple[str, str, tuple[str, ...]]],
    ruled: list[tuple[str, str | int | None, str]],
    default: Any,
    paused: bool,
    known: bool,
) -> None:
    uid = f"user-{next(_examples)}"
    facts = {
        f"{uid}/{n}": Readable(f"{uid}/{n}", app, state, category_keys(categories))
        for n, (app, state, categories) in enumerate(written)
    }
    rules: dict[str, dict[str, Rule]] = {app: {} for app in NAMES}
    events: list[tuple[str, Event]] = [(OTHER, AppRegistered(app_id=OTHER, name=NAMES[OTHER]))]
    events.append((OWNER, AppRegistered(app_id=OWNER, name=NAMES[OWNER])))
    if known:
        events.append((OWN, AppRegistered(app_id=OWN, name=NAMES[OWN])))
        events += [(OWN, AppPaused(app_id=OWN))] if paused else []
    for memory, (_, _, categories) in zip(facts.values(), written, strict=True):
        events.append((memory.app_id, MemoryAdded(memory_id=memory.memory_id, text="tea", categories=categories)))
        if memory.state in STATES:
            events.append((memory.app_id, STATES[memory.state](memory_id=memory.memory_id)))
    for app, about, effect in ruled:
        memory_id = f"{uid}/{about}" if isinstance(about, int) else None
        category = SPELLINGS[about] if isinstance(about, str) else None
        id_ = rule_id(b"key", app, memory_id, category)
        if effect == "remove":
            rules[app].pop(id_, None)
            events.append((OWNER, AccessRuleRemoved(rule_id=id_)))
        else:
            rules[app][id_] = Rule(effect, memory_id, None if category is None else category_key(category))  # pyright: ignore[reportArgumentType]
            rule: Any = {"effect": effect, "memory_id": memory_id, "category": category}
            events.append((OWNER, AccessRuleSet(rule_id=id_, app_id=app, **rule)))
    if default is not None:
        events.append((OWNER, DefaultAccessChanged(policy=default)))

    store = PostgresStore(shared, read_models())
    await store.claim(0, 1)
    checkpoint = await store.checkpoint(0)
    start = 1 if checkpoint is None else checkpoint.position.sequence + 1
    await store.apply([recorded(start + n, event, uid=uid, app=app) for n, (app, event) in enumerate(events)], 1)
    for index in indexes:
        puts = [
            put(m.memory_id, start + n, uid=uid, app_id=m.app_id, state=m.state, categories=m.category_keys)
            for n, m in enumerate(facts.values())
        ]
        await apply(index, *puts)

    for app, name in NAMES.items():
        running = app != OWN or (known and not paused)
        who = Asking(app, running, name == "dashboard", tuple(rules[app].values()), default or "allow")
        expected = {memory.memory_id for memory in facts.values() if may_read(who, memory)}
        assert {row["memory_id"] for row in await shared.fetch(sql.ACTIVE_IDS, uid, app)} == expected
        withheld = {row["memory_id"] for row in await shared.fetch(sql.WITHHELD, uid, app, list(facts))}
        if app == OWN and not known:
            assert withheld == set(facts)
        elif running:
            active = {memory.memory_id for memory in facts.values() if memory.state == "active"}
            assert withheld & active == active - expected
        access = access_of(await asking(shared, uid, app))
        if access is None:
            assert expected == set()
            continue
        for index in indexes:
            assert set(await found(index, SearchFilter(uid, access=access))) == expected
