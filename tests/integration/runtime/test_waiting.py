"""Waiting for positions: announced, asked for, bounded."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from contracts.api import Announcement
from contracts.positions import Position
from contracts.subjects import announcement_subject, position_request_subject
from nats.aio.msg import Msg
from runtime.nats import subscribe
from runtime.waiting import Positions
from support.servers import Log, eventually


@pytest.fixture
async def positions(log: Log) -> AsyncGenerator[Positions]:
    positions = Positions(log.client)
    await positions.open()
    yield positions
    await positions.close()


async def _announce(log: Log, projection: str, sequence: int, shard: int = 0, run: int = 0) -> None:
    said = Announcement(projection=projection, shard=shard, sequence=sequence, run=run)
    await log.client.publish(announcement_subject(projection, shard), said.model_dump_json().encode())


@pytest.mark.guarantee("G4")
async def test_a_wait_ends_when_all_projections_have_passed(log: Log, positions: Positions) -> None:
    waiting = asyncio.ensure_future(positions.wait(["index", "read-models"], Position(0, 5), 60))
    await _announce(log, "index", 7)
    await eventually(lambda: positions.known("index", 0) == 7)
    assert not waiting.done()
    await _announce(log, "read-models", 4)
    await eventually(lambda: positions.known("read-models", 0) == 4)
    assert not waiting.done()
    await _announce(log, "read-models", 5)
    assert await waiting


async def test_a_position_that_was_passed_before_needs_no_wait(log: Log, positions: Positions) -> None:
    await _announce(log, "index", 7)
    await eventually(lambda: positions.known("index", 0) == 7)
    assert await asyncio.wait_for(positions.wait(["index"], Position(0, 7), 600), 60)


@pytest.mark.guarantee("G4")
async def test_a_wait_is_bounded_and_says_so(positions: Positions) -> None:
    assert not await asyncio.wait_for(positions.wait(["index"], Position(0, 1), 0.3), 60)


async def test_shards_and_projections_are_not_mixed_up(log: Log, positions: Positions) -> None:
    await _announce(log, "index", 9, shard=1)
    await _announce(log, "access-log", 9, shard=0)
    await eventually(lambda: positions.known("access-log", 0) == 9)
    assert not await positions.wait(["index"], Position(0, 1), 0.1)
    assert await positions.wait(["index"], Position(1, 9), 60)


async def test_an_announcement_that_was_lost_is_asked_for(log: Log, positions: Positions) -> None:
    async def answer(message: Msg) -> None:
        await message.respond(Announcement(projection="index", shard=0, sequence=8).model_dump_json().encode())

    subscription = await subscribe(log.client, position_request_subject("index", 0), answer)
    assert await positions.wait(["index"], Position(0, 8), 60)
    assert await positions.ask("index", 0) == 8
    await subscription.unsubscribe()
    assert await positions.ask("index", 0, timeout=0.2) is None


async def test_many_waiters_for_different_positions_all_return(log: Log, positions: Positions) -> None:
    waiting = [asyncio.ensure_future(positions.wait(["index"], Position(0, n), 60)) for n in range(200, 0, -1)]
    for sequence in (50, 120, 200):
        await _announce(log, "index", sequence)
    assert all(await asyncio.gather(*waiting))


async def test_a_projection_that_began_anew_is_not_believed_to_be_ahead(log: Log, positions: Positions) -> None:
    await _announce(log, "index", 100, run=1)
    await eventually(lambda: positions.known("index", 0) == 100)
    await _announce(log, "index", 3, run=2)  # it is rebuilt
    await eventually(lambda: positions.known("index", 0) == 3)
    assert not await positions.wait(["index"], Position(0, 50), 0.1)


async def test_an_answer_that_comes_late_takes_nothing_back(log: Log, positions: Positions) -> None:
    await _announce(log, "index", 10, run=2)
    await _announce(log, "index", 9, run=2)
    await _announce(log, "index", 500, run=1)
    await _announce(log, "read-models", 1)
    await eventually(lambda: positions.known("read-models", 0) == 1)
    assert positions.known("index", 0) == 10


async def test_a_wait_that_is_cancelled_disturbs_nobody(log: Log, positions: Positions) -> None:
    given_up = asyncio.ensure_future(positions.wait(["index"], Position(0, 5), 60))
    other = asyncio.ensure_future(positions.wait(["index"], Position(0, 5), 60))
    await asyncio.sleep(0)
    given_up.cancel()
    await _announce(log, "index", 5)
    assert await other
    with pytest.raises(asyncio.CancelledError):
        await given_up
