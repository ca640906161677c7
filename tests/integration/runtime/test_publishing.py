"""Many messages in order without waiting for each: all at their places, or an error."""

import pytest
from contracts.errors import ConcurrencyConflict, Unavailable
from contracts.streams import DEAD
from runtime.publishing import Outgoing, publisher
from runtime.stream_reading import pages
from support.servers import Log


def outgoing(first: int, count: int) -> list[Outgoing]:
    return [
        Outgoing(f"memlog.dead.x.0.{n % 3}", f"{n}".encode(), {"number": str(n)}, n - 1)
        for n in range(first, first + count)
    ]


async def test_messages_stand_in_the_order_in_which_they_were_given(log: Log) -> None:
    async with publisher(log.client) as publishing:
        await publishing.publish(outgoing(1, 700))
        await publishing.publish([])
        await publishing.publish(outgoing(701, 300))
    found = [message async for page in pages(log.events, DEAD.name, 1, 1000) for message in page]
    assert [(m.sequence, m.data, m.headers["number"]) for m in found] == [
        (n, f"{n}".encode(), str(n)) for n in range(1, 1001)
    ]


async def test_somebody_else_who_writes_to_the_stream_is_noticed(log: Log) -> None:
    async with publisher(log.client) as publishing:
        await publishing.publish(outgoing(1, 5))
        await log.js.publish("memlog.dead.x.0.other", b"somebody else")
        with pytest.raises(ConcurrencyConflict):
            await publishing.publish(outgoing(6, 5))


async def test_a_stream_that_is_not_there_is_an_error(log: Log) -> None:
    async with publisher(log.client) as publishing:
        with pytest.raises(Unavailable):
            await publishing.publish([Outgoing("memlog.nowhere.x", b"", {}, 0)])
