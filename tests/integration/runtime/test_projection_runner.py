"""The projection runner on a real server: in order, once, from the store's own position, and only from its own log."""

import asyncio
from collections.abc import Callable, Generator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from contracts import subjects
from contracts.codec import Recorded, encode
from contracts.errors import ConcurrencyConflict, LogNotTrusted
from contracts.events import AppPaused
from contracts.positions import Checkpoint, Position, message_hash
from contracts.streams import events as events_stream
from contracts.subjects import event_subject, shard_of
from nats.aio.msg import Msg
from runtime.keys import KeyStore
from runtime.log_checks import open_log
from runtime.nats import declare_all
from runtime.projection import ProjectionRunner
from runtime.pull import Pull
from runtime.waiting import Positions
from support.log_events import UID, added, meta_of, new_event
from support.servers import Log, Servers, empty, eventually, opened, running
from support.sqlite_store import SqliteStore

NAME = "read-models"
Open = Callable[[], SqliteStore]


@pytest.fixture
def open_store(tmp_path: Path) -> Generator[Open]:
    """Opens the same store each time, as a service that starts again does."""
    stores: list[SqliteStore] = []

    def open_() -> SqliteStore:
        stores.append(SqliteStore(tmp_path / "store.db"))
        return stores[-1]

    yield open_
    for store in stores:
        store.close()


@pytest.fixture
def store(open_store: Open) -> SqliteStore:
    return open_store()


def runner(log: Log, store: SqliteStore, shard: int = 0, batch: int = 500) -> ProjectionRunner:
    stream = events_stream(shard).name
    return ProjectionRunner(NAME, shard, stream, store, log.client, log.js, log.events, log.keys, batch)


async def append(log: Log, first: int, count: int, uid: str = UID) -> None:
    """Memories `first` onwards, an event each."""
    key = await log.keys.create(uid)
    wave = [
        new_event(subjects.memory(uid, f"m-{n}"), event=added(f"m-{n}"), key=key) for n in range(first, first + count)
    ]
    assert all(isinstance(position, Position) for position in await log.events.append(wave))


async def checkpoint_at(log: Log, sequence: int) -> Checkpoint:
    """What a store that applied up to here has noted."""
    message = await log.events.message_at(events_stream(0).name, sequence)
    assert message is not None
    return Checkpoint(Position(0, sequence), "event", message_hash(message.data))


@pytest.mark.guarantee("G3")
@pytest.mark.parametrize("batch", [1, 7, 500])
async def test_events_are_applied_in_order_and_once(log: Log, store: SqliteStore, batch: int) -> None:
    await append(log, 0, 60)
    async with running(runner(log, store, batch=batch).run(1)):
        await append(log, 60, 20)
        await eventually(lambda: len(store.sequences()) == 81)
    assert store.sequences() == list(range(1, 82))
    assert max(store.batches) <= batch


@pytest.mark.guarantee("G3")
@pytest.mark.parametrize("shards", [3], indirect=True)
async def test_each_shard_is_projected_by_itself(log: Log, store: SqliteStore) -> None:
    users = [f"{n:032x}" for n in range(12)]
    for uid in users:
        await append(log, 0, 2, uid)
    async with AsyncExitStack() as stack:
        for shard in range(3):
            await stack.enter_async_context(running(runner(log, store, shard).run(1)))
        for shard in range(3):
            expected = 1 + 2 * sum(shard_of(uid, 3) == shard for uid in users)
            await eventually(lambda shard=shard, expected=expected: len(store.sequences(shard)) == expected)


@pytest.mark.guarantee("G3")
async def test_a_projection_resumes_after_its_own_position(log: Log, open_store: Open) -> None:
    await append(log, 0, 10)
    store = open_store()
    async with running(runner(log, store).run(1)):
        await eventually(lambda: len(store.sequences()) == 11)
    await append(log, 10, 10)
    again = open_store()
    async with running(runner(log, again).run(2)):
        await eventually(lambda: len(again.sequences()) == 21)
    assert again.sequences() == list(range(1, 22))
    assert sum(again.batches) == 10  # nothing was sent a second time


async def test_what_the_store_lost_in_a_crash_is_applied_again(log: Log, open_store: Open) -> None:
    """A derived store may commit without waiting for the disk: what counts is what survived."""
    await append(log, 0, 10)
    store = open_store()
    store.forge(await checkpoint_at(log, 4))
    async with running(runner(log, store).run(1)):
        await eventually(lambda: store.sequences() == list(range(5, 12)))


@pytest.mark.guarantee("G3")
async def test_a_store_that_does_not_answer_is_waited_for_and_shown(log: Log, store: SqliteStore) -> None:
    await append(log, 0, 5)
    store.fail_next = 3
    running_one = runner(log, store)
    async with running(running_one.run(1)):
        await eventually(lambda: running_one.status.failure is not None)
        assert "does not answer" in (running_one.status.failure or "")
        await eventually(lambda: len(store.sequences()) == 6)
        await eventually(lambda: running_one.status.failure is None)
    assert store.sequences() == list(range(1, 7))


@pytest.mark.guarantee("G3")
async def test_a_message_lost_on_the_way_is_noticed_and_fetched(
    log: Log, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Pull.batch
    lost: list[int] = []

    async def lossy(self: Pull, limit: int, idle: float | None = None) -> list[Msg]:
        messages = await whole(self, limit, idle)
        if not lost and len(messages) > 3:
            lost.append(messages.pop(2).metadata.sequence.stream)
        return messages

    monkeypatch.setattr(Pull, "batch", lossy)
    await append(log, 0, 20)
    async with running(runner(log, store).run(1)):
        await eventually(lambda: len(store.sequences()) == 21)
    assert lost
    assert store.sequences() == list(range(1, 22))


@pytest.mark.guarantee("G3")
async def test_a_former_owner_cannot_write(log: Log, store: SqliteStore) -> None:
    await append(log, 0, 3)
    former = runner(log, store)
    task = asyncio.ensure_future(former.run(1))
    await eventually(lambda: len(store.sequences()) == 4)
    await store.claim(0, 2)
    await append(log, 3, 1)
    with pytest.raises(ConcurrencyConflict):
        await asyncio.wait_for(task, 60)
    assert store.sequences() == list(range(1, 5))
    assert former.status.owner is False


@pytest.mark.guarantee("G4")
async def test_a_projection_announces_what_it_has_committed(log: Log, store: SqliteStore) -> None:
    positions = Positions(log.client)
    await positions.open()
    try:
        await append(log, 0, 4)
        assert await positions.ask(NAME, 0, timeout=0.2) is None
        async with running(runner(log, store).run(1)):
            assert await positions.wait([NAME], Position(0, 5), 10)
            assert store.sequences()[-1] == 5
            assert await positions.ask(NAME, 0) == 5
            await append(log, 4, 1)
            assert await positions.wait([NAME], Position(0, 6), 10)
            assert 6 in store.sequences()
        assert await positions.ask(NAME, 0, timeout=0.2) is None
    finally:
        await positions.close()


async def test_an_answer_carries_the_proof_of_the_position(log: Log, store: SqliteStore) -> None:
    await append(log, 0, 4)
    one = runner(log, store)
    async with running(one.run(1)):
        await eventually(lambda: len(store.sequences()) == 5)
        await eventually(lambda: one.status.checkpoint is not None and one.status.checkpoint.position.sequence == 5)
        said = one.status.announcement()
    assert (said.sequence, said.sha256) == (5, (await checkpoint_at(log, 5)).sha256)


async def _refused(log: Log, store: SqliteStore) -> str:
    with pytest.raises(LogNotTrusted) as refused:
        await asyncio.wait_for(runner(log, store).run(1), 60)
    return refused.value.message


async def test_a_log_that_ends_before_the_position_is_not_trusted(log: Log, store: SqliteStore) -> None:
    await append(log, 0, 3)
    store.forge(Checkpoint(Position(0, 9), "event", "00"))
    assert "ends at 4" in await _refused(log, store)
    assert store.sequences() == []


async def test_a_log_with_another_event_at_the_position_is_not_trusted(log: Log, store: SqliteStore) -> None:
    await append(log, 0, 5)
    store.forge(Checkpoint(Position(0, 3), "another-event", message_hash(b"other bytes")))
    message = await _refused(log, store)
    assert "differs" in message
    assert "Restore the log from a backup" in message


async def test_a_log_whose_event_at_the_position_is_gone_is_not_trusted(log: Log, store: SqliteStore) -> None:
    await append(log, 0, 5)
    store.forge(await checkpoint_at(log, 3))
    await log.js.delete_msg(events_stream(0).name, 3)
    assert "is gone" in await _refused(log, store)


async def test_a_log_that_was_replaced_is_not_trusted(log: Log, store: SqliteStore) -> None:
    await append(log, 0, 5)
    async with running(runner(log, store).run(1)):
        await eventually(lambda: len(store.sequences()) == 6)
    await empty(log.js)
    await declare_all(log.js, log.settings, 1)
    await open_log(log.js, log.events, 1)
    fresh = KeyStore(log.js, log.keys.master)
    key = await fresh.create(UID)
    await log.events.append([new_event(subjects.memory(UID, f"m-{n}"), event=added("m"), key=key) for n in range(9)])
    assert "differs" in await _refused(log, store)
    assert len(store.sequences()) == 6


async def test_a_log_that_is_replaced_under_a_running_projection_stops_it(log: Log, store: SqliteStore) -> None:
    await append(log, 0, 5)
    task = asyncio.ensure_future(runner(log, store).run(1))
    await eventually(lambda: len(store.sequences()) == 6)
    await log.js.delete_stream(events_stream(0).name)
    await declare_all(log.js, log.settings, 1)
    with pytest.raises(LogNotTrusted):
        await asyncio.wait_for(task, 60)


@pytest.mark.guarantee("G3", "G1")
@pytest.mark.parametrize("end", [Servers.stop, Servers.kill], ids=["stop", "kill"])
async def test_a_server_restart_is_healed(
    servers: Servers, store: SqliteStore, end: Callable[[Servers], "asyncio.Future[None]"]
) -> None:
    async with opened(servers.settings()) as log:
        one = runner(log, store)
        async with running(one.run(1)):
            await append(log, 0, 10)
            await eventually(lambda: len(store.sequences()) == 11)
            await end(servers)
            await servers.start()
            await eventually(lambda: log.client.is_connected)
            await append(log, 10, 10)
            await eventually(lambda: len(store.sequences()) == 21)
            await eventually(lambda: one.status.failure is None)
    assert store.sequences() == list(range(1, 22))


async def test_events_of_a_destroyed_key_and_of_unknown_types_are_passed_without_payload(log: Log) -> None:
    class Keeping(SqliteStore):
        def __init__(self) -> None:
            super().__init__(Path(":memory:"))
            self.events: list[Recorded] = []

        async def apply(self, batch: Sequence[Recorded], epoch: int) -> None:
            self.events += batch
            await super().apply(batch, epoch)

    erased = "e" * 32
    await append(log, 0, 1, erased)
    await log.keys.destroy(erased)
    raw = encode(meta_of("x"), AppPaused(app_id="a"), None).replace(b"AppPaused", b"AppDreamt")
    await log.js.publish(event_subject(0, subjects.app(UID, "a")), raw)
    await append(log, 0, 1)
    store = Keeping()
    async with running(runner(log, store).run(1)):
        await eventually(lambda: len(store.events) == 4)
    assert [(e.type, e.payload is None) for e in store.events[1:]] == [
        ("MemoryAdded", True), ("AppDreamt", True), ("MemoryAdded", False)
    ]  # fmt: skip
    assert store.events[1].meta.uid == erased
    store.close()


async def test_an_event_of_a_newer_schema_stops_the_projection_visibly(log: Log, store: SqliteStore) -> None:
    raw = encode(meta_of("x"), AppPaused(app_id="a"), None)
    newer = raw.replace(b'"schema_version":1', b'"schema_version":2')
    assert newer != raw
    await log.keys.create(UID)
    await log.js.publish(event_subject(0, subjects.app(UID, "a")), newer)
    await append(log, 0, 1)
    one = runner(log, store)
    async with running(one.run(1)):
        await eventually(lambda: "UnsupportedSchema" in (one.status.failure or ""))
    assert 2 not in store.sequences()
    assert 3 not in store.sequences()
