"""The leases of a role's shards spread over the processes that stand for them."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from contracts.streams import LEASE_BUCKET
from runtime.leases import Leases
from support.servers import Log, eventually, running

TTL = 1.0
SHARDS = [f"index.{shard}" for shard in range(4)]


class Owned:
    """Who owns which lease, now, and how often one was given out."""

    def __init__(self) -> None:
        self.by: dict[str, str] = {}
        self.given = 0
        self.two_at_once = False

    def body(self, name: str, who: str) -> Callable[[int], Awaitable[None]]:
        async def own(_epoch: int) -> None:
            self.two_at_once |= name in self.by
            self.by[name] = who
            self.given += 1
            try:
                await asyncio.Event().wait()
            finally:
                del self.by[name]

        return own

    @property
    def counts(self) -> list[int]:
        return sorted(Counter(self.by.values()).values())


@pytest.fixture
def owned() -> Owned:
    return Owned()


@asynccontextmanager
async def process(leases: Leases, owned: Owned, who: str, names: list[str]) -> AsyncGenerator[None]:
    """A process that stands for some leases."""
    async with AsyncExitStack() as stack:
        for name in names:
            await stack.enter_async_context(running(leases.run_owned(name, owned.body(name, who))))
        yield


async def renewals(log: Log, name: str, times: int) -> None:
    """Wait until a lease was renewed so often."""
    bucket = await log.js.key_value(LEASE_BUCKET)
    first = (await bucket.get(name)).revision or 0

    async def renewed() -> bool:
        # Each renewal of each of the leases is a revision.
        return ((await bucket.get(name)).revision or 0) >= first + times * len(SHARDS)

    await eventually(renewed)


async def test_each_process_that_joins_gets_its_share_and_then_nothing_moves_any_more(log: Log, owned: Owned) -> None:
    async with process(await log.leases("first", ttl=TTL), owned, "first", SHARDS):
        await eventually(lambda: owned.counts == [4])
        async with process(await log.leases("second", ttl=TTL), owned, "second", SHARDS):
            await eventually(lambda: owned.counts == [2, 2])
            async with process(await log.leases("third", ttl=TTL), owned, "third", SHARDS):
                await eventually(lambda: owned.counts == [1, 1, 2])
                assert owned.given == 4 + 2 + 1, "no more than had to move"
                await renewals(log, SHARDS[0], 6)
                assert owned.given == 4 + 2 + 1
            await eventually(lambda: owned.counts == [2, 2])
        await eventually(lambda: owned.counts == [4])
    assert not owned.two_at_once


async def test_work_that_is_no_shard_s_stays_where_it_is(log: Log, owned: Owned) -> None:
    names = ["generations.index", "generations.read-models"]
    async with process(await log.leases("first", ttl=TTL), owned, "first", names):
        await eventually(lambda: owned.counts == [2])
        async with process(await log.leases("second", ttl=TTL), owned, "second", names):
            await renewals(log, names[0], 4)
            assert owned.given == 2


async def test_what_is_left_to_a_process_that_died_is_taken_by_another(log: Log, owned: Owned) -> None:
    bucket = await log.js.key_value((await log.leases("x")) and LEASE_BUCKET)
    await bucket.put(SHARDS[0], b"?dead@host:1")  # pyright: ignore[reportUnknownMemberType]
    async with process(await log.leases("living", ttl=TTL), owned, "living", SHARDS[:1]):
        await eventually(lambda: owned.by)


async def test_an_owner_that_stops_leaves_its_lease_to_who_wished_for_it(log: Log, owned: Owned) -> None:
    ttl = 600.0  # nobody waits, or renews, that long here
    bucket = await log.js.key_value((await log.leases("x")) and LEASE_BUCKET)
    async with process(await log.leases("first", ttl=ttl), owned, "first", SHARDS[:1]):
        await eventually(lambda: owned.by)
        entry = await bucket.get(SHARDS[0])
        wished = (entry.value or b"") + b"?second@host:1"
        await bucket.update(SHARDS[0], wished, last=entry.revision)  # pyright: ignore[reportUnknownMemberType]
    assert (await bucket.get(SHARDS[0])).value == b"?second@host:1"
