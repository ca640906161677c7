from collections.abc import AsyncGenerator

import pytest
from indexer.embedding.minilm import MiniLM
from support.categorizer import FaultyEmbedder
from support.servers import Log
from support.writer import Sender, writing


@pytest.fixture(scope="session")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> MiniLM:
    return MiniLM.open(tmp_path_factory.mktemp("minilm"))


@pytest.fixture
def embedder(minilm: MiniLM) -> FaultyEmbedder:
    return FaultyEmbedder(minilm)


@pytest.fixture
async def ada(log: Log) -> AsyncGenerator[Sender]:
    """A user with an app, and a writer that runs."""
    async with writing(log):
        yield await (await Sender(log).open()).register()
