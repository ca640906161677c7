"""Parts of a Memlog that start side by side."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from contracts.errors import ConfigurationError
from runtime.probes import Probes
from standalone.supervision import Bare, Parts


async def test_nothing_is_started_any_more_once_a_part_has_failed() -> None:
    parts = Parts(Probes())
    started: list[str] = []

    @asynccontextmanager
    async def fails(_: Bare | None) -> AsyncGenerator[Bare]:
        started.append("first")
        raise ConfigurationError("it cannot be")
        yield

    @asynccontextmanager
    async def would_start(_: Bare | None) -> AsyncGenerator[Bare]:
        started.append("second")
        raise ConfigurationError("another reason")
        yield

    try:
        for name, start in (("first", fails), ("second", would_start)):
            with pytest.raises(ConfigurationError, match="it cannot be"):
                await parts.keep(name, start)
    finally:
        await parts.stop()
    assert started == ["first"]
