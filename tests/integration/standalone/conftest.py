"""Real servers, started the way `memlog up` starts them."""

import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest


@pytest.fixture
def home_path() -> Generator[Path]:
    """A MEMLOG_HOME to be, in a folder of 0700 that only this user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="memlog-"))
    yield folder / "home"
    shutil.rmtree(folder)
