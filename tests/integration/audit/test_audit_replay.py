"""Whatever the batches, the tables come out the same."""

from collections.abc import AsyncGenerator
from typing import Literal

import pytest
from audit.generations import Generation, read_models
from audit.keeper import PostgresKeeper
from audit.schema import install
from audit.store import PostgresStore
from contracts.codec import Recorded
from contracts.events import (
    AccessRuleRemoved,
    AccessRuleSet,
    AppPaused,
    AppRegistered,
    AppResumed,
    CategoryDefined,
    CategoryRemoved,
    DefaultAccessChanged,
    MemoryAdded,
    MemoryArchived,
    MemoryCategorized,
    MemoryDeleted,
    MemoryPaused,
    MemoryRestored,
    MemoryResumed,
    MemoryRevised,
    MemoryUnarchived,
    TokenIssued,
    TokenRevoked,
)
from contracts.messages import Event
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runtime.postgres import DERIVED_STORE, Pool, create_pool
from support.recorded_events import OTHER_UID, START, UID, recorded

STATES = {
    kind.type: kind
    for kind in (MemoryPaused, MemoryResumed, MemoryArchived, MemoryUnarchived, MemoryDeleted, MemoryRestored)
}
IDS = st.sampled_from(["m", "n", "o"])


@st.composite
def histories(draw: st.DrawFn) -> list[Recorded]:
    """What a writer could have written for two users: versions count up, nothing changes before it is there."""
    versions: dict[tuple[str, str], int] = {}
    events: list[Recorded] = []
    for number in range(draw(st.integers(1, 25))):
        uid, name = draw(st.sampled_from([UID, OTHER_UID])), draw(IDS)
        payload = _next(draw, versions, uid, name, number)
        sequence = (events[-1].position.sequence if events else 0) + draw(st.integers(1, 3))
        final = draw(st.booleans())
        events.append(recorded(sequence, payload, uid=uid, app=f"app-{name}", final=final))
    return events


def _next(draw: st.DrawFn, versions: dict[tuple[str, str], int], uid: str, name: str, number: int) -> Event:
    apps = ["register", "pause", "resume"]
    access = ["rule", "rule", "no rule", "default", "token", "no token"]
    kind = draw(st.sampled_from(["revise", "revise", "categorize", "define", "remove", *access, *apps, *STATES]))
    tags = tuple(draw(st.lists(st.sampled_from(["food", "work"]), unique=True)))
    if kind == "define":
        return CategoryDefined(category_id=name, name=name, description=f"Number {number}")
    if kind == "remove":
        return CategoryRemoved(category_id=name)
    if kind == "rule":
        effects: tuple[Literal["allow", "deny"], ...] = ("allow", "deny")
        effect = draw(st.sampled_from(effects))
        return AccessRuleSet(rule_id=name, app_id="app", effect=effect, category=f"Category {number}")
    if kind == "no rule":
        return AccessRuleRemoved(rule_id=name)
    if kind == "default":
        return DefaultAccessChanged(policy=draw(st.sampled_from(["allow", "own"])))
    if kind == "token":
        return TokenIssued(
            token_id=name, hash="", user="ada", app=name, scopes=("read", "write"), label=f"Number {number}",
            expires_at=draw(st.sampled_from([None, START])),
        )  # fmt: skip
    if kind == "no token":
        return TokenRevoked(token_id=name)
    if kind == "register":
        return AppRegistered(app_id=name, name=f"App {name}")
    if kind in ("pause", "resume"):
        return AppPaused(app_id=name) if kind == "pause" else AppResumed(app_id=name)
    if (uid, name) not in versions:
        versions[uid, name] = 1
        return MemoryAdded(memory_id=name, text=draw(st.text(max_size=8)), metadata={"number": number}, categories=tags)
    if kind in STATES:
        return STATES[kind](memory_id=name)
    if kind == "categorize":
        return MemoryCategorized(memory_id=name, categories=tags, by=draw(st.sampled_from(["person", "classifier"])))
    versions[uid, name] += 1
    return MemoryRevised(memory_id=name, version=versions[uid, name], text=f"Text {number}", categories=tags)


@st.composite
def cuts(draw: st.DrawFn, events: list[Recorded]) -> list[list[Recorded]]:
    """The history in batches, some of which begin again before where the last one ended."""
    batches: list[list[Recorded]] = []
    done = 0
    while done < len(events):
        start = draw(st.integers(0, done))
        done = draw(st.integers(done + 1, len(events)))
        batches.append(events[start:done])
    return batches


@pytest.fixture(scope="module")
async def shared(server: str, administrator: Pool) -> AsyncGenerator[Pool]:
    """One database for all examples: making one for each would take most of the time."""
    await administrator.execute("CREATE DATABASE replay OWNER memlog")
    pool = await create_pool(
        server.replace("/postgres?", "/replay?"), application_name="replay", size=2, settings=DERIVED_STORE
    )
    await install(pool, read_models)
    await PostgresKeeper(pool, pool, read_models).create(None, False)
    yield pool
    await pool.close()
    await administrator.execute("DROP DATABASE replay WITH (FORCE)")


async def contents(pool: Pool, generation: Generation, batches: list[list[Recorded]]) -> dict[str, list[str]]:
    names = [model.name for model in generation.read_models]
    tables = ", ".join(f"{generation.schema}.{name}" for name in [*names, "positions"])
    await pool.execute(f"TRUNCATE {tables}")
    store = PostgresStore(pool, generation)
    await store.claim(0, 1)
    for batch in batches:
        await store.apply(batch, 1)
    return {
        name: [row[0] for row in await pool.fetch(f"SELECT t::text FROM {generation.schema}.{name} t ORDER BY 1")]
        for name in [*names, "positions"]
    }


@pytest.mark.guarantee("G3", "G5")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), events=histories())
async def test_any_history_in_any_batches_gives_the_same_tables(
    shared: Pool, data: st.DataObject, events: list[Recorded]
) -> None:
    one_by_one = await contents(shared, read_models(1), [[event] for event in events])
    in_batches = await contents(shared, read_models(2), data.draw(cuts(events)))
    assert in_batches == one_by_one
