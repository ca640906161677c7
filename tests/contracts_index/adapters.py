"""The adapters that must pass the index contract suite, and a writer process for its kill test."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import numpy as np
from contracts.positions import Checkpoint, Position
from contracts_index.local_server import LocalServer, LocalWords
from indexer.embedding.remembering import text_hash
from indexer.index import Change, MemoryIndex, PutVersion, Revise, SearchFilter, Vector
from indexer.qdrant_edge import EdgeIndex
from indexer.qdrant_server import ServerIndex
from indexer.qdrant_server_collection import make_collection
from indexer.qdrant_server_connection import connect_qdrant
from indexer.qdrant_server_query import Words
from qdrant_client import AsyncQdrantClient
from support.keys import KEY

EMBEDDER = "test/1"
DIMENSION = 8
Open = Callable[[Path, str, int], Awaitable[MemoryIndex]]


async def open_edge(folder: Path, embedder_id: str, dimension: int) -> MemoryIndex:
    return EdgeIndex.open(folder, embedder_id, dimension)


class WithClient(ServerIndex):
    """An index that has its client for itself."""

    async def close(self) -> None:
        await self._client.close()


async def open_local_server(folder: Path, embedder_id: str, dimension: int) -> ServerIndex:
    """The server's adapter on the client's local mode, whose files are in `folder`."""
    return await open_made(WithClient, LocalServer(folder), "memlog", embedder_id, dimension, LocalWords())


async def open_made(
    kind: type[ServerIndex],
    client: AsyncQdrantClient,
    collection: str,
    embedder_id: str = EMBEDDER,
    dimension: int = DIMENSION,
    words: Words | None = None,
) -> ServerIndex:
    """The index in a collection, which is made first if it is not there."""
    try:
        await make_collection(client, collection, embedder_id, dimension, REPLICAS)
        return await kind.open(client, collection, embedder_id, dimension, words)
    except BaseException:
        await client.close()
        raise


def connect_server(url: str | None = None) -> AsyncQdrantClient:
    """To the server that MEMLOG_QDRANT_URL names, or at `url` on its way."""
    ca_file = os.environ.get("MEMLOG_QDRANT_CA_FILE")
    return connect_qdrant(
        url or SERVER_URL, os.environ.get("MEMLOG_QDRANT_API_KEY"), None if ca_file is None else Path(ca_file)
    )


async def open_server(folder: Path, embedder_id: str, dimension: int) -> ServerIndex:
    """On the server that MEMLOG_QDRANT_URL names, behind an alias of this folder's own."""
    return await open_made(WithClient, connect_server(), server_alias(folder), embedder_id, dimension)


@dataclass(frozen=True, slots=True)
class Place:
    """One server, local mode or a real one, on which several open the same index."""

    client: AsyncQdrantClient
    alias: str
    words: Words | None

    async def open(self) -> ServerIndex:
        return await open_made(ServerIndex, self.client, self.alias, words=self.words)


def server_alias(folder: Path) -> str:
    return f"{SERVER_ALIASES}{sha256(str(folder).encode()).hexdigest()[:16]}"


async def drop_server_collections() -> None:
    if not SERVER_URL:
        return
    client = connect_server()
    for collection in (await client.get_collections()).collections:
        if collection.name.startswith(SERVER_ALIASES):
            await client.delete_collection(collection.name)
    await client.close()


SERVER_URL = os.environ.get("MEMLOG_QDRANT_URL", "")
REPLICAS = int(os.environ.get("MEMLOG_QDRANT_REPLICAS", "1"))
SERVER_ALIASES = "memlog_test_"
ADAPTERS: dict[str, Open] = {"edge": open_edge, "local-server": open_local_server}
if SERVER_URL:
    ADAPTERS["server"] = open_server


def vector(seed: int, dimension: int = DIMENSION) -> Vector:
    """A random unit vector, the same for the same seed."""
    values = np.random.default_rng(seed).normal(size=dimension).astype(np.float32)
    return (values / np.linalg.norm(values)).astype(np.float32)


def put(
    memory_id: str,
    sequence: int,
    *texts: str,
    uid: str = "ann",
    app_id: str = "claude",
    version: int = 1,
    state: str = "active",
    categories: tuple[str, ...] = (),
    created_at: int = 1000,
) -> PutVersion:
    """A version whose chunks are `texts`, by default one, with vectors that nothing else resembles."""
    embedded = _embedded(memory_id, version, texts)
    return PutVersion(memory_id, uid, app_id, version, state, categories, created_at, created_at, *embedded, sequence)


def revise(
    memory_id: str,
    sequence: int,
    *texts: str,
    version: int,
    state: str | None = None,
    categories: tuple[str, ...] = (),
) -> Revise:
    """A next version, embedded as by `put`."""
    return Revise(memory_id, version, state, categories, 2000, *_embedded(memory_id, version, texts), sequence)


def _embedded(memory_id: str, version: int, texts: tuple[str, ...]) -> tuple[tuple[str, ...], Vector, tuple[int, ...]]:
    chunks = texts or (f"text of {memory_id}",)
    vectors = np.stack([vector(crc32(f"{memory_id} {version} {i}".encode())) for i in range(len(chunks))])
    return chunks, vectors, tuple(text_hash(KEY, chunk) for chunk in chunks)


def at(sequence: int, shard: int = 0) -> Checkpoint:
    return Checkpoint(Position(shard, sequence), f"event-{sequence}", f"{sequence:064x}")


async def apply(index: MemoryIndex, *changes: Change) -> None:
    await index.apply(changes, at(max(change.sequence for change in changes)))


async def found(index: MemoryIndex, where: SearchFilter | None = None, text: str = "") -> dict[str, int]:
    """Version by memory id of all that the filter lets be seen."""
    where = where or SearchFilter("ann")
    hits = await index.search(vector(0), text, where, limit=1000)
    assert await index.count(where) == len(hits)
    assert len({hit.memory_id for hit in hits}) == len(hits)
    assert all(0 <= hit.score <= 1 for hit in hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    return {hit.memory_id: hit.version for hit in hits}


async def write_until_killed(adapter: str, folder: str) -> None:
    """Apply a batch for each line read, and say so; never close."""
    index = await ADAPTERS[adapter](Path(folder), EMBEDDER, DIMENSION)
    for sequence, _ in enumerate(sys.stdin, start=1):
        await apply(index, put(f"m{sequence}", sequence))
        print(sequence, flush=True)


if __name__ == "__main__":
    asyncio.run(write_until_killed(*sys.argv[1:]))
