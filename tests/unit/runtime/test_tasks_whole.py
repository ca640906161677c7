"""What has to be done whole is, however often its task is cancelled."""

import asyncio

import pytest
from runtime.tasks import end, to_its_end


async def test_what_is_under_way_ends_before_a_cancellation_that_is_repeated_comes_out() -> None:
    begun, given_back = asyncio.Event(), asyncio.Event()
    may_go_on = asyncio.Event()

    async def give_back() -> None:
        begun.set()
        await may_go_on.wait()
        given_back.set()

    task = asyncio.ensure_future(to_its_end(give_back()))
    await begun.wait()
    for _ in range(3):
        assert not await end(task, within=0.01)
    may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert given_back.is_set()


async def test_an_error_of_it_comes_out() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await to_its_end(fail())
