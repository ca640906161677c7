"""Reads are refused while a projection is behind what it, or the log, was known to hold."""

import pytest
from contracts.errors import Unavailable
from contracts.streams import INDEX, READ_MODELS
from gateway.use_cases.freshness import Freshness


class _Positions:
    def __init__(self) -> None:
        self.at: dict[str, int] = {}
        self.top: dict[str, int] = {}

    def known(self, projection: str, _shard: int) -> int:
        return self.at.get(projection, 0)

    def highest(self, projection: str, _shard: int) -> int:
        return self.top.get(projection, 0)


class _Log:
    async def last_sequence(self, _stream: str) -> int:
        return 7


@pytest.mark.guarantee("G4")
async def test_a_read_waits_for_the_end_of_the_log_at_start_and_for_a_projection_that_went_back() -> None:
    positions = _Positions()
    freshness = Freshness(positions, _Log(), 1)  # pyright: ignore[reportArgumentType]
    await freshness.open()
    with pytest.raises(Unavailable, match="0 of 7"):
        freshness.require("uid", (READ_MODELS,))
    positions.at = {READ_MODELS: 7, INDEX: 6}
    freshness.require("uid", (READ_MODELS,))
    with pytest.raises(Unavailable, match="index"):
        freshness.require("uid", (READ_MODELS, INDEX))
    positions.at = {READ_MODELS: 9, INDEX: 9}
    assert freshness.lag() == []
    positions.top = {READ_MODELS: 12}  # it had been at 12, and came back from a crash at 9
    with pytest.raises(Unavailable, match="9 of 12"):
        freshness.require("uid", (READ_MODELS,))
