"""Keys out of a log and back into one: all of them, checked, and never over others."""

import os
from pathlib import Path

import pytest
from contracts.errors import ConfigurationError, Conflict, ContentDamaged
from contracts.streams import KEYS
from contracts.subjects import key_subject
from runtime.keys import MasterKey
from runtime.wrapped_keys import read_all
from standalone import key_exchange
from standalone.failures import CheckFailed, FileUnusable, NotEmpty
from standalone.home import Home
from standalone.key_exchange import export_keys, import_keys, read_keys
from standalone.key_file import Keys, exported_up_to
from support.homes import at, bytes_of, in_folder, keys_of, put, quiet
from support.lived_in import live
from support.servers import Servers, opened

PASSPHRASE = "correct horse"


def changed(keys: Keys, wrapped: dict[str, bytes]) -> Keys:
    return Keys(keys.master_secret, wrapped, keys.last_sequence, keys.created_at)


async def test_keys_come_back_into_an_empty_home_and_are_the_same(servers: Servers, tmp_path: Path) -> None:
    file, target = tmp_path / "keys.json", tmp_path / "target"
    async with opened(servers.settings()) as log:
        await live(log)
        before, last = await read_all(log.js, log.events)
        exported = await export_keys(servers.home.root, None, file, PASSPHRASE)
    assert (exported.wrapped, exported.last_sequence) == (before, last)
    assert in_folder(tmp_path) == {file.name: 0o600}
    assert exported_up_to(servers.home) == last == 4
    done = await import_keys(target, None, read_keys(file, PASSPHRASE), quiet)
    assert (done.stored, done.there, done.opened, done.without_key, done.new_master_key) == (4, 0, 0, 0, True)
    assert bytes_of(target / "master.key") == bytes_of(servers.home.master_key)
    assert in_folder(target)["master.key"] == 0o600 and exported_up_to(Home.at(target)) == 4
    again = await import_keys(target, None, read_keys(file, PASSPHRASE), quiet)
    assert (again.stored, again.there, again.new_master_key) == (0, 4, False)
    async with at(target) as log:
        assert (await read_all(log.js, log.events))[0] == before


async def test_missing_keys_are_put_back_in_a_log_that_runs_and_open_what_is_in_it(servers: Servers) -> None:
    async with opened(servers.settings(shards=3)) as log:
        uids = [*(await live(log)).values()]
        keys = await keys_of(log, servers.home.root)
        for lost in uids[:2]:
            await log.keys.destroy(lost)
        done = await import_keys(servers.home.root, None, keys, quiet)
        assert (done.stored, done.there, done.opened, done.without_key) == (2, 2, 4, 0)
        assert (await read_all(log.js, log.events))[0] == keys.wrapped


async def test_users_whose_key_is_not_in_the_file_are_counted(servers: Servers) -> None:
    async with opened(servers.settings()) as log:
        uids = [*(await live(log)).values()]
        keys = await keys_of(log, servers.home.root)
        for lost in uids:
            await log.keys.destroy(lost)
        older = changed(keys, {uid: key for uid, key in keys.wrapped.items() if uid != uids[0]})
        done = await import_keys(servers.home.root, None, older, quiet)
        assert (done.stored, done.opened, done.without_key) == (3, 3, 1)
    assert exported_up_to(servers.home) == 7


async def test_another_master_key_is_never_overwritten_nor_mixed(servers: Servers, tmp_path: Path) -> None:
    async with opened(servers.settings()) as log:
        await live(log, ("Ada",))
        keys = await keys_of(log, servers.home.root)
    (tmp_path / "other").mkdir()
    MasterKey.create(tmp_path / "other" / "master.key")
    before = bytes_of(tmp_path / "other" / "master.key")
    with pytest.raises(NotEmpty, match="another master key"):
        await import_keys(tmp_path / "other", None, keys, quiet)
    assert bytes_of(tmp_path / "other" / "master.key") == before
    async with at(tmp_path / "third") as log:
        await live(log, ("Eve",))
    (tmp_path / "third" / "master.key").unlink()
    with pytest.raises(ConfigurationError, match="were wrapped by master key"):
        await import_keys(tmp_path / "third", None, keys, quiet)
    assert "master.key" not in in_folder(tmp_path / "third")


async def test_another_key_of_the_same_user_is_refused_before_any_is_stored(servers: Servers) -> None:
    async with opened(servers.settings()) as log:
        ada, bob = (await live(log, ("Ada", "Bob"))).values()
        keys = await keys_of(log, servers.home.root)
        await log.keys.destroy(bob)
        other = changed(keys, {**keys.wrapped, ada: log.keys.master.wrap(ada, os.urandom(32))})
        with pytest.raises(Conflict, match=f"{ada} has another data key"):
            await import_keys(servers.home.root, None, other, quiet)
        assert (await log.js.stream_info(KEYS.name)).state.messages == 1


async def test_a_key_that_does_not_open_what_its_user_has_is_noticed(servers: Servers) -> None:
    async with opened(servers.settings()) as log:
        (ada,) = (await live(log, ("Ada",))).values()
        keys = await keys_of(log, servers.home.root)
        await log.keys.destroy(ada)
        wrong = changed(keys, {ada: log.keys.master.wrap(ada, os.urandom(32))})
        with pytest.raises(ContentDamaged):
            await import_keys(servers.home.root, None, wrong, quiet)


async def test_keys_that_do_not_unwrap_or_read_back_otherwise_get_no_file(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys.json"
    async with opened(servers.settings()) as log:
        (ada,) = (await live(log, ("Ada",))).values()

        def other(path: Path, passphrase: str) -> Keys:
            return changed(read_keys(path, passphrase), {})

        with monkeypatch.context() as patched:
            patched.setattr(key_exchange, "read_keys", other)
            with pytest.raises(CheckFailed):
                await export_keys(servers.home.root, None, file, PASSPHRASE)
        await log.keys.destroy(ada)
        await log.js.publish(
            key_subject(ada), b'{"master": "' + log.keys.master.fingerprint.encode() + b'", "key": "00"}'
        )
        with pytest.raises(ContentDamaged):
            await export_keys(servers.home.root, None, file, PASSPHRASE)
    assert in_folder(tmp_path) == {} and exported_up_to(servers.home) == 0


async def test_a_file_that_is_there_is_never_overwritten(servers: Servers, tmp_path: Path) -> None:
    put(tmp_path / "keys.json", b"precious")
    async with opened(servers.settings()):
        with pytest.raises(FileUnusable, match="exists already"):
            await export_keys(servers.home.root, None, tmp_path / "keys.json", PASSPHRASE)
    assert bytes_of(tmp_path / "keys.json") == b"precious"
