"""Rebuilds of the read models beside what serves: with the real process that fills, and the real owners."""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import psutil
import pytest
from audit import container
from audit.generations import READ_MODELS_VERSION, Generation, read_models
from contracts.errors import Conflict, NotFound, Unavailable
from contracts.streams import DEAD, READ_MODELS, events
from contracts.subjects import event_subject, memory, shard_of
from pydantic import SecretStr
from runtime.postgres import Pool
from runtime.settings import as_environment
from support.log_events import UID
from support.rebuilds import Operator, append, auditing, blocked, filling
from support.servers import Log
from support.servers import eventually as within

pytestmark = pytest.mark.guarantee("G5", "G6")


async def eventually(condition: Callable[[], Any]) -> None:
    """A process has to start meanwhile, on a machine that may be busy."""
    await within(condition, 40)


@pytest.fixture
async def operator(log: Log, database: str) -> AsyncGenerator[Operator]:
    """Of an audit that runs on a log of 300 memories."""
    await append(log, 0, 300)
    async with auditing(log.settings, database):
        operator = Operator(log)
        await operator.answers()
        yield operator


async def count(pool: Pool) -> int:
    return await pool.fetchval("SELECT count(*) FROM memlog.memories")


async def test_a_rebuild_fills_another_generation_and_switches_to_it_when_it_is_equal(
    log: Log, operator: Operator, pool: Pool
) -> None:
    before = (await operator.ask(state_hash=True)).state_hash
    await operator.ask("rebuild")
    await operator.becomes(2, "serving")
    view = await operator.ask(state_hash=True)
    assert [(each.state, each.parity) for each in view.generations] == [("retired", None), ("serving", "equal")]
    assert view.state_hash == before
    await append(log, 300, 20)
    await eventually(lambda: _is(count(pool), 320))


async def test_of_those_that_served_before_the_last_one_is_kept_and_can_be_gone_back_to(
    log: Log, operator: Operator, pool: Pool
) -> None:
    for number in (2, 3):
        await operator.ask("rebuild")
        await operator.becomes(number, "serving")
    await eventually(lambda: _is(operator.states(), {2: "retired", 3: "serving"}))
    await append(log, 300, 50)
    await operator.ask("rollback")
    assert await operator.states() == {2: "serving", 3: "retired"}
    assert await count(pool) == 350
    with pytest.raises(Conflict, match="serving"):
        await operator.ask("drop", number=2)
    with pytest.raises(NotFound):
        await operator.ask("drop", number=9)
    await operator.ask("drop", number=3)
    assert await operator.states() == {2: "serving"}
    with pytest.raises(Conflict, match="no earlier generation"):
        await operator.ask("rollback")


async def test_a_rebuild_is_paused_resumed_and_cancelled(operator: Operator, pool: Pool) -> None:
    await operator.ask("rebuild", hold=True)
    async with blocked(pool, "read_models_g2.memories"):
        await eventually(lambda: len(filling()) == 1)
        with pytest.raises(Conflict, match="is being filled already"):
            await operator.ask("rebuild")
        await operator.ask("pause")
        assert (await operator.states(), filling()) == ({1: "serving", 2: "paused"}, [])
        await operator.ask("rebuild")  # goes on with it
        await eventually(lambda: len(filling()) == 1)
        await operator.ask("pause", number=2)
        await operator.ask("resume")
        assert await operator.states() == {1: "serving", 2: "building"}
    assert (await operator.becomes(2, "following")).parity == "equal"  # it is held
    await operator.ask("cancel")
    assert await operator.states() == {1: "serving"}
    with pytest.raises(Conflict, match="no generation"):
        await operator.ask("cancel")


async def test_a_rebuild_from_scratch_drops_the_one_that_was_begun(operator: Operator, pool: Pool) -> None:
    await operator.ask("rebuild")
    async with blocked(pool, "read_models_g2.memories"):
        await eventually(lambda: len(filling()) == 1)
        asking = asyncio.create_task(operator.ask("rebuild", from_scratch=True))
        await eventually(lambda: _is(pool.fetchval("SELECT to_regnamespace('read_models_g3') IS NOT NULL"), True))
    await asking
    await operator.becomes(3, "serving")
    assert await operator.states() == {1: "retired", 3: "serving"}


async def test_one_that_differs_is_not_switched_to_but_by_force(log: Log, operator: Operator, pool: Pool) -> None:
    await pool.execute("UPDATE read_models_g1.memories SET state = 'paused' WHERE memory_id = 'm-7'")
    await operator.ask("rebuild")
    following = await operator.becomes(2, "following")
    assert (following.parity, following.difference) == ("differs", f"memories: uid {UID}, memory_id m-7")
    with pytest.raises(Conflict, match="m-7"):
        await operator.ask("switch")
    await append(log, 300, 10)
    await eventually(lambda: _is(pool.fetchval("SELECT count(*) FROM read_models_g2.memories"), 310))
    assert await operator.states() == {1: "serving", 2: "following"}
    await operator.ask("switch", force=True)
    assert await operator.states() == {1: "retired", 2: "serving"}
    assert await pool.fetchval("SELECT state FROM memlog.memories WHERE memory_id = 'm-7'") == "active"


async def test_another_version_of_the_code_rebuilds_by_itself_and_reads_go_on(
    log: Log, database: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append(log, 0, 300)
    async with auditing(log.settings, database):
        await Operator(log).answers()
    monkeypatch.setattr("audit.generations.READ_MODELS_VERSION", READ_MODELS_VERSION + 1)
    async with auditing(log.settings, database):
        operator = Operator(log)
        await operator.reachable()
        served = await operator.becomes(2, "serving")
        assert (served.version, served.parity) == (READ_MODELS_VERSION + 1, "not comparable")
        assert await count(pool) == 300
    async with auditing(log.settings, database):
        await operator.answers()
        assert await operator.states() == {1: "retired", 2: "serving"}


async def test_what_the_projection_gave_up_on_is_passed_over_by_a_rebuild_too(
    log: Log, operator: Operator, pool: Pool
) -> None:
    await _damaged(log, "m-3")
    await append(log, 300, 5)
    await eventually(lambda: _is(count(pool), 305))
    await operator.ask("rebuild")
    await operator.becomes(2, "serving")
    assert await pool.fetchval("SELECT count(*) FROM memlog.memories WHERE memory_id = 'm-3'") == 1


async def test_an_event_that_cannot_be_applied_fails_the_rebuild_and_is_named(
    log: Log, operator: Operator, pool: Pool
) -> None:
    """As after an upgrade with a defect: the serving projection applied what the rebuild cannot."""
    at = await _damaged(log, "m-3")
    await append(log, 300, 5)
    await eventually(lambda: _is(count(pool), 305))
    await log.js.purge_stream(DEAD.name)
    await operator.ask("rebuild")
    failed = await operator.becomes(2, "failed")
    assert f"the event at 0-{at} cannot be read" in (failed.failure or "")
    assert await count(pool) == 305
    await append(log, 305, 5)  # what serves goes on
    await eventually(lambda: _is(count(pool), 310))
    await operator.ask("drop", number=2)


async def test_the_access_log_is_rebuilt_likewise(log: Log, operator: Operator) -> None:
    reads = Operator(log, "access-log")
    await reads.reachable()  # each projection has a desk of its own, open when its owner has the lease
    await reads.ask("rebuild")
    await reads.becomes(2, "serving")
    assert await operator.states() == {1: "serving"}


async def test_twenty_thousand_events_are_complete_although_the_process_that_fills_is_killed_again_and_again(
    log: Log, database: str, pool: Pool
) -> None:
    position = "SELECT coalesce(max(sequence), 0) FROM read_models_g2.positions"
    async with auditing(log.settings, database):
        for first in range(0, 20_000, 2_000):
            await append(log, first, 2_000, f"{first:032x}")
        operator = Operator(log)
        await operator.answers()
        before = (await operator.ask(state_hash=True)).state_hash
        await operator.ask("rebuild")
        reached = 0
        for _ in range(3):
            await eventually(lambda: len(filling()) == 1)
            victim = filling()[0]
            await eventually(lambda so_far=reached: _more(pool.fetchval(position), so_far))
            victim.send_signal(signal.SIGKILL)
            so_far, reached = reached, await pool.fetchval(position)
            assert reached >= so_far
            assert (await count(pool), (await operator.states())[1]) == (20_000, "serving")
        assert await operator.states() == {1: "serving", 2: "building"}
        await operator.becomes(2, "serving")
        assert await count(pool) == 20_000
        assert (await operator.ask(state_hash=True)).state_hash == before


@pytest.mark.parametrize("shards", [3], indirect=True)
async def test_instances_that_own_different_shards_switch_together(log: Log, database: str, pool: Pool) -> None:
    users = [f"{n:032x}" for n in range(6)]
    assert {shard_of(uid, 3) for uid in users} == {0, 1, 2}
    for uid in users:
        await append(log, 0, 40, uid)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            auditing(log.settings, database, lambda name: name in ("read-models.0", "read-models.2", "access-log.0"))
        )
        second = AsyncExitStack()
        await second.enter_async_context(
            auditing(log.settings, database, lambda name: name in ("read-models.1", "generations.read-models"))
        )
        operator = Operator(log)
        await operator.answers()
        await operator.ask("rebuild")
        await operator.becomes(2, "serving")
        for uid in users:
            await append(log, 40, 10, uid)
        await eventually(lambda: _is(count(pool), 300))
        await operator.ask("rebuild", hold=True)
        await operator.becomes(3, "following")
        # Its owner goes: a shard that nobody feeds keeps everybody from switching, until there is another owner.
        await second.aclose()
        await stack.enter_async_context(
            auditing(log.settings, database, lambda name: name == "generations.read-models")
        )
        await operator.reachable()
        with pytest.raises(Unavailable, match="does not answer"):
            await operator.ask("switch")
        await stack.enter_async_context(auditing(log.settings, database, lambda name: name == "read-models.1"))
        await operator.answers()
        await operator.ask("switch")
        assert (await operator.states())[3] == "serving"
        for uid in users:
            await append(log, 50, 10, uid)
        await eventually(lambda: _is(count(pool), 360))


async def _is(found: Awaitable[object], wanted: object) -> bool:
    return await found == wanted


async def _more(found: Awaitable[int], than: int) -> bool:
    return await found > than


async def _damaged(log: Log, memory_id: str) -> int:
    """Something that no event is, on the subject of a memory; its sequence."""
    ack = await log.js.publish(event_subject(0, memory(UID, memory_id)), b"{}")
    return ack.seq


async def test_the_process_that_fills_does_not_outlive_the_service_and_the_next_one_goes_on(
    log: Log, database: str, pool: Pool
) -> None:
    await append(log, 0, 300)
    environment = as_environment(log.settings.model_copy(update={"postgres_dsn": SecretStr(database)}))
    service = await asyncio.create_subprocess_exec(sys.executable, "-m", "audit", env=dict(environment))
    operator = Operator(log)
    try:
        await operator.answers()
        await operator.ask("rebuild")
        async with blocked(pool, "read_models_g2.memories"):
            await eventually(lambda: len(filling()) == 1)
            builder = filling()[0]
            await eventually(lambda: _more(pool.fetchval("SELECT count(*) FROM read_models_g2.positions"), 0))
            service.kill()
            await service.wait()
            await eventually(lambda: not builder.is_running() or builder.status() == psutil.STATUS_ZOMBIE)
        assert await count(pool) == 300
    finally:
        if service.returncode is None:
            service.kill()
            await service.wait()
    async with auditing(log.settings, database):
        await operator.reachable()
        await operator.becomes(2, "serving")
        assert await count(pool) == 300


async def test_a_generation_that_cannot_be_fed_any_more_is_given_up_and_what_serves_goes_on(
    log: Log, operator: Operator, pool: Pool
) -> None:
    await operator.ask("rebuild", hold=True)
    await operator.becomes(2, "following")
    await pool.execute("DROP TABLE read_models_g2.memory_texts")
    await append(log, 300, 5)
    await eventually(lambda: _is(count(pool), 305))
    failed = await operator.becomes(2, "failed")
    assert "StatementRefused" in (failed.failure or "")
    await append(log, 305, 5)
    await eventually(lambda: _is(count(pool), 310))
    await operator.ask("rebuild", from_scratch=True)
    await operator.becomes(3, "serving")
    assert await count(pool) == 310


async def test_other_tables_serve_as_soon_as_they_are_filled_and_the_earlier_code_finds_its_own_again(
    log: Log, database: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append(log, 0, 300)
    async with auditing(log.settings, database):
        await Operator(log).answers()

    def changed(number: int) -> Generation:
        one, *others = read_models(number).read_models
        index = "CREATE INDEX {name}_by_version ON {table} (version)"
        return replace(read_models(number), version=2, read_models=(replace(one, ddl=(*one.ddl, index)), *others))

    operator = Operator(log)
    with monkeypatch.context() as upgraded:
        upgraded.setitem(container.PROJECTIONS, READ_MODELS, (changed, events))
        async with auditing(log.settings, database):
            await operator.answers()
            assert await operator.states() == {1: "retired", 2: "serving"}
            assert await count(pool) == 300
            with pytest.raises(Conflict, match="tables of another version"):
                await operator.ask("rollback")
    await append(log, 300, 10)
    async with auditing(log.settings, database):
        await operator.answers()
        assert await operator.states() == {1: "serving", 2: "retired"}
        assert await count(pool) == 310
