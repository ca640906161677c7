"""What only the server's adapter has to do: owners that overlap, a collection that is lost, a server that is gone."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from contracts.errors import ConcurrencyConflict, ConfigurationError, Unavailable
from contracts_index.adapters import (
    DIMENSION,
    EMBEDDER,
    Place,
    WithClient,
    apply,
    at,
    found,
    open_made,
    put,
    revise,
    vector,
)
from contracts_index.local_server import Interruptions, LocalServer, LocalWords
from indexer import qdrant_server_connection
from indexer.container import open_shelf
from indexer.edge_shelf import EdgeShelf
from indexer.index import Change, MemoryIndex, Remove, SearchFilter, SetCategories, SetState
from indexer.qdrant_server import ServerIndex
from indexer.qdrant_server_connection import connect_qdrant
from indexer.server_shelf import ServerShelf
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException
from runtime.settings import Settings

ANN = SearchFilter("ann")
ALL_STATES = SearchFilter("ann", states=("active", "paused", "archived"))


async def open_on(client: AsyncQdrantClient) -> ServerIndex:
    return await open_made(ServerIndex, client, "memlog", words=LocalWords())


async def test_an_older_owner_is_refused(place: Place) -> None:
    former, newer = await place.open(), await place.open()
    await former.claim(0, 3)
    await apply(former, put("a", 1))
    await newer.claim(0, 5)
    assert await newer.checkpoint(0) == at(1)
    with pytest.raises(ConcurrencyConflict):
        await apply(former, put("b", 2))
    with pytest.raises(ConcurrencyConflict):
        await former.claim(0, 4)
    assert former.failure is None, "losing a shard is no failure of the index"
    assert await found(newer) == {"a": 1}
    await former.claim(1, 4)
    await former.apply([put("c", 1)], at(1, shard=1))
    assert await found(newer) == {"a": 1, "c": 1}


@pytest.mark.parametrize("calls", range(8))
async def test_writes_under_way_when_an_owner_is_replaced_change_nothing_that_the_new_one_wrote(
    place: Place, calls: int
) -> None:
    late: list[Change] = [revise("a", 3, "two", version=2), put("b", 4), SetState("c", "paused", 2000, 5)]
    log: list[Change] = [*late, SetState("a", "paused", 2000, 6), SetCategories("b", ("work",), 2000, 7)]
    log.append(SetState("c", "active", 2000, 8))

    async def be_replaced() -> None:
        if await newer.checkpoint(0) != at(8):
            await newer.claim(0, 2)
            await newer.apply(log, at(8))

    former, newer = await place.open(), await place.open()
    under_way = Interruptions(place.client, be_replaced)
    await former.claim(0, 1)
    await apply(former, put("a", 1, "one", "more"), put("c", 2))
    under_way.allowed = calls
    if calls < 7:
        with pytest.raises(ConcurrencyConflict):
            await former.apply(late, at(5))
        assert await newer.checkpoint(0) == at(8)
    else:
        await former.apply(late, at(5))
        under_way.allowed = None
        await be_replaced()
    assert await found(newer) == {"b": 1, "c": 1}
    assert await found(newer, ALL_STATES) == {"a": 2, "b": 1, "c": 1}
    assert await found(newer, SearchFilter("ann", categories=("work",))) == {"b": 1}
    assert await found(newer, SearchFilter("ann", past={1: ("a", "c")})) == {"a": 1, "c": 1}


async def test_chunks_under_way_when_an_owner_is_replaced_may_come_back_but_not_their_memory(place: Place) -> None:
    """The window that Qdrant leaves: a condition does not stop a point that is not there from being inserted."""

    async def be_replaced() -> None:
        await newer.claim(0, 2)
        await newer.apply([put("a", 1), Remove("a", 2)], at(2))

    former, newer = await place.open(), await place.open()
    under_way = Interruptions(place.client, be_replaced)
    await former.claim(0, 1)
    under_way.allowed = 0
    with pytest.raises(ConcurrencyConflict):
        await former.apply([put("a", 1)], at(1))
    assert await found(newer) == {"a": 1}
    await apply(newer, SetState("a", "paused", 2000, 3), revise("a", 4, version=2))
    assert await found(newer) == {"a": 1}, "it is still removed: changes do not apply to it"
    await apply(newer, Remove("a", 5))
    assert await found(newer) == {}


async def test_an_owner_whose_collection_was_lost_starts_over_instead_of_leaving_a_gap(place: Place) -> None:
    owner = await place.open()
    await owner.claim(0, 1)
    await apply(owner, put("a", 1))
    await place.client.delete_collection(place.alias)
    other = await place.open()
    with pytest.raises(Unavailable, match="resume from the checkpoint"):
        await apply(owner, put("b", 2))
    assert await owner.checkpoint(0) is None
    await apply(owner, put("a", 1), put("b", 2))
    assert await found(other) == {"a": 1, "b": 1}


async def test_the_collection_is_indexed_for_its_filters_and_nothing_is_made_twice() -> None:
    client = LocalServer()
    await open_on(client)
    await open_on(client)
    assert [known.name for known in (await client.get_collections()).collections] == ["memlog"]
    config = (await client.get_collection("memlog")).config
    assert isinstance(config.params.vectors, dict) and config.params.sparse_vectors is not None
    dense = config.params.vectors["dense"]
    assert (dense.size, dense.distance, dense.on_disk) == (DIMENSION, models.Distance.COSINE, False)
    assert dense.quantization_config is None and config.quantization_config is None
    assert config.params.sparse_vectors["bm25"].modifier == models.Modifier.IDF
    assert config.metadata == {"format": 1, "embedder": EMBEDDER, "dimension": DIMENSION}
    assert client.indexes["uid"].is_tenant is True
    assert {"scope", "app_id", "categories", "memory_id", "created_at", "sequence"} < set(client.indexes)
    await client.close()


async def test_a_server_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def info() -> models.VersionInfo:
        return models.VersionInfo(title="qdrant - vector search engine", version="1.18.3")

    client = LocalServer()
    monkeypatch.setattr(client, "info", info)
    with pytest.raises(ConfigurationError, match=r"1\.19 or newer"):
        await open_on(client)


async def assert_unavailable(index: MemoryIndex) -> None:
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: index.claim(0, 1),
        lambda: index.checkpoint(0),
        lambda: apply(index, put("a", 1)),
        lambda: index.search(vector(0), "a", ANN, 1),
        lambda: index.count(ANN),
    ]
    for call in calls:
        with pytest.raises(Unavailable, match="Qdrant did not"):
            await call()
        assert index.failure is not None


async def test_a_server_that_is_not_there_makes_the_index_unavailable_and_is_waited_for() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        index = await WithClient.open(
            connect_qdrant(f"http://127.0.0.1:{unused.getsockname()[1]}"), "memlog", EMBEDDER, DIMENSION
        )
        await assert_unavailable(index)
        await index.close()


async def test_a_server_that_hangs_makes_the_index_unavailable_and_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(qdrant_server_connection, "_TIMEOUT_S", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client = connect_qdrant(f"http://127.0.0.1:{silent.getsockname()[1]}")
        opening = asyncio.ensure_future(WithClient.open(client, "memlog", EMBEDDER, DIMENSION))
        turns = 0
        while not opening.done():
            await asyncio.sleep(0.01)
            turns += 1
        assert turns > 3
        index = opening.result()
        with pytest.raises(Unavailable):
            await index.count(ANN)
        await index.close()


async def test_an_index_whose_server_comes_back_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    client = LocalServer()
    index = await open_on(client)
    await apply(index, put("a", 1))

    async def fails(*_: object, **__: object) -> models.CountResult:
        raise ResponseHandlingException(OSError("connection reset"))

    with monkeypatch.context() as broken:
        broken.setattr(client, "count", fails)
        with pytest.raises(Unavailable):
            await index.count(ANN)
        assert index.failure is not None and "connection reset" in index.failure
    await index.probe()
    assert index.failure is None
    assert await found(index) == {"a": 1}


async def test_the_settings_choose_the_adapter(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="MEMLOG_QDRANT_URL"):
        await open_shelf(Settings(qdrant_url=None, index_path=None))
    edge = await open_shelf(Settings(qdrant_url=None, index_path=tmp_path))
    server = await open_shelf(Settings(qdrant_url="http://127.0.0.1:9", index_path=tmp_path))
    assert (type(edge), type(server)) == (EdgeShelf, ServerShelf)
    for shelf in (edge, server):
        await shelf.close()


async def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="MEMLOG_QDRANT_CA_FILE"):
        connect_qdrant("https://localhost", None, tmp_path / "none.pem")
