from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from contracts_index.adapters import (
    ADAPTERS,
    DIMENSION,
    EMBEDDER,
    SERVER_URL,
    Open,
    Place,
    connect_server,
    drop_server_collections,
    server_alias,
)
from contracts_index.local_server import LocalServer, LocalWords
from indexer.embedding.minilm import MiniLM
from indexer.index import MemoryIndex


@pytest.fixture(scope="session")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> MiniLM:
    return MiniLM.open(tmp_path_factory.mktemp("minilm"))


@pytest.fixture
def in_memory(tmp_path: Path) -> Generator[Path]:
    """A folder of which nothing reaches a disk, where the system has such: making an index waits for the disk often."""
    if not Path("/dev/shm").is_dir():
        yield tmp_path
        return
    with TemporaryDirectory(prefix="memlog-", dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture(params=sorted(ADAPTERS), scope="session")
def adapter(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def open_index(adapter: str) -> Open:
    return ADAPTERS[adapter]


@pytest.fixture
async def index(open_index: Open, tmp_path: Path) -> AsyncGenerator[MemoryIndex]:
    opened = await open_index(tmp_path, EMBEDDER, DIMENSION)
    yield opened
    await opened.close()


REAL = pytest.mark.skipif(not SERVER_URL, reason="MEMLOG_QDRANT_URL names no server")


@pytest.fixture(params=["local-server", pytest.param("server", marks=REAL)])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Place]:
    if request.param == "server":
        place = Place(connect_server(), server_alias(tmp_path), None)
    else:
        place = Place(LocalServer(), "memlog", LocalWords())
    yield place
    await place.client.close()


@pytest.fixture(scope="session", autouse=True)
async def clean_server() -> AsyncGenerator[None]:
    """Leaves nothing on a real server."""
    yield
    await drop_server_collections()
