"""One Memlog for all tests of this folder, started as a user would; tests keep apart by user names."""

from collections.abc import AsyncGenerator

import pytest
from support.inside import Inside, inside
from support.stack import Stack, running_stack


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stack]:
    async with running_stack(tmp_path_factory.mktemp("memlog")) as running:
        yield running


@pytest.fixture(scope="session", params=["1", "3"], ids=["1 shard", "3 shards"])
async def sharded(
    request: pytest.FixtureRequest, stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Stack]:
    """The core tests run on one shard and on three."""
    if request.param == "1":
        yield stack
        return
    async with running_stack(tmp_path_factory.mktemp("memlog3"), MEMLOG_SHARDS="3") as running:
        yield running


@pytest.fixture(scope="session")
async def memlog() -> AsyncGenerator[Inside]:
    """One that runs in the tests' own process, for tests that reach behind its doors."""
    async with inside() as running:
        yield running
