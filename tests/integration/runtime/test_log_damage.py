"""Streams that lost messages: seen from what the server counts, or when the log is read; never passed over silently."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from contracts import subjects
from contracts.errors import LogNotTrusted
from contracts.streams import USERS, WRITER_CONSUMER, access, commands, events
from nats.js.api import AckPolicy, ConsumerConfig
from runtime.log_checks import open_log
from runtime.projection import ProjectionRunner
from runtime.service import open_context
from support.log_events import UID, added, new_event
from support.servers import Log, Servers, opened
from support.sqlite_store import SqliteStore

EVENTS = events(0).name


async def write(log: Log, count: int = 4) -> None:
    """A message of every stream, `count` times; the events are two each of as many memories."""
    for number in range(count):
        one = new_event(subjects.memory(UID, f"m-{number}"), event=added(f"m-{number}", f"Text {number} " * 20))
        [first] = await log.events.append([one])
        assert not isinstance(first, Exception)
        await log.events.append([new_event(subjects.memory(UID, f"m-{number}"), first.sequence)])
        await log.js.publish(subjects.access_subject(0, UID, "app"), b"read")
        await log.js.publish(subjects.command_subject(0, UID, f"c-{number}"), b"command " * 20)
        await log.js.publish(subjects.user_subject(f"u-{number}"), b"{}")


@pytest.mark.guarantee("G11")
@pytest.mark.parametrize("stream", [EVENTS, access(0).name, commands(0).name, USERS.name])
async def test_a_stream_with_a_hole_is_not_served(log: Log, stream: str) -> None:
    await write(log)
    await open_log(log.js, log.events, 1)
    await log.js.delete_msg(stream, 3)
    with pytest.raises(LogNotTrusted, match=f"{stream} has lost 1 of its"):
        await open_log(log.js, log.events, 1)


@pytest.mark.parametrize("stream", [access(0).name, commands(0).name])
async def test_reads_and_commands_may_age_out(log: Log, stream: str) -> None:
    await write(log)
    await log.js.purge_stream(stream, keep=2)
    await open_log(log.js, log.events, 1)


@pytest.mark.guarantee("G11")
async def test_events_may_not(log: Log) -> None:
    await write(log)
    await log.js.purge_stream(EVENTS, keep=2)
    with pytest.raises(LogNotTrusted, match="first one is gone"):
        await open_log(log.js, log.events, 1)


# -- files ---------------------------------------------------------------------------------------------------------


def block(servers: Servers, stream: str) -> Path:
    [found] = servers.home.nats.rglob(f"{stream}/msgs/1.blk")
    return found


def change(file: Path, text: bytes) -> None:
    """Flip a bit of the first place where this stands."""
    data = bytearray(file.read_bytes())
    data[data.index(text)] ^= 1
    file.write_bytes(data)


@pytest.fixture
async def unreadable(servers: Servers) -> AsyncGenerator[Log]:
    """A log in which event 6, the first of its memory, cannot be read. The server counts it, and leaves it out."""
    async with opened(servers.settings()) as log:
        await write(log)
        message = await log.events.message_at(EVENTS, 6)
        assert message is not None
    await servers.stop()
    change(block(servers, EVENTS), message.data)
    await servers.start()
    async with opened(servers.settings()) as log:
        state = (await log.js.stream_info(EVENTS)).state
        assert (state.messages, state.last_seq, state.num_deleted or 0) == (9, 9, 0)
        assert await log.events.message_at(EVENTS, 6) is None
        yield log


@pytest.mark.guarantee("G11")
async def test_a_projection_does_not_go_on_over_an_event_that_cannot_be_read(unreadable: Log, tmp_path: Path) -> None:
    log, store = unreadable, SqliteStore(tmp_path / "store.db")
    runner = ProjectionRunner("read-models", 0, EVENTS, store, log.client, log.js, log.events, log.keys, 1)
    with pytest.raises(LogNotTrusted, match="does not give out 6 of"):
        async with asyncio.timeout(60):
            await runner.run(1)
    assert store.sequences() == [1, 2, 3, 4, 5]
    store.close()


@pytest.mark.guarantee("G11")
async def test_an_aggregate_is_not_folded_without_an_event_that_cannot_be_read(unreadable: Log) -> None:
    with pytest.raises(LogNotTrusted, match="1 of 2 messages"):
        await unreadable.events.read_subject(EVENTS, subjects.event_subject(0, subjects.memory(UID, "m-2")))
    assert (
        len(await unreadable.events.read_subject(EVENTS, subjects.event_subject(0, subjects.memory(UID, "m-1")))) == 2
    )


@pytest.mark.guarantee("G11")
async def test_commands_shorter_than_what_the_writer_has_handled_are_not_continued(servers: Servers) -> None:
    """New ones would stand where its consumer has been, and never be delivered."""
    stream = commands(0).name
    async with opened(servers.settings()) as log:
        await write(log)
        config = ConsumerConfig(durable_name=WRITER_CONSUMER, ack_policy=AckPolicy.EXPLICIT)
        await log.js.add_consumer(stream, config)  # pyright: ignore[reportUnknownMemberType]
        pull = await log.js.pull_subscribe_bind(WRITER_CONSUMER, stream)
        for message in await pull.fetch(4):
            await message.ack_sync()
        await pull.unsubscribe()
    await servers.stop()
    file = block(servers, stream)
    data = bytearray(file.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)  # the server cuts off what follows
    file.write_bytes(data)
    await servers.start()
    with pytest.raises(LogNotTrusted, match=f"{stream} ends at [12], but memory-writer has handled up to 4"):
        async with open_context("test", servers.settings(), asyncio.Event()):
            pass


@pytest.mark.guarantee("G11")
@pytest.mark.parametrize("stream", [EVENTS, USERS.name])
async def test_a_stream_that_the_server_cannot_recover_is_refused_at_once(servers: Servers, stream: str) -> None:
    async with opened(servers.settings()) as log:
        await write(log)
    await servers.stop()
    [file] = servers.home.nats.rglob(f"{stream}/meta.inf")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(LogNotTrusted, match=f"cannot recover {stream}"):
        async with asyncio.timeout(60):
            await servers.start()
