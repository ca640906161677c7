"""One Memlog, started as compose declares it, for all tests of this folder."""

import shutil
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from support.composed import SERVICES, Composed, composed


@pytest.fixture(scope="package")
async def running() -> AsyncGenerator[Composed]:
    # Not below pytest's own folder, which other users may not enter.
    folder = Path(tempfile.mkdtemp(prefix="memlog-composed-"))
    try:
        async with composed(folder) as here:
            for service in SERVICES:
                await here.start(service)
            await here.healthy("gateway")
            yield here
    finally:
        shutil.rmtree(folder, ignore_errors=True)
