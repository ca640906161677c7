"""Data keys on a real server: made once, found again, and destroyed for good."""

import asyncio
from pathlib import Path

import pytest
from contracts.errors import ConfigurationError, KeyMissing, Unavailable
from contracts.streams import KEYS
from contracts.subjects import key_subject
from runtime.keys import KeyStore, MasterKey
from support.servers import Log, Servers, opened

UID, OTHER = "a" * 32, "b" * 32


def _again(log: Log) -> KeyStore:
    """As another process would see the keys: nothing cached."""
    return KeyStore(log.js, log.keys.master)


async def test_a_key_that_was_made_is_found_again(log: Log) -> None:
    made = await log.keys.create(UID)
    found = await _again(log).get(UID)
    assert found.identity == made.identity
    assert found.open(made.seal(b"text", b"c"), b"c") == b"text"
    assert (await log.keys.create(OTHER)).identity != made.identity


async def test_making_a_key_again_gives_the_one_that_is_there(log: Log) -> None:
    identities = {(await _again(log).create(UID)).identity for _ in range(3)}
    assert len(identities) == 1


async def test_many_who_make_a_key_at_once_get_the_same(log: Log) -> None:
    made = await asyncio.gather(*(_again(log).create(UID) for _ in range(10)))
    assert len({key.identity for key in made}) == 1


async def test_a_key_that_was_never_made_is_missing(log: Log) -> None:
    with pytest.raises(KeyMissing):
        await log.keys.get(UID)


async def test_a_destroyed_key_is_missing_and_its_neighbour_is_not(log: Log) -> None:
    await log.keys.create(UID)
    kept = await log.keys.create(OTHER)
    await log.keys.destroy(UID)
    await log.keys.destroy(UID)
    for keys in (log.keys, _again(log)):
        with pytest.raises(KeyMissing):
            await keys.get(UID)
    assert (await _again(log).get(OTHER)).identity == kept.identity


async def test_a_destroyed_key_is_in_no_file_of_the_store(servers: Servers) -> None:
    async with opened(servers.settings()) as log:
        await log.keys.create(OTHER)
        await log.keys.create(UID)
        stored = await log.js.get_msg(KEYS.name, subject=key_subject(UID), direct=True)
        assert stored.data is not None
        assert _holding(servers.home.nats, stored.data)
        await log.keys.destroy(UID)
        assert not _holding(servers.home.nats, stored.data)
        assert await log.keys.check_master()
    await servers.stop()
    assert not _holding(servers.home.nats, stored.data)


def _holding(folder: Path, data: bytes) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and data in path.read_bytes()]


async def test_another_master_key_is_refused_before_anything_is_read(log: Log) -> None:
    assert not await log.keys.check_master()
    await log.keys.create(UID)
    assert await log.keys.check_master()
    other = KeyStore(log.js, MasterKey(bytes(32)))
    with pytest.raises(ConfigurationError, match="restore the master key"):
        await other.check_master()
    with pytest.raises(ConfigurationError, match="restore the master key"):
        await other.get(UID)


async def test_another_master_key_is_refused_after_the_last_key_was_destroyed_too(log: Log) -> None:
    await log.keys.create(UID)
    await log.keys.create(OTHER)
    await log.keys.destroy(OTHER)
    assert await log.keys.check_master()
    with pytest.raises(ConfigurationError):
        await KeyStore(log.js, MasterKey(bytes(32))).check_master()
    await log.keys.destroy(UID)
    assert await log.keys.check_master()  # there were keys: this is no new log


async def test_without_its_stream_a_key_is_unavailable_not_missing(log: Log) -> None:
    await log.js.delete_stream(KEYS.name)
    with pytest.raises(Unavailable):
        await log.keys.get(UID)
