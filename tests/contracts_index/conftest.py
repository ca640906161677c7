from collections.abc import Iterator
from pathlib import Path

import pytest
from contracts_index.adapters import ADAPTERS, DIMENSION, EMBEDDER, Open
from indexer.embedding.minilm import MiniLM
from indexer.index import MemoryIndex


@pytest.fixture(scope="session")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> MiniLM:
    return MiniLM.open(tmp_path_factory.mktemp("minilm"))


@pytest.fixture(params=sorted(ADAPTERS), scope="session")
def adapter(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def open_index(adapter: str) -> Open:
    return ADAPTERS[adapter]


@pytest.fixture
def index(open_index: Open, tmp_path: Path) -> Iterator[MemoryIndex]:
    opened = open_index(tmp_path, EMBEDDER, DIMENSION)
    yield opened
    opened.close()
