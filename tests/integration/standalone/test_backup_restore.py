"""Backups: copied while the log runs, checked, and restored as the same log; all of it, or nothing."""

import asyncio
import json
import random
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from contracts.commands import AddMemory
from contracts.errors import Conflict, MemlogError
from contracts.streams import DEAD, EXTRACTION_CONSUMER, KEYS, USERS, WRITER_CONSUMER, commands, events
from nats.js.api import ConsumerConfig
from runtime.keys import MasterKey
from standalone import backup, backup_streams
from standalone.backup import back_up, bring_back
from standalone.backup_file import BackupReader
from standalone.backup_streams import write_backup
from standalone.commands.backup import key_warning
from standalone.failures import CheckFailed, FileDamaged, FileUnusable, HomeInUse, NoLog, NotEmpty
from standalone.home import Home
from standalone.key_exchange import import_keys
from standalone.key_file import note_export
from standalone.log_access import reach_server
from support.homes import at, bytes_of, content, in_folder, keys_of, put, quiet
from support.lived_in import live
from support.log_events import UID
from support.servers import Log, Servers, eventually, opened
from support.writer import Sender, writing


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "backup.tar"


@pytest.fixture(scope="module")
async def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a home that is stopped, `home`, and a backup of it, `backup.tar`."""
    folder = tmp_path_factory.mktemp("source")
    async with at(folder / "home") as log:
        await live(log)
    await back_up(folder / "home", None, folder / "backup.tar", quiet)
    return folder


@pytest.fixture
def backed_up(source: Path, file: Path) -> Path:
    """A backup that a test may do with as it likes."""
    shutil.copy(source / "backup.tar", file)
    return file


@pytest.mark.parametrize("shards", [1, 3])
async def test_what_is_restored_is_what_was_there_to_the_byte(
    servers: Servers, file: Path, tmp_path: Path, shards: int
) -> None:
    async with opened(servers.settings(shards=shards)) as log:
        await live(log)
        await log.js.purge_stream(DEAD.name)
        before = await content(log)
        done = await back_up(servers.home.root, None, file, quiet)
    assert in_folder(tmp_path) == {file.name: 0o600}
    assert done.manifest.shards == shards and [part.stream for part in done.manifest.streams] == [*before]
    target = tmp_path / "target"
    restored = await bring_back(target, None, file, quiet)
    assert (restored.manifest, restored.without_key) == (done.manifest, None)
    async with at(target, shards) as log:
        assert await content(log) == before
        assert (await log.js.stream_info(KEYS.name)).state.messages == 0
    assert "incoming" not in in_folder(target)


async def test_data_keys_are_never_in_a_backup(backed_up: Path, source: Path) -> None:
    async with at(source / "home") as log:
        keys = [(await log.js.get_msg(KEYS.name, seq=n + 1)).data or b"" for n in range(4)]
    with BackupReader(backed_up) as reader:
        assert KEYS.name not in [part.stream for part in reader.manifest.streams]
        assert (reader.manifest.keys.count, reader.manifest.keys.last_sequence) == (4, 4)
    stored = bytes_of(backed_up)
    assert all(json.loads(key)["key"].encode() not in stored for key in keys)


async def test_a_stopped_home_is_locked_while_it_is_copied_and_free_again_after(
    home_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at(home_path) as log:
        await live(log)

    async def looked_at(*arguments: Any) -> Any:
        with pytest.raises(HomeInUse), Home.open(home_path, wait=0):
            pass
        return await write_backup(*arguments)

    monkeypatch.setattr(backup, "write_backup", looked_at)
    await back_up(home_path, None, file, quiet)
    with Home.open(home_path, wait=0):
        pass


async def test_where_there_is_no_log_there_is_no_backup_and_no_folder_is_made(home_path: Path, file: Path) -> None:
    with pytest.raises(NoLog):
        await back_up(home_path, None, file, quiet)
    assert in_folder(file.parent) == {} and in_folder(home_path.parent) == {}


async def test_a_file_that_is_there_is_never_overwritten(home_path: Path, file: Path) -> None:
    put(file, b"precious")
    with pytest.raises(FileUnusable, match="exists already"):
        await back_up(home_path, None, file, quiet)
    assert bytes_of(file) == b"precious"


@pytest.mark.parametrize("wrong", ["_last", "_content", "_positions"])
async def test_a_backup_that_does_not_restore_as_it_says_gets_no_name(
    home_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    async with at(home_path) as log:
        await live(log)
        await log.js.add_consumer(commands(0).name, ConsumerConfig(durable_name=WRITER_CONSUMER))  # pyright: ignore[reportUnknownMemberType]
    real = getattr(backup_streams, wrong)

    async def damaged(*arguments: Any) -> Any:
        found = await real(*arguments)
        if isinstance(found, list):
            return [one.model_copy(update={"config": {**one.config, "filter_subject": "a b"}}) for one in found]  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        return found and found.model_copy(update={"sha256": "00" * 32})

    monkeypatch.setattr(backup_streams, wrong, damaged)
    with pytest.raises(MemlogError) as refused:
        await back_up(home_path, None, file, quiet)
    assert wrong == "_positions" or isinstance(refused.value, CheckFailed)
    assert in_folder(file.parent) == {}
    await back_up(home_path, None, file, quiet, check=False)  # only because nobody looked


async def test_nothing_is_restored_over_a_log_or_over_what_was_derived_from_one(
    backed_up: Path, source: Path, tmp_path: Path
) -> None:
    async with at(source / "home") as log:
        before = await content(log)
    with pytest.raises(NotEmpty, match="MEMLOG_EVENTS_0"):
        await bring_back(source / "home", None, backed_up, quiet)
    async with at(source / "home") as log:
        assert await content(log) == before
    for derived in ("postgres", "index"):
        (tmp_path / derived / derived / "base").mkdir(parents=True)
        with pytest.raises(NotEmpty, match=f"{derived}/"):
            await bring_back(tmp_path / derived, None, backed_up, quiet)


async def test_a_damaged_file_is_refused_before_the_home_is_touched(backed_up: Path, tmp_path: Path) -> None:
    whole, chance = bytes_of(backed_up), random.Random(20261122)
    for at_ in chance.sample(range(len(whole)), 20):
        changed = bytearray(whole)
        changed[at_] ^= 1 << chance.randrange(8)
        for damaged in (whole[:at_], bytes(changed)):
            put(backed_up, damaged)
            with pytest.raises(FileUnusable):
                await bring_back(tmp_path / "target", None, backed_up, quiet)
    assert "target" not in in_folder(tmp_path)


async def test_a_restore_that_fails_in_the_middle_leaves_the_home_as_empty_as_it_was(
    backed_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"

    async def fails(*_: Any) -> None:
        raise FileDamaged("as if")

    with monkeypatch.context() as patched:
        patched.setattr(backup_streams, "_verify", fails)
        with pytest.raises(FileDamaged):
            await bring_back(target, None, backed_up, quiet)
    assert not Home.at(target).has_log() and "incoming" not in in_folder(target)
    await bring_back(target, None, backed_up, quiet)
    assert Home.at(target).has_log()


async def test_a_restore_that_is_killed_leaves_no_log_and_the_next_one_works(backed_up: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "standalone", "restore", str(backed_up), "--home", str(target)
    )
    incoming = Home.at(target / "incoming")
    await eventually(lambda: incoming.has_log() or process.returncode is not None)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    await process.wait()
    await asyncio.to_thread(psutil.wait_procs, children, 5)
    assert process.returncode == -9, "it was over before it could be killed"
    assert not Home.at(target).has_log()
    await bring_back(target, None, backed_up, quiet)
    async with at(target) as log:
        assert await log.events.last_sequence(events(0).name) > 50


@pytest.mark.guarantee("G1", "G2")
async def test_commands_that_were_not_handled_are_handled_after_the_restore_and_others_not_again(
    servers: Servers, file: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    async with opened(servers.settings()) as log:
        sender = await Sender(log).open()
        async with writing(log):
            await sender.register()
            first = await sender.do(AddMemory(text="handled"))
        waiting = await sender.send(AddMemory(text="accepted"))
        done = await back_up(servers.home.root, None, file, quiet)
        before = await log.events.last_sequence(events(0).name)
        keys = await keys_of(log, servers.home.root)
    positions = {c.name: c.handled for part in done.manifest.streams for c in part.consumers}
    assert positions == {WRITER_CONSUMER: 3, EXTRACTION_CONSUMER: 0}
    await bring_back(target, None, file, quiet)
    await import_keys(target, None, keys, quiet)
    async with at(target) as log:
        async with writing(log):
            await eventually(lambda: _reaches(log, before + 1))
        texts = [await Sender(log).open()]
        history = await texts[0].log.events.read_page(events(0).name, f"memlog.evt.0.{UID}.memory.>", 1, 100)
        assert len(history[0]) == 2 and first.results[0].id in history[0][0].subject
        assert json.loads(history[0][1].data)["causation_id"] == waiting
        info = await log.js.consumer_info(commands(0).name, WRITER_CONSUMER)
        assert info.ack_floor is not None and info.ack_floor.stream_seq == 4
        assert info.delivered is not None and info.delivered.consumer_seq == 1


async def _reaches(log: Log, sequence: int) -> bool:
    return await log.events.last_sequence(events(0).name) >= sequence


@pytest.mark.guarantee("G2")
async def test_commands_that_come_again_after_a_restore_have_no_second_effect(
    servers: Servers, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the backup began before they were handled, and copied the events after."""
    target, real = tmp_path / "target", backup_streams._positions  # pyright: ignore[reportPrivateUsage]

    async def from_the_start(*arguments: Any) -> Any:
        return [position.model_copy(update={"handled": 0}) for position in await real(*arguments)]

    monkeypatch.setattr(backup_streams, "_positions", from_the_start)
    async with opened(servers.settings()) as log:
        sender = await Sender(log).open()
        async with writing(log):
            await sender.register()
            for text in ("one", "two", "one"):
                await sender.do(AddMemory(text=text))
        before = await content(log)
        await back_up(servers.home.root, None, file, quiet)
        keys = await keys_of(log, servers.home.root)
    await bring_back(target, None, file, quiet)
    await import_keys(target, None, keys, quiet)
    async with at(target) as log:
        async with writing(log):

            async def all_handled() -> bool:
                info = await log.js.consumer_info(commands(0).name, WRITER_CONSUMER)
                return info.ack_floor is not None and info.ack_floor.stream_seq == 5

            await eventually(all_handled)
        assert await content(log) == before


async def test_a_backup_says_when_keys_were_made_that_were_never_exported(servers: Servers, tmp_path: Path) -> None:
    async with opened(servers.settings()) as log:
        await live(log, ("Ada",))
        home = servers.home.root
        never = await back_up(home, None, tmp_path / "1.tar", quiet, check=False)
        assert "never exported" in (key_warning(never) or "")
        note_export(servers.home, 1)
        now = await back_up(home, None, tmp_path / "2.tar", quiet, check=False)
        assert key_warning(now) is None
        await live(log, ("Bob",))
        since = await back_up(home, None, tmp_path / "3.tar", quiet, check=False)
        assert "were made since" in (key_warning(since) or "")
        elsewhere = replace(since, keys_exported=None)
        assert "has to cover key 2" in (key_warning(elsewhere) or "")


async def test_keys_may_come_before_the_log_and_have_to_be_its_own(
    servers: Servers, file: Path, tmp_path: Path
) -> None:
    async with opened(servers.settings()) as log:
        await live(log)
        keys = await keys_of(log, servers.home.root)
        await live(log, ("Late",))
        await back_up(servers.home.root, None, file, quiet, check=False)
    target = tmp_path / "target"
    given = await import_keys(target, None, keys, quiet)
    assert (given.stored, given.opened, given.new_master_key) == (4, 0, True)
    assert (await bring_back(target, None, file, quiet)).without_key == 1
    async with at(target) as log:
        assert (await log.js.stream_info(KEYS.name)).state.messages == 4
    (tmp_path / "other").mkdir()
    MasterKey.create(tmp_path / "other" / "master.key")
    with pytest.raises(NotEmpty, match="another log"):
        await bring_back(tmp_path / "other", None, file, quiet)


async def test_a_log_on_a_server_of_its_own_is_copied_and_restored_all_or_nothing(
    servers: Servers, backed_up: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = servers.nats.url

    async def fails(*_: Any) -> None:
        raise CheckFailed("as if")

    with monkeypatch.context() as patched:
        patched.setattr(backup_streams, "_verify", fails)
        with pytest.raises(CheckFailed):
            await bring_back(None, url, backed_up, quiet)
    async with reach_server(None, url) as server:
        assert await server.js.streams_info() == []
    await bring_back(None, url, backed_up, quiet)
    with pytest.raises(NotEmpty, match="has a stream MEMLOG_EVENTS_0"):
        await bring_back(None, url, backed_up, quiet)
    async with opened(servers.settings(), start=False) as log:
        there = await content(log)
    again = await back_up(None, url, tmp_path / "again.tar", quiet)
    assert again.keys_exported is None
    async with at(source / "home") as log:
        assert await content(log) == there


async def test_a_backup_from_before_a_stream_was_known_can_be_made_and_restored(
    home_path: Path, file: Path, tmp_path: Path
) -> None:
    async with at(home_path) as log:
        await live(log, ("Ada",))
        await log.js.delete_stream(DEAD.name)
    done = await back_up(home_path, None, file, quiet)
    assert DEAD.name not in [part.stream for part in done.manifest.streams]
    await bring_back(tmp_path / "target", None, file, quiet)
    async with at(tmp_path / "target") as log:
        assert (await log.js.stream_info(USERS.name)).state.messages == 1


async def test_the_keys_of_another_log_are_refused(backed_up: Path, tmp_path: Path) -> None:
    async with at(tmp_path / "other") as log:
        await live(log, ("Eve",))
        keys = await keys_of(log, tmp_path / "other")
    target = tmp_path / "target"
    await bring_back(target, None, backed_up, quiet)
    with pytest.raises(Conflict, match="another log"):
        await import_keys(target, None, keys, quiet)
    assert "master.key" not in in_folder(target)
    async with at(target) as log:
        assert (await log.js.stream_info(KEYS.name)).state.messages == 0
