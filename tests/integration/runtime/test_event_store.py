"""The event store on a real server: order, expected sequences, retries, and reading back."""

import asyncio
import os
import signal

import pytest
from contracts import subjects
from contracts.codec import Undecodable, encode
from contracts.errors import ConcurrencyConflict, Unavailable
from contracts.events import AppPaused, AppResumed, MemoryRevised
from contracts.positions import Position, message_hash
from contracts.streams import events as events_stream
from contracts.subjects import Aggregate, event_subject, shard_of
from nats.js.api import PubAck
from opentelemetry import trace
from runtime.event_store import EventStore, parse_time
from runtime.nats import connect, jetstream
from runtime.telemetry import extract, span, trace_as, trace_headers
from support.keys import KEY
from support.log_events import UID, added, meta_of, new_event
from support.servers import Log, Servers, eventually, opened

THREE_SHARDS = pytest.mark.parametrize("shards", [1, 3], indirect=True)
MEMORY = subjects.memory(UID, "m-1")


def _stream(log: Log, uid: str = UID) -> str:
    return events_stream(shard_of(uid, log.shards)).name


async def _append(log: Log, aggregate: Aggregate, count: int) -> list[Position]:
    """One after the other, as the expected sequence demands."""
    positions: list[Position] = []
    for _ in range(count):
        [position] = await log.events.append([new_event(aggregate, positions[-1].sequence if positions else 0)])
        assert isinstance(position, Position)
        positions.append(position)
    return positions


@THREE_SHARDS
async def test_an_aggregate_is_loaded_as_it_was_appended(log: Log) -> None:
    [first] = await log.events.append([new_event(MEMORY, event=added("m-1"))])
    assert isinstance(first, Position)
    revised = MemoryRevised(memory_id="m-1", version=2, text="Ada prefers coffee")
    [second] = await log.events.append([new_event(MEMORY, first.sequence, event=revised)])
    history = await log.events.load(MEMORY, KEY)
    assert [event.payload for event in history] == [added("m-1"), revised]
    assert [event.position for event in history] == [first, second]
    assert {event.position.shard for event in history} == {shard_of(UID, log.shards)}


async def test_what_is_loaded_says_where_when_and_which_bytes(log: Log) -> None:
    new = new_event(MEMORY, event=added("m-1"))
    [position] = await log.events.append([new])
    assert isinstance(position, Position)
    stored = await log.events.message_at(_stream(log), position.sequence)
    [event] = await log.events.load(MEMORY, KEY)
    assert stored is not None
    assert (event.sha256, event.recorded_at) == (message_hash(stored.data), stored.recorded_at)
    assert (event.meta, event.type) == (new.meta, "MemoryAdded")
    assert abs((event.recorded_at - new.meta.occurred_at).total_seconds()) < 60


async def test_an_aggregate_that_is_not_there_is_empty(log: Log) -> None:
    assert await log.events.load(MEMORY, KEY) == []


async def test_an_aggregate_is_loaded_without_its_neighbours(log: Log) -> None:
    others = [subjects.memory(UID, "m-2"), subjects.app(UID, "m-1"), subjects.memory("f" * 32, "m-1")]
    await log.events.append([new_event(each) for each in [MEMORY, *others]])
    assert len(await log.events.load(MEMORY, KEY)) == 1


@pytest.mark.guarantee("G3")
async def test_a_pipeline_is_stored_in_the_order_given(log: Log) -> None:
    wave = [new_event(subjects.memory(UID, f"m-{n}")) for n in range(1_200)]
    positions = await log.events.append(wave)
    sequences = [position.sequence for position in positions if isinstance(position, Position)]
    assert sequences == list(range(2, 1_202))  # sequence 1 is the log's nonce
    last = await log.events.message_at(_stream(log), 1_201)
    assert last is not None
    assert last.subject == event_subject(0, subjects.memory(UID, "m-1199"))


@THREE_SHARDS
async def test_a_pipeline_of_many_users_goes_to_their_shards(log: Log) -> None:
    users = [f"{n:032x}" for n in range(60)]
    positions = await log.events.append([new_event(subjects.user(uid)) for uid in users])
    assert [p.shard for p in positions if isinstance(p, Position)] == [shard_of(uid, log.shards) for uid in users]
    for uid in users:
        assert len(await log.events.load(subjects.user(uid), KEY)) == 1


async def test_an_append_that_expected_another_sequence_is_a_conflict(log: Log) -> None:
    await _append(log, MEMORY, 1)
    [same, later] = await log.events.append([new_event(MEMORY, 0), new_event(subjects.memory(UID, "m-2"), 7)])
    assert isinstance(same, ConcurrencyConflict)
    assert isinstance(later, ConcurrencyConflict)
    assert len(await log.events.load(MEMORY, KEY)) == 1
    assert await log.events.load(subjects.memory(UID, "m-2"), KEY) == []


async def test_a_conflict_leaves_the_rest_of_its_pipeline_alone(log: Log) -> None:
    await _append(log, MEMORY, 1)
    wave = [new_event(subjects.memory(UID, "m-2")), new_event(MEMORY, 0), new_event(subjects.memory(UID, "m-3"))]
    first, conflict, third = await log.events.append(wave)
    assert isinstance(conflict, ConcurrencyConflict)
    assert isinstance(first, Position)
    assert isinstance(third, Position)


@pytest.mark.guarantee("G2")
async def test_an_append_tried_again_with_the_same_event_id_returns_its_position(log: Log) -> None:
    new = new_event(MEMORY)
    first = await log.events.append([new])
    assert await log.events.append([new]) == first
    assert len(await log.events.load(MEMORY, KEY)) == 1


async def test_an_aggregate_of_more_events_than_a_page_is_loaded_whole(log: Log) -> None:
    stream, subject = _stream(log), event_subject(0, MEMORY)
    futures = [
        await log.js.publish_async(subject, _encoded(n), wait_stall=5.0)  # pyright: ignore[reportUnknownMemberType]
        for n in range(1_100)
    ]
    acks: list[PubAck] = [await future for future in futures]
    history = await log.events.load(MEMORY, KEY)
    assert [event.position.sequence for event in history] == [ack.seq for ack in acks]
    assert len(await log.events.read_subject(stream, subject)) == 1_100


def _encoded(number: int) -> bytes:
    return encode(meta_of(f"event-{number}"), AppPaused(app_id="m-1"), None)


async def test_an_event_that_was_erased_from_the_middle_is_passed_over(log: Log) -> None:
    positions = await _append(log, MEMORY, 3)
    await log.js.delete_msg(_stream(log), positions[1].sequence)
    assert [e.position for e in await log.events.load(MEMORY, KEY)] == [positions[0], positions[2]]
    assert await log.events.message_at(_stream(log), positions[1].sequence) is None
    [next_] = await log.events.append([new_event(MEMORY, positions[2].sequence)])
    assert isinstance(next_, Position)


async def test_after_the_last_event_was_erased_the_one_before_is_expected(log: Log) -> None:
    positions = await _append(log, MEMORY, 2)
    await log.js.delete_msg(_stream(log), positions[1].sequence)
    history = await log.events.load(MEMORY, KEY)
    [next_] = await log.events.append([new_event(MEMORY, history[-1].position.sequence)])
    assert isinstance(next_, Position)


async def test_a_stored_message_that_is_no_event_is_named_not_skipped(log: Log) -> None:
    await log.js.publish(event_subject(0, MEMORY), b"garbage")
    with pytest.raises(Undecodable):
        await log.events.load(MEMORY, KEY)


async def test_trace_context_survives_the_log(log: Log) -> None:
    trace_as("tests")
    with span("request") as request:
        new = new_event(MEMORY, event=AppResumed(app_id="a"), trace=trace_headers())
    await log.events.append([new])
    [stored] = await log.events.read_subject(_stream(log), event_subject(0, MEMORY))
    carried = trace.get_current_span(extract(stored.headers)).get_span_context()
    assert carried.trace_id == request.get_span_context().trace_id
    assert carried.span_id == request.get_span_context().span_id
    with span("projection", stored.headers) as child:
        assert child.get_span_context().trace_id == carried.trace_id


async def test_without_its_stream_the_log_is_unavailable(log: Log) -> None:
    await log.js.delete_stream(_stream(log))
    for read in (log.events.load(MEMORY, KEY), log.events.message_at(_stream(log), 1)):
        with pytest.raises(Unavailable):
            await read
    [result] = await log.events.append([new_event(MEMORY)])
    assert isinstance(result, Unavailable)


async def test_what_was_on_its_way_when_the_server_died_is_not_waited_for_once_it_is_back(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.nats.REQUEST_TIMEOUT", 600.0)
    async with opened(servers.settings()) as log:
        sent = log.client.stats["out_msgs"]
        os.kill(servers.nats.child.pid, signal.SIGSTOP)  # it takes the event and never answers
        waiting = asyncio.ensure_future(log.events.append([new_event(subjects.app(UID, "a"))]))
        await eventually(lambda: log.client.stats["out_msgs"] > sent and log.client.pending_data_size == 0)
        await servers.kill()
        await servers.start()
        await eventually(lambda: log.client.is_connected)
        [outcome] = await asyncio.wait_for(waiting, 60)
        assert isinstance(outcome, Unavailable)


@pytest.mark.guarantee("G1")
async def test_an_acknowledged_append_survives_a_kill_of_the_server(servers: Servers) -> None:
    async with opened(servers.settings()) as log:
        positions = await log.events.append([new_event(subjects.memory(UID, f"m-{n}")) for n in range(50)])
        assert all(isinstance(position, Position) for position in positions)
        await servers.kill()
        await servers.start()
    async with connect(servers.settings(), "after") as client:
        events = EventStore(client, jetstream(client), 1)
        await events.open()
        for n, position in enumerate(positions):
            [event] = await events.load(subjects.memory(UID, f"m-{n}"), KEY)
            assert event.position == position


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2026-11-22T09:15:00Z", 0),
        ("2026-11-22T09:15:00.5Z", 500_000),
        ("2026-11-22T09:15:00.123456789Z", 123_456),
        ("2026-11-22T09:15:00.000001Z", 1),
    ],
)
def test_the_servers_times_are_read_to_the_microsecond(text: str, microsecond: int) -> None:
    moment = parse_time(text)
    assert (moment.hour, moment.minute, moment.microsecond) == (9, 15, microsecond)
    assert moment.utcoffset() is not None
