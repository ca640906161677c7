"""What a reader is told while a projection is behind."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from contracts.errors import Unavailable
from gateway.use_cases.freshness import Freshness
from support.recorded_events import UID
from support.servers import eventually


class _Positions:
    """A projection that gets on by 500 events whenever it is asked."""

    def __init__(self) -> None:
        self.at = 0

    def known(self, projection: str, shard: int) -> int:
        return self.at if projection == "read-models" else 10_000

    def highest(self, projection: str, shard: int) -> int:
        return self.known(projection, shard)

    async def ask(self, projection: str, shard: int) -> int:
        self.at = min(self.at + 500, 9_900)
        return self.at


async def test_a_read_is_told_how_far_a_projection_is_that_is_built_from_the_log_and_how_long_it_may_take() -> None:
    positions = _Positions()

    async def last_sequence(_: str) -> int:
        return 10_000

    fresh = Freshness(cast("Any", positions), cast("Any", SimpleNamespace(last_sequence=last_sequence)), 1)
    await fresh.open()
    with pytest.raises(Unavailable, match=r"read-models is being rebuilt from the log \(0 of 10000 events\)"):
        fresh.require(UID, ("read-models",))
    following = asyncio.create_task(fresh.follow())
    try:
        await eventually(lambda: positions.at >= 1_500)
        with pytest.raises(Unavailable, match=r"of 10000 events, about \d+ seconds left\)"):
            fresh.require(UID, ("read-models",))
        await eventually(lambda: positions.at >= 9_900)
        with pytest.raises(Unavailable, match=r"catching up with the log \(9900 of 10000 events\); try again"):
            fresh.require(UID, ("read-models",))
        fresh.require(UID, ("index",))
    finally:
        following.cancel()
