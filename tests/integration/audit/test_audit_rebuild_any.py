"""Whatever was asked of Memlog, replaying the log leads to what the live projection holds."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack

import pytest
from audit.generations import read_models
from audit.keeper import PostgresKeeper
from contracts.commands import (
    ActivateMemories,
    AddMemory,
    AnyCommand,
    ArchiveMemories,
    CategorizeMemory,
    DefineCategory,
    DeleteMemories,
    PauseApp,
    PauseMemories,
    RestoreMemories,
    ResumeApp,
    ReviseMemory,
)
from contracts.ids import uuid7
from contracts.streams import READ_MODELS, events
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from runtime.postgres import DERIVED_STORE, Pool, create_pool
from runtime.replay import Log as ReplayedLog
from runtime.replay import replay
from runtime.settings import Settings
from support.rebuilds import auditing
from support.servers import Log, empty, eventually, opened
from support.writer import Sender, writing

TEXTS = st.sampled_from(["Likes tea", "Likes coffee", "Flies on Friday", "Zürich\x00", "🐟"])
STATES = st.sampled_from([PauseMemories, ArchiveMemories, ActivateMemories, DeleteMemories, RestoreMemories])
Make = Callable[[str, Sender], AnyCommand]
"""A command about a memory."""


@st.composite
def commands(draw: st.DrawFn) -> list[Make]:
    """What clients may ask for, in any order; much of it is refused."""
    text, state = draw(TEXTS), draw(STATES)
    makes: list[Make] = [
        lambda _id, _sender: AddMemory(text=text, metadata={"n": 1}),
        lambda id_, _sender: ReviseMemory(memory_id=id_, text=text, only_active=False),
        lambda id_, _sender: state(memory_ids=(id_,)),
        lambda id_, _sender: CategorizeMemory(memory_id=id_, categories=("food", "travel"), by="person"),
        lambda _id, _sender: DefineCategory(name="Fish", description=text),
        lambda _id, sender: PauseApp(app_id=sender.app_id),
        lambda _id, sender: ResumeApp(app_id=sender.app_id),
    ]
    return draw(st.lists(st.sampled_from(makes), min_size=1, max_size=6))


histories = st.lists(commands(), min_size=1, max_size=4).map(lambda lists: [make for each in lists for make in each])


@pytest.fixture(scope="module")
async def running(
    settings: Callable[..., Settings], server: str, administrator: Pool
) -> AsyncGenerator[tuple[Log, Pool]]:
    """A writer and an audit for all examples, each example a user of its own on the same log."""
    await administrator.execute("CREATE DATABASE any_history OWNER memlog")
    dsn = server.replace("/postgres?", "/any_history?")
    async with AsyncExitStack() as stack:
        async with opened(settings(), start=False) as stale:
            await empty(stale.js)
        log = await stack.enter_async_context(opened(settings()))
        pool = await create_pool(dsn, application_name="test", size=4, settings=DERIVED_STORE)
        stack.callback(pool.terminate)
        await stack.enter_async_context(auditing(log.settings, dsn, lambda name: name == "read-models.0"))
        await stack.enter_async_context(writing(log))
        yield log, pool
    await administrator.execute("DROP DATABASE any_history WITH (FORCE)")


@pytest.mark.guarantee("G5")
@examples(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=histories, batch=st.integers(1, 40))
async def test_two_replays_of_any_history_lead_to_the_state_of_the_live_projection(
    running: tuple[Log, Pool], history: list[Make], batch: int
) -> None:
    log, pool = running
    sender = await (await Sender(log, uuid7().replace("-", "")).open()).register()
    known = (await sender.do(AddMemory(text="The first"))).results[0].id
    for make in history:
        outcome = await sender.do(make(known, sender))
        known = next((item.id for item in outcome.results if item.event == "ADD"), known)
    end = await log.events.last_sequence(events(0).name)

    async def passed() -> bool:
        return await pool.fetchval("SELECT max(sequence) FROM read_models_g1.positions") == end

    await eventually(passed)
    keeper = PostgresKeeper(pool, pool, read_models)
    live = await keeper.state_hash(1)
    read = ReplayedLog(log.client, log.js, log.events, log.keys, log.shards)
    for size in (batch, 500):
        number = (await keeper.create(None, True)).number
        await replay(
            read, lambda shard: events(shard).name, {READ_MODELS: await keeper.open(number)}, 1, batch=size, near=0
        )
        assert await keeper.state_hash(number) == live
        await keeper.drop(number)
