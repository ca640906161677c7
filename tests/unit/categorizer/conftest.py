import pytest
from indexer.embedding.minilm import MiniLM


@pytest.fixture(scope="session")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> MiniLM:
    return MiniLM.open(tmp_path_factory.mktemp("minilm"))
