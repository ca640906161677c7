"""What a projection puts aside: it says so, and it is healed, or gone on without, as far as can be."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from contracts import subjects
from contracts.codec import encode
from contracts.dead_letters import RedriveReply, RedriveRequest
from contracts.events import MemoriesRead, MemoryRevised
from contracts.ids import uuid7
from contracts.positions import Position
from contracts.streams import DEAD, DROPPED, access
from contracts.streams import events as events_stream
from contracts.subjects import access_subject, dead_subject, event_subject, redrive_subject
from runtime import replay
from runtime.dead_letters import SEQUENCE
from runtime.projection import ProjectionRunner
from runtime.waiting import Positions
from support.log_events import UID, added, meta_of, new_event
from support.refusing_store import RefusingStore
from support.servers import Log, eventually, running

pytestmark = pytest.mark.guarantee("G12")
NAME = "read-models"
SUBJECT = event_subject(0, subjects.memory(UID, "m"))


@pytest.fixture
async def positions(log: Log) -> AsyncGenerator[Positions]:
    positions = Positions(log.client)
    await positions.open()
    yield positions
    await positions.close()


@pytest.fixture
def store_of(tmp_path: Path) -> Callable[..., RefusingStore]:
    return lambda *bad: RefusingStore(tmp_path / "store.db", *bad)


async def append(log: Log, versions: int) -> None:
    """A memory of so many versions: sequences 2 onwards; then another memory."""
    key = await log.keys.create(UID)
    memory = subjects.memory(UID, "m")
    for number in range(versions):
        event = added("m") if number == 0 else MemoryRevised(memory_id="m", version=number + 1, text=f"text {number}")
        expected = 0 if number == 0 else number + 1
        [at] = await log.events.append([new_event(memory, expected, event=event, key=key)])
        assert at == Position(0, number + 2)
    await log.events.append([new_event(subjects.memory(UID, "n"), event=added("n"), key=key)])


@asynccontextmanager
async def projecting(log: Log, store: RefusingStore, epoch: int = 1) -> AsyncGenerator[ProjectionRunner]:
    """Until the projection has passed all that the log holds."""
    runner = ProjectionRunner(NAME, 0, events_stream(0).name, store, log.client, log.js, log.events, log.keys)
    end = await log.events.last_sequence(events_stream(0).name)

    def passed() -> bool:
        at = runner.status.checkpoint
        return at is not None and at.position.sequence >= end

    async with running(runner.run(epoch)):
        await eventually(passed)
        yield runner


async def ask(log: Log, *without: int, name: str = NAME, subject: str = SUBJECT) -> RedriveReply:
    request = RedriveRequest(subject=dead_subject(name, subject), without=list(without))
    answer = await log.client.request(redrive_subject(name, 0), request.model_dump_json().encode(), timeout=60)
    return RedriveReply.model_validate_json(answer.data)


async def put_aside(log: Log, name: str = NAME, subject: str = SUBJECT) -> list[int]:
    """Sequences of the events that dead letters are about."""
    letters = await log.events.read_subject(DEAD.name, dead_subject(name, subject))
    return [int(letter.headers[SEQUENCE]) for letter in letters]


@pytest.mark.guarantee("G4")
async def test_a_projection_says_how_much_it_has_quarantined_with_each_position_that_it_tells(
    log: Log, positions: Positions, store_of: Callable[..., RefusingStore]
) -> None:
    store = store_of(3)
    await append(log, 3)
    async with projecting(log, store):
        assert await positions.wait([NAME], Position(0, 5), 10)
        assert positions.quarantined(NAME, 0) == 1
        assert positions.quarantined("index", 0) == 0
    # A new owner knows it before it tells where it is; whoever missed all of that, asks.
    late = Positions(log.client)
    async with projecting(log, store, epoch=2):
        assert await late.ask(NAME, 0) == 5
        assert late.quarantined(NAME, 0) == 1
        store.bad.clear()
        assert await ask(log) == RedriveReply()
        assert await late.ask(NAME, 0) == 5
        assert late.quarantined(NAME, 0) == 0


async def test_an_aggregate_with_several_bad_events_is_healed_up_to_the_next_of_them(
    log: Log, store_of: Callable[..., RefusingStore]
) -> None:
    store = store_of(3, 5)
    await append(log, 5)  # 2..6; the other memory at 7
    async with projecting(log, store) as runner:
        assert await put_aside(log) == [3, 4, 5, 6]
        assert store.applied[-1] == 7, "nobody else waits"
        failed = await ask(log)
        assert "event 3 is bad" in (failed.error or "")
        assert await put_aside(log) == [3, 4, 5, 6]

        store.bad = {5}
        healed = await ask(log)
        assert (healed.error, "event 5 is bad" in (healed.stays or "")) == (None, True)
        assert store.folded["m"] == [2, 3, 4]
        assert await put_aside(log) == [5, 6]
        assert runner.status.quarantined == 1

        store.bad = set()
        assert await ask(log) == RedriveReply()
        assert store.folded["m"] == [2, 3, 4, 5, 6]
        assert await put_aside(log) == []
        assert runner.status.quarantined == 0


async def test_dropping_one_of_several_bad_events_gives_up_that_one_and_no_other(
    log: Log, store_of: Callable[..., RefusingStore]
) -> None:
    store = store_of(3, 5)
    await append(log, 5)
    async with projecting(log, store) as runner:
        dropped = await ask(log, 3)
        assert (dropped.error, "event 5 is bad" in (dropped.stays or "")) == (None, True)
        assert store.folded["m"] == [2, 4], "what waited behind it is applied, up to the next bad one"
        assert await put_aside(log) == [5, 6]
        assert runner.status.quarantined == 1
        assert await ask(log, 5) == RedriveReply()
        assert store.folded["m"] == [2, 4, 6]
        assert await put_aside(log) == []
        assert runner.status.quarantined == 0


async def test_dropping_a_later_bad_event_leaves_the_first_where_it_is(
    log: Log, store_of: Callable[..., RefusingStore]
) -> None:
    store = store_of(3, 5)
    await append(log, 5)
    async with projecting(log, store):
        dropped = await ask(log, 5)
        assert (dropped.error, "event 3 is bad" in (dropped.stays or "")) == (None, True)
        assert await put_aside(log) == [3, 4, 6]
        store.bad = {5}  # the cause of the first is gone, and the second stays dropped
        assert await ask(log) == RedriveReply()
        assert store.folded["m"] == [2, 3, 4, 6]


async def test_what_was_dropped_is_left_out_of_every_later_fold(
    log: Log, store_of: Callable[..., RefusingStore], tmp_path: Path
) -> None:
    store = store_of(3)
    await append(log, 3)
    async with projecting(log, store):
        assert await ask(log, 3) == RedriveReply()
    # Another event of the same memory is bad, later: dropping the first must not stand in the way of healing it.
    key = await log.keys.get(UID)
    revised = MemoryRevised(memory_id="m", version=4, text="text 4")
    [at] = await log.events.append([new_event(subjects.memory(UID, "m"), 4, event=revised, key=key)])
    assert at == Position(0, 6)
    store.bad = {3, 6}
    async with projecting(log, store, epoch=2):
        assert await put_aside(log) == [6]
        store.bad = {3}
        assert await ask(log) == RedriveReply()
        assert store.folded["m"] == [2, 4, 6]
    # A store that begins anew does not meet it again.
    fresh = RefusingStore(tmp_path / "fresh.db", 3)
    async with projecting(log, fresh, epoch=3):
        assert fresh.applied == [1, 2, 4, 5, 6]
        assert await put_aside(log) == []
    # Nor does one that is filled beside it.
    beside = RefusingStore(tmp_path / "beside.db", 3)
    source = replay.Log(log.client, log.js, log.events, log.keys, 1)
    await replay.replay(source, lambda shard: events_stream(shard).name, {NAME: beside}, 4, near=0)
    assert beside.applied == [1, 2, 4, 5, 6]
    assert (await log.js.stream_info(DROPPED.name)).state.messages == 1


async def test_reads_that_were_put_aside_are_healed_and_dropped_each_by_itself(
    log: Log, store_of: Callable[..., RefusingStore]
) -> None:
    store, name, subject = store_of(1, 2, 3), "access-log", access_subject(0, UID, "app")
    key = await log.keys.create(UID)
    for _ in range(4):
        await log.js.publish(subject, encode(meta_of(uuid7()), MemoriesRead(kind="get", items=()), key))
    runner = ProjectionRunner(name, 0, access(0).name, store, log.client, log.js, log.events, log.keys)
    async with running(runner.run(1)):
        await eventually(lambda: store.applied == [4])
        store.bad = {1, 3}
        answer = await ask(log, name=name, subject=subject)
        assert "event 1 is bad" in (answer.stays or "")
        assert await put_aside(log, name, subject) == [1, 3]
        assert (await ask(log, 3, name=name, subject=subject)).error is None
        assert await put_aside(log, name, subject) == [1]
        assert runner.status.quarantined == 1
        store.bad = set()
        assert await ask(log, name=name, subject=subject) == RedriveReply()
        assert runner.status.quarantined == 0
    assert await put_aside(log, name, subject) == []


@pytest.mark.guarantee("G5")
async def test_a_read_that_is_healed_has_its_trace_as_in_a_replay_also_when_it_has_aged_out(
    log: Log, store_of: Callable[..., RefusingStore]
) -> None:
    store, name, subject = store_of(1, 2), "access-log", access_subject(0, UID, "app")
    key = await log.keys.create(UID)
    traces = [f"{number:032x}" for number in (1, 2)]
    for trace in traces:
        read = encode(meta_of(uuid7()), MemoriesRead(kind="get", items=()), key)
        await log.js.publish(subject, read, headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    runner = ProjectionRunner(name, 0, access(0).name, store, log.client, log.js, log.events, log.keys)
    async with running(runner.run(1)):
        await eventually(lambda: runner.status.quarantined == 1)
        await eventually(
            lambda: runner.status.checkpoint is not None and runner.status.checkpoint.position.sequence == 2
        )
        await log.js.purge_stream(access(0).name, seq=2)  # the first ages out
        store.bad = set()
        assert await ask(log, name=name, subject=subject) == RedriveReply()
    assert store.traces == traces
