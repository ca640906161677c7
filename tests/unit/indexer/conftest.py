from pathlib import Path

import pytest
from indexer.embedding.minilm import MiniLM


@pytest.fixture(scope="session")
def minilm_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("minilm")


@pytest.fixture(scope="session")
def minilm(minilm_cache: Path) -> MiniLM:
    return MiniLM.open(minilm_cache)
