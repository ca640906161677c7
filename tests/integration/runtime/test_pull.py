"""Pulling from a real server: at once what is there, and back after a restart."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest
from contracts.errors import Unavailable
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, StorageType, StreamConfig
from runtime.pull import ConsumerGone, Pull
from support.servers import Log, Servers, eventually, opened

STREAM, CONSUMER = "NUMBERS", "reader"


async def _prepare(js: JetStreamContext) -> None:
    await js.add_stream(  # pyright: ignore[reportUnknownMemberType]
        StreamConfig(name=STREAM, subjects=["numbers"], storage=StorageType.FILE)
    )
    await js.add_consumer(  # pyright: ignore[reportUnknownMemberType]
        STREAM, ConsumerConfig(durable_name=CONSUMER, ack_policy=AckPolicy.EXPLICIT, ack_wait=1.0, max_waiting=8)
    )


async def _publish(js: JetStreamContext, numbers: range) -> None:
    for number in numbers:
        await js.publish("numbers", str(number).encode())


async def _take(pull: Pull, count: int) -> list[int]:
    taken: list[int] = []
    async with asyncio.timeout(60):
        while len(taken) < count:
            for message in await pull.batch(100):
                taken.append(int(message.data))
                await message.ack()
    return taken


@pytest.fixture
async def pull(log: Log) -> AsyncGenerator[Pull]:
    await _prepare(log.js)
    async with Pull(log.client, STREAM, CONSUMER, demand=10) as pull:
        yield pull


async def test_a_batch_is_what_is_there(log: Log, pull: Pull) -> None:
    await _publish(log.js, range(3))
    assert await _take(pull, 3) == [0, 1, 2]  # and not once there are a hundred, which is never


async def test_a_batch_waits_for_the_first_message_only(log: Log, pull: Pull) -> None:
    waiting = asyncio.ensure_future(pull.batch(100))
    await eventually(lambda: pull.demanded > 0)
    assert not waiting.done()
    await _publish(log.js, range(1))
    assert [int(message.data) for message in await asyncio.wait_for(waiting, 60)] == [0]


async def test_a_batch_has_a_limit_and_nothing_is_lost_beyond_it(log: Log, pull: Pull) -> None:
    await _publish(log.js, range(35))
    first = await pull.batch(4)
    assert 1 <= len(first) <= 4
    for message in first:
        await message.ack()
    rest = await _take(pull, 35 - len(first))
    assert [*(int(message.data) for message in first), *rest] == list(range(35))


async def test_a_batch_that_stays_empty_is_empty_after_its_idle_time(log: Log, pull: Pull) -> None:
    began = time.monotonic()
    assert await asyncio.wait_for(pull.batch(10, idle=0.3), 60) == []
    assert time.monotonic() - began > 0.25
    await _publish(log.js, range(1))
    assert [int(message.data) for message in await pull.batch(10, idle=60)] == [0]


async def test_an_idle_consumer_is_not_a_silent_one(log: Log, pull: Pull) -> None:
    """Heartbeats keep the wait alive for longer than silence is tolerated."""
    began = time.monotonic()
    assert await pull.batch(10, idle=6.0) == []
    assert time.monotonic() - began > 5.9


async def test_a_consumer_that_is_deleted_is_gone(log: Log, pull: Pull) -> None:
    waiting = asyncio.ensure_future(pull.batch(10))
    await eventually(lambda: pull.demanded > 0)
    await log.client.flush()
    await log.js.delete_consumer(STREAM, CONSUMER)
    with pytest.raises(Unavailable):
        await asyncio.wait_for(waiting, 60)


async def test_a_consumer_that_never_was_is_gone(log: Log, pull: Pull) -> None:
    async with Pull(log.client, STREAM, "nobody") as other:
        with pytest.raises(ConsumerGone):
            await asyncio.wait_for(other.batch(10), 60)


@pytest.mark.parametrize("end", [Servers.stop, Servers.kill], ids=["stop", "kill"])
async def test_after_a_server_restart_the_messages_go_on(
    servers: Servers, end: Callable[[Servers], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.pull._SILENCE_S", 600.0)  # that the connection was lost is noticed, not silence
    async with opened(servers.settings()) as log:
        await _prepare(log.js)
        async with Pull(log.client, STREAM, CONSUMER, demand=10) as pull:
            await _publish(log.js, range(3))
            assert await _take(pull, 3) == [0, 1, 2]
            await log.client.flush()
            await end(servers)
            await servers.start()
            await eventually(lambda: log.client.is_connected)
            await _publish(log.js, range(3, 6))
            with pytest.raises(Unavailable):  # its owner starts over, from what it knows
                await asyncio.wait_for(pull.batch(10), 60)
        async with Pull(log.client, STREAM, CONSUMER, demand=10) as again:
            taken: list[int] = []
            while not taken or taken[-1] != 5:
                taken += await _take(again, 1)
    # What was acknowledged just before a kill may come again, before what is new.
    assert sorted(set(taken) - {0, 1, 2}) == [3, 4, 5]
    assert taken == sorted(taken)


async def test_leaving_ends_the_subscription(log: Log) -> None:
    await _prepare(log.js)
    before = _subscriptions(log.client)
    async with Pull(log.client, STREAM, CONSUMER) as pull:
        assert await pull.batch(1, idle=0.05) == []
        assert _subscriptions(log.client) == before + 1
    assert _subscriptions(log.client) == before


def _subscriptions(client: Client) -> int:
    return len(client._subs)  # pyright: ignore[reportPrivateUsage]
