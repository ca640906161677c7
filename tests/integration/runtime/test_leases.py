"""Leases on a real server: one owner at a time, quickly another when it dies, at once when it stops."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from contracts.streams import LEASE_BUCKET
from runtime.leases import Leases
from support.servers import Log, Servers, eventually, opened, running

NAME = "memory-writer.0"
TTL = 2.0


class Owners:
    """Who owns, now and before: bodies of leases report here."""

    def __init__(self) -> None:
        self.now: list[str] = []
        self.epochs: list[int] = []
        self.most_at_once = 0

    def body(self, who: str) -> Callable[[int], Awaitable[None]]:
        async def own(epoch: int) -> None:
            self.now.append(who)
            self.epochs.append(epoch)
            self.most_at_once = max(self.most_at_once, len(self.now))
            try:
                await asyncio.Event().wait()
            finally:
                self.now.remove(who)

        return own


@pytest.fixture
def owners() -> Owners:
    return Owners()


async def test_one_of_many_owns(log: Log, owners: Owners) -> None:
    async with AsyncExitStack() as stack:
        for n in range(5):
            leases = await log.leases(f"p{n}", ttl=TTL)
            await stack.enter_async_context(running(leases.run_owned(NAME, owners.body(f"p{n}"))))
        await eventually(lambda: owners.now)
        until = time.monotonic() + 2 * TTL
        await eventually(lambda: time.monotonic() > until)
        assert len(owners.epochs) == owners.most_at_once == 1


async def test_different_names_have_different_owners(log: Log, owners: Owners) -> None:
    leases = await log.leases("p", ttl=TTL)
    async with running(leases.run_owned("a.0", owners.body("a"))), running(leases.run_owned("a.1", owners.body("b"))):
        await eventually(lambda: len(owners.now) == 2)


async def test_a_stopped_owner_gives_the_lease_back_at_once(log: Log, owners: Owners) -> None:
    ttl = 600.0  # nobody waits that long here
    async with running((await log.leases("first", ttl=ttl)).run_owned(NAME, owners.body("first"))):
        await eventually(lambda: owners.now == ["first"])
    async with running((await log.leases("second", ttl=ttl)).run_owned(NAME, owners.body("second"))):
        await eventually(lambda: owners.now == ["second"])
    assert owners.epochs == sorted(set(owners.epochs))


async def test_the_lease_of_a_body_that_ends_is_given_back(log: Log, owners: Owners) -> None:
    async def short(_epoch: int) -> None:
        return

    await asyncio.wait_for((await log.leases("first", ttl=600)).run_owned(NAME, short), 60)
    async with running((await log.leases("second", ttl=600)).run_owned(NAME, owners.body("second"))):
        await eventually(lambda: owners.now)


async def test_an_error_of_the_body_comes_out_and_gives_the_lease_back(log: Log, owners: Owners) -> None:
    async def failing(_epoch: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for((await log.leases("first", ttl=600)).run_owned(NAME, failing), 60)
    async with running((await log.leases("second", ttl=600)).run_owned(NAME, owners.body("second"))):
        await eventually(lambda: owners.now)


async def test_a_silent_death_is_taken_over_within_the_time_to_live(servers: Servers, owners: Owners) -> None:
    async with opened(servers.settings()) as dying, opened(servers.settings()) as log:
        first = await dying.leases("first", ttl=TTL)
        async with running(first.run_owned(NAME, owners.body("first"))):
            await eventually(lambda: owners.now == ["first"])
            async with running((await log.leases("second", ttl=TTL)).run_owned(NAME, owners.body("second"))):
                await dying.client.close()  # it can neither renew nor release
                await eventually(lambda: "second" in owners.now)
                assert not first.holds(NAME), "its time was over"
                await eventually(lambda: owners.now == ["second"])
    first_epoch, second_epoch = owners.epochs
    assert second_epoch > first_epoch


async def test_where_nobody_else_can_be_alive_a_dead_owners_lease_is_taken_at_once(log: Log, owners: Owners) -> None:
    bucket = await log.js.key_value((await log.leases("x")) and LEASE_BUCKET)
    await bucket.put(NAME, b"dead@host:1")  # pyright: ignore[reportUnknownMemberType]
    async with running((await log.leases("me", ttl=600, sole=True)).run_owned(NAME, owners.body("me"))):
        await eventually(lambda: owners.now)


async def test_a_lost_lease_cancels_the_body_and_stands_by_again(log: Log, owners: Owners) -> None:
    leases = await log.leases("me", ttl=TTL)
    bucket = await log.js.key_value(LEASE_BUCKET)
    async with running(leases.run_owned(NAME, owners.body("me"))):
        await eventually(lambda: owners.now)
        await bucket.put(NAME, b"thief@host:1")  # pyright: ignore[reportUnknownMemberType]
        await eventually(lambda: not owners.now)
        await eventually(lambda: owners.now)  # the thief never renews
    assert owners.epochs == sorted(set(owners.epochs))
    assert len(owners.epochs) == 2


async def test_two_owners_of_one_name_are_still_two(log: Log, owners: Owners) -> None:
    """Hosts may share a name and processes a number: that must not make them one owner."""
    one, other = await log.leases("w@host:7", ttl=TTL), await log.leases("w@host:7", ttl=TTL, sole=True)
    async with running(one.run_owned(NAME, owners.body("one"))):
        await eventually(lambda: owners.now == ["one"])
        async with running(other.run_owned(NAME, owners.body("other"))):  # takes the lease, as after a long silence
            await eventually(lambda: owners.now == ["other"])
            until = time.monotonic() + 2 * TTL
            await eventually(lambda: time.monotonic() > until)
            assert owners.now == ["other"]


async def test_a_renewed_lease_outlives_its_time_to_live(log: Log, owners: Owners) -> None:
    async with running((await log.leases("me", ttl=TTL)).run_owned(NAME, owners.body("me"))):
        await eventually(lambda: owners.now)
        bucket = await log.js.key_value(LEASE_BUCKET)
        first = (await bucket.get(NAME)).revision or 0

        async def renewed() -> bool:
            return ((await bucket.get(NAME)).revision or 0) >= first + 5

        await eventually(renewed)
        assert len(owners.epochs) == 1


async def test_after_an_outage_the_owner_resumes_without_waiting_for_its_own_lease(
    servers: Servers, owners: Owners
) -> None:
    async with opened(servers.settings()) as log:
        leases = await log.leases("me", ttl=2)
        async with running(leases.run_owned(NAME, owners.body("me"))):
            await eventually(lambda: owners.now)
            await servers.stop()
            await eventually(lambda: not owners.now)
            leases._ttl = 600.0  # pyright: ignore[reportPrivateUsage] - whatever is waited for, it is not the end of this
            await servers.start()
            await eventually(lambda: owners.now)
    assert isinstance(owners.epochs[-1], int)


async def test_the_bucket_is_opened_by_many_at_once(log: Log) -> None:
    opened_ = await asyncio.gather(*(Leases.open(log.js, f"p{n}", TTL, 1, False) for n in range(8)))
    assert len(opened_) == 8
