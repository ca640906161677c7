"""The cache of vectors: what was embedded once is not embedded again, for whoever holds the user's key."""

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from indexer.embedding import cache as cache_module
from indexer.embedding.cache import VectorCache
from indexer.embedding.micro_batcher import MicroBatcher
from indexer.embedding.remembering import RememberingEmbedder, Text
from support.embedders import CountingEmbedder, Ready
from support.keys import FixedKeys

MEGABYTE = 2**20
SECRET = "Ada keeps her diary under the floor"


@asynccontextmanager
async def remembering(
    folder: Path, embedder: CountingEmbedder, keys: FixedKeys | None = None, limit: int = 64 * MEGABYTE
) -> AsyncGenerator[RememberingEmbedder]:
    """As one process has it: what it embedded is in no memory of an earlier one."""
    cache = VectorCache(folder, limit)
    async with MicroBatcher(embedder) as batcher:
        yield RememberingEmbedder(Ready(batcher), cache, keys or FixedKeys())
    await cache.close()


def texts(*each: str, uid: str = "ada") -> list[Text]:
    return [Text(uid, text) for text in each]


def many(first: int, last: int) -> list[Text]:
    return texts(*(f"text {number}" for number in range(first, last)))


@pytest.mark.guarantee("G6")
async def test_a_text_that_was_embedded_before_is_not_embedded_again(tmp_path: Path) -> None:
    embedder = CountingEmbedder()
    async with remembering(tmp_path, embedder) as first:
        made = await first.embed(texts("a", "bb", "a"))
        assert embedder.asked == ["a", "bb"]
        assert (first.counts.hits, first.counts.misses) == (0, 2)
    async with remembering(tmp_path, embedder) as second:
        found = await second.embed(texts("ccc", "bb", "a"))
        assert (second.counts.hits, second.counts.misses) == (2, 1)
    assert embedder.asked == ["a", "bb", "ccc"]
    assert [each.chunks for each in found] == [("ccc",), ("bb",), ("a",)]
    for before, after in ((made[0], made[2]), (made[0], found[2]), (made[1], found[1])):
        assert np.array_equal(before.vectors, after.vectors)
        assert before.hashes == after.hashes


@pytest.mark.guarantee("G13")
async def test_vectors_of_two_embedders_are_kept_apart(tmp_path: Path) -> None:
    async with remembering(tmp_path, CountingEmbedder("test/1")) as first:
        made = await first.embed(texts("a"))
    other = CountingEmbedder("test/2")
    async with remembering(tmp_path, other) as second:
        found = await second.embed(texts("a"))
    assert other.asked == ["a"]
    assert not np.array_equal(made[0].vectors, found[0].vectors)
    assert made[0].hashes == found[0].hashes


async def test_users_do_not_share_vectors_of_the_same_text(tmp_path: Path) -> None:
    embedder = CountingEmbedder()
    async with remembering(tmp_path, embedder) as both:
        made = await both.embed([*texts("a", uid="ada"), *texts("a", uid="bob")])
        assert both.counts.misses == 2
    assert made[0].hashes != made[1].hashes


async def test_nothing_is_kept_for_a_user_whose_key_is_destroyed_and_nothing_is_found(tmp_path: Path) -> None:
    embedder, keys = CountingEmbedder(), FixedKeys()
    async with remembering(tmp_path, embedder, keys) as before:
        await before.embed(texts(SECRET))
        keys.destroyed.add("ada")
        assert [each.hashes for each in await before.embed(texts(SECRET, "new"))] == [(0,), (0,)]
    keys.destroyed.clear()
    async with remembering(tmp_path, embedder, keys) as after:
        await after.embed(texts("new"))
        assert after.counts.misses == 1


async def test_the_file_tells_neither_texts_nor_vectors_nor_users(tmp_path: Path) -> None:
    async with remembering(tmp_path, CountingEmbedder()) as embedder:
        [made] = await embedder.embed(texts(SECRET))
    file = tmp_path / "embeddings.sqlite"
    stored = file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0
    assert len(stored) > 1000
    vector = made.vectors[0].tobytes()
    for told in (SECRET.encode(), b"ada", vector, vector[:8], made.hashes[0].to_bytes(8)):
        assert told not in stored


async def test_a_vector_that_was_moved_to_another_text_is_not_believed(tmp_path: Path) -> None:
    embedder = CountingEmbedder()
    async with remembering(tmp_path, embedder) as first:
        made = await first.embed(texts("a", "b"))
    with sqlite3.connect(tmp_path / "embeddings.sqlite") as database:
        database.execute("UPDATE vectors SET value = (SELECT value FROM vectors WHERE id = 1)")
    database.close()
    async with remembering(tmp_path, embedder) as second:
        found = await second.embed(texts("a", "b"))
        assert (second.counts.hits, second.counts.misses) == (1, 1)
        assert [each.vectors.tolist() for each in made] == [each.vectors.tolist() for each in found]
    async with remembering(tmp_path, embedder) as third:  # what was wrong has been replaced
        await third.embed(texts("a", "b"))
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
        assert len(await second.embed(many(0, 100))) == 100
        await second.embed(many(100, 200))
    async with remembering(tmp_path, embedder) as third:
        await third.embed(many(100, 200))
        assert third.counts.hits == 100


async def test_a_cache_that_cannot_be_written_costs_time_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "embeddings.sqlite").mkdir()
    async with remembering(tmp_path, CountingEmbedder()) as embedder:
        for _ in range(2):
            assert len(await embedder.embed(texts("a", "b"))) == 2
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
