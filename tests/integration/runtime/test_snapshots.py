"""Snapshots on a real server: what is restored is what was there, to the byte; what is damaged is refused."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from contracts.errors import MemlogError
from contracts.streams import DEAD
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError
from runtime import snapshots
from runtime.event_store import StoredMessage
from runtime.snapshots import Snapshot, SnapshotFailed, StreamState, restore, snapshot
from runtime.stream_reading import digest, own_headers, pages
from support.servers import Log, Servers, opened

STREAM = DEAD.name
CHANCE = random.Random(20261122)


async def fill(log: Log, count: int = 40, size: int = 0) -> None:
    for number in range(count):
        data = CHANCE.randbytes(size) or f"Zürich {number} ✈".encode()
        await log.js.publish(f"memlog.dead.x.0.{number % 7}", data, headers={"traceparent": f"00-{number}"})


async def stored(log: Log, stream: str = STREAM) -> list[StoredMessage]:
    last = await log.events.last_sequence(stream)
    return [message async for page in pages(log.events, stream, 1, last) for message in page]


async def take(log: Log, stream: str = STREAM) -> tuple[Snapshot, list[bytes]]:
    async with snapshot(log.client, stream) as taken:
        return taken, [chunk async for chunk in taken.chunks]


async def again(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def restored(log: Log, taken: Snapshot, chunks: Iterable[bytes]) -> StreamState:
    return await restore(log.client, taken.config, taken.raw_state, again(chunks))


async def test_sequences_times_subjects_headers_and_bytes_come_back_as_they_were(log: Log) -> None:
    await fill(log)
    for gone in (1, 2, 17, 40):  # the beginning, a hole, and the end
        await log.js.delete_msg(STREAM, gone)
    before, config = await stored(log), (await log.js.stream_info(STREAM)).config
    taken, chunks = await take(log)
    assert taken.state == StreamState(messages=36, first=3, last=40)
    await log.js.delete_stream(STREAM)
    assert await restored(log, taken, chunks) == taken.state
    assert await stored(log) == before and len(before) == 36
    assert own_headers(before[0]) == {"traceparent": "00-2"}
    after = (await log.js.stream_info(STREAM)).config
    assert (after.subjects, after.discard, after.allow_direct) == (config.subjects, config.discard, config.allow_direct)
    # Sequence numbers are never used twice.
    assert (await log.js.publish("memlog.dead.x.0.new", b"")).seq == 41


async def test_a_stream_that_is_or_was_made_empty_comes_back_empty_and_goes_on_where_it_was(log: Log) -> None:
    for count in (0, 5):
        await fill(log, count)
        await log.js.purge_stream(STREAM)
        taken, chunks = await take(log)
        await log.js.delete_stream(STREAM)
        state = await restored(log, taken, chunks)
        assert (state.messages, state.last) == (0, count)
        assert (await log.js.publish("memlog.dead.x.0.new", b"")).seq == count + 1
        await log.js.delete_stream(STREAM)
        await log.js.add_stream(StreamConfig(name=STREAM, subjects=["memlog.dead.>"], allow_direct=True))  # pyright: ignore[reportUnknownMemberType]


async def test_a_snapshot_is_of_one_moment_while_the_stream_goes_on(log: Log) -> None:
    await fill(log, 50)
    writing = asyncio.create_task(fill(log, 300))
    async with snapshot(log.client, STREAM) as taken:
        await writing
        chunks = [chunk async for chunk in taken.chunks]
    assert 50 <= taken.state.last < 350
    should = await digest(log.events, STREAM, 1, taken.state.last)
    await log.js.delete_stream(STREAM)
    assert await restored(log, taken, chunks) == taken.state
    found = await digest(log.events, STREAM, 1, taken.state.last)
    assert (found.messages, found.hexdigest()) == (should.messages, should.hexdigest())


async def test_who_reads_slowly_holds_no_more_than_a_window(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_CHUNK", 4096)
    monkeypatch.setattr(snapshots, "_WINDOW", 16 * 1024)
    await fill(log, 60, size=8192)
    async with snapshot(log.client, STREAM) as taken:
        held: list[int] = []
        total = 0
        async for chunk in taken.chunks:
            total += len(chunk)
            await log.client.flush()  # all that the server has sent by now is here
            held.append(log.client.stats["in_bytes"] - total)
    assert total > 60 * 8192
    slack = held[0] + 16 * 1024  # what else came over this connection before
    assert max(held) - held[0] <= slack and len(held) > 100


@pytest.mark.parametrize("cut", [0, 1, 500, 0.5, -1])
async def test_a_snapshot_that_is_cut_off_is_not_restored(log: Log, cut: float) -> None:
    await fill(log, 30)
    taken, chunks = await take(log)
    whole = b"".join(chunks)
    await log.js.delete_stream(STREAM)
    end = int(len(whole) * cut) if isinstance(cut, float) else cut
    with pytest.raises(SnapshotFailed, match="restore MEMLOG_DEAD"):
        await restored(log, taken, [whole[:end]])


async def test_a_snapshot_with_a_byte_changed_is_not_restored_as_if_it_were_whole(log: Log) -> None:
    await fill(log, 30)
    before = (await digest(log.events, STREAM, 1, 30)).hexdigest()
    taken, chunks = await take(log)
    whole = b"".join(chunks)
    for at in CHANCE.sample(range(len(whole)), 12):
        with contextlib.suppress(NotFoundError):  # the last try made none
            await log.js.delete_stream(STREAM)
        changed = bytearray(whole)
        changed[at] ^= 1 << CHANCE.randrange(8)
        try:
            await restored(log, taken, [bytes(changed)])
        except SnapshotFailed:
            continue
        assert (await digest(log.events, STREAM, 1, 30)).hexdigest() != before


async def test_what_is_there_is_never_overwritten_and_what_is_not_there_cannot_be_copied(log: Log) -> None:
    await fill(log, 3)
    taken, chunks = await take(log)
    with pytest.raises(SnapshotFailed, match="in use"):
        await restored(log, taken, chunks)
    assert len(await stored(log)) == 3
    with pytest.raises(SnapshotFailed, match="not found"):
        await take(log, "MEMLOG_NOTHING")


class Losing:
    """A connection on which the third chunk of a snapshot is lost."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def subscribe(self, subject: str, **options: Any) -> Any:
        arrive, count = options.pop("cb"), 0

        async def some(message: Any) -> None:
            nonlocal count
            count += 1
            if count == 3:
                await self._client.publish(message.reply, b"")
            else:
                await arrive(message)

        return await self._client.subscribe(subject, cb=some, **options)


async def test_a_chunk_that_is_lost_on_the_way_is_noticed(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_CHUNK", 1024)
    await fill(log, 20, size=1024)
    client: Any = Losing(log.client)
    with pytest.raises(SnapshotFailed, match=r"chunk 3 .* was lost"):
        async with snapshot(client, STREAM) as taken:
            async for _ in taken.chunks:
                pass


async def test_a_server_that_dies_in_the_middle_is_an_error_and_not_the_end(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_CHUNK", 1024)
    monkeypatch.setattr(snapshots, "_WINDOW", 4096)
    monkeypatch.setattr(snapshots, "_SILENCE", 0.5)
    async with opened(servers.settings()) as log:
        await fill(log, 30, size=2048)
        with pytest.raises(MemlogError, match="MEMLOG_DEAD"):
            async with snapshot(log.client, STREAM) as taken:
                await anext(taken.chunks)
                await servers.kill()
                async for _ in taken.chunks:
                    pass
        await servers.start()
