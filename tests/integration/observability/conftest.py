"""One Memlog that is watched, for all tests of this folder."""

from collections.abc import AsyncGenerator

import pytest
from support import watched as support
from support.watched import Watched


@pytest.fixture(scope="package")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Watched]:
    async with support.watched(tmp_path_factory.mktemp("watched")) as running:
        yield running
