"""The cache of vectors: what was embedded once is not embedded again, for whoever holds the user's key."""

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from indexer.embedding import cache as cache_module
from indexer.embedding.cache import VectorCache
from indexer.embedding.embedder import Vectors
from indexer.embedding.micro_batcher import MicroBatcher
from indexer.embedding.remembering import Piece, RememberingEmbedder
from support.keys import FixedKeys

MEGABYTE = 2**20
SECRET = "Ada keeps her diary under the floor"


class CountingEmbedder:
    """A vector of its own for each text; `asked` are the texts that it was given."""

    def __init__(self, id: str = "test/1", dimension: int = 8) -> None:
        self.id = id
        self.dimension = dimension
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        rows = [np.random.default_rng(crc32(f"{self.id}{text}".encode())).normal(size=self.dimension) for text in texts]
        return np.array(rows, np.float32).reshape(len(texts), self.dimension)

    def chunks(self, text: str) -> tuple[str, ...]:
        return (text,)


@asynccontextmanager
async def remembering(
    folder: Path, embedder: CountingEmbedder, keys: FixedKeys | None = None, limit: int = 64 * MEGABYTE
) -> AsyncGenerator[RememberingEmbedder]:
    """As one process has it: what it embedded is in no memory of an earlier one."""
    cache = VectorCache(folder, limit)
    async with MicroBatcher(embedder) as batcher:
        yield RememberingEmbedder(batcher, cache, keys or FixedKeys())
    await cache.close()


def pieces(*texts: str, uid: str = "ada") -> list[Piece]:
    return [Piece(uid, text) for text in texts]


def many(first: int, last: int) -> list[Piece]:
    return pieces(*(f"text {number}" for number in range(first, last)))


@pytest.mark.guarantee("G6")
async def test_a_text_that_was_embedded_before_is_not_embedded_again(tmp_path: Path) -> None:
    embedder = CountingEmbedder()
    async with remembering(tmp_path, embedder) as first:
        made = await first.embed(pieces("a", "bb", "a"))
        assert embedder.asked == ["a", "bb"]
        assert (first.counts.hits, first.counts.misses) == (0, 2)
    async with remembering(tmp_path, embedder) as second:
        found = await second.embed(pieces("ccc", "bb", "a"))
        assert (second.counts.hits, second.counts.misses) == (2, 1)
    assert embedder.asked == ["a", "bb", "ccc"]
    assert np.array_equal(made.vectors[[1, 0]], found.vectors[1:])
    assert np.array_equal(made.vectors[0], made.vectors[2])
    assert [piece.text for piece in found.pieces] == ["ccc", "bb", "a"]
    assert (made.hashes[1], made.hashes[0]) == found.hashes[1:]


@pytest.mark.guarantee("G13")
async def test_vectors_of_two_embedders_are_kept_apart(tmp_path: Path) -> None:
    async with remembering(tmp_path, CountingEmbedder("test/1")) as first:
        made = await first.embed(pieces("a"))
    other = CountingEmbedder("test/2")
    async with remembering(tmp_path, other) as second:
        found = await second.embed(pieces("a"))
    assert other.asked == ["a"]
    assert not np.array_equal(made.vectors, found.vectors)
    assert made.hashes == found.hashes


async def test_users_do_not_share_vectors_of_the_same_text(tmp_path: Path) -> None:
    embedder = CountingEmbedder()
    async with remembering(tmp_path, embedder) as both:
        made = await both.embed([*pieces("a", uid="ada"), *pieces("a", uid="bob")])
        assert both.counts.misses == 2
    assert made.hashes[0] != made.hashes[1]


async def test_nothing_is_kept_for_a_user_whose_key_is_destroyed_and_nothing_is_found(tmp_path: Path) -> None:
    embedder, keys = CountingEmbedder(), FixedKeys()
    async with remembering(tmp_path, embedder, keys) as before:
        await before.embed(pieces(SECRET))
        keys.destroyed.add("ada")
        assert (await before.embed(pieces(SECRET, "new"))).hashes == ("", "")
    keys.destroyed.clear()
    async with remembering(tmp_path, embedder, keys) as after:
        await after.embed(pieces("new"))
        assert after.counts.misses == 1


async def test_the_file_tells_neither_texts_nor_vectors_nor_users(tmp_path: Path) -> None:
    async with remembering(tmp_path, CountingEmbedder()) as embedder:
        made = await embedder.embed(pieces(SECRET))
    file = tmp_path / "embeddings.sqlite"
    stored = file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0
    assert len(stored) > 1000
    vector = made.vectors[0].tobytes()
    for told in (SECRET.encode(), b"ada", vector, vector[:8], bytes.fromhex(made.hashes[0])):
        assert told not in stored


async def test_a_vector_that_was_moved_to_another_text_is_not_believed(tmp_path: Path) -> None:
    embedder = CountingEmbedder()
    async with remembering(tmp_path, embedder) as first:
        made = await first.embed(pieces("a", "b"))
    with sqlite3.connect(tmp_path / "embeddings.sqlite") as database:
        database.execute("UPDATE vectors SET value = (SELECT value FROM vectors WHERE id = 1)")
    database.close()
    async with remembering(tmp_path, embedder) as second:
        found = await second.embed(pieces("a", "b"))
        assert (second.counts.hits, second.counts.misses) == (1, 1)
        assert np.array_equal(made.vectors, found.vectors)
    async with remembering(tmp_path, embedder) as third:  # what was wrong has been replaced
        await third.embed(pieces("a", "b"))
        assert third.counts.hits == 2


async def test_the_cache_stays_within_its_bound_and_what_was_used_last_stays(tmp_path: Path) -> None:
    embedder = CountingEmbedder(dimension=384)
    async with remembering(tmp_path, embedder, limit=2 * MEGABYTE) as cached:
        for start in range(0, 4000, 500):
            await cached.embed(many(start, start + 500))
    assert (tmp_path / "embeddings.sqlite").stat().st_size < 3 * MEGABYTE
    async with remembering(tmp_path, embedder, limit=2 * MEGABYTE) as later:
        await later.embed(many(3500, 4000))
        assert later.counts.hits == 500
        await later.embed(many(0, 500))
        assert later.counts.misses == 500


async def test_what_was_used_again_outlives_what_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "_USED_EVERY_S", -1)
    monkeypatch.setattr(time, "time", count(1000).__next__)
    embedder = CountingEmbedder(dimension=384)
    async with remembering(tmp_path, embedder, limit=2 * MEGABYTE) as cached:
        await cached.embed(many(0, 500))
        await cached.embed(many(500, 1000))
        await cached.embed(many(0, 100))
        await cached.embed(many(1000, 1400))
        misses = cached.counts.misses
        await cached.embed(many(0, 100))
        assert cached.counts.misses == misses
        await cached.embed(many(500, 600))
        assert cached.counts.misses == misses + 100


@pytest.mark.parametrize("damage", ["not a database", "a torn page", "another format"])
async def test_a_damaged_file_is_thrown_away(tmp_path: Path, damage: str) -> None:
    embedder = CountingEmbedder(dimension=384)
    async with remembering(tmp_path, embedder) as first:
        await first.embed(many(0, 100))
    file = tmp_path / "embeddings.sqlite"
    if damage == "another format":
        with sqlite3.connect(file) as database:
            database.execute("PRAGMA user_version = 99")
        database.close()
    else:
        content = bytearray(file.read_bytes())
        start = 0 if damage == "not a database" else 16384
        content[start : start + 32768] = b"\xff" * 32768
        file.write_bytes(content)
    async with remembering(tmp_path, embedder) as second:
        assert len((await second.embed(many(0, 100))).vectors) == 100
        await second.embed(many(100, 200))
    async with remembering(tmp_path, embedder) as third:
        await third.embed(many(100, 200))
        assert third.counts.hits == 100


async def test_a_cache_that_cannot_be_written_costs_time_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "embeddings.sqlite").mkdir()
    async with remembering(tmp_path, CountingEmbedder()) as embedder:
        for _ in range(2):
            assert len((await embedder.embed(pieces("a", "b"))).vectors) == 2
    assert (embedder.counts.hits, embedder.counts.misses) == (0, 4)


async def test_two_processes_use_it_at_the_same_time(tmp_path: Path) -> None:
    async def use(name: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", _USE, str(tmp_path), name, stdout=subprocess.PIPE
        )

    both = [await use("x"), await use("y")]
    said = [(await process.communicate())[0].decode().strip() for process in both]
    assert said == ["ok", "ok"]
    cache = VectorCache(tmp_path, 64 * MEGABYTE)
    names = [f"{who}{number:015}".encode() for who in "xy" for number in range(500)]
    assert len(await cache.get(names)) == 1000
    await cache.close()


_USE = """
import asyncio, sys
from pathlib import Path
from indexer.embedding.cache import VectorCache

async def use(folder, who):
    cache = VectorCache(Path(folder), 2**26)
    for number in range(500):
        name = f"{who}{number:015}".encode()
        cache.put({name: b"v" * 1500})
        assert name in await cache.get([name])
    await cache.close()
    print("ok")

asyncio.run(use(*sys.argv[1:]))
"""
