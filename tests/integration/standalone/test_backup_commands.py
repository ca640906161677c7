"""`memlog backup`, `restore`, `keys`, `export` and `import` as a person types them: what they say, and how they end."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from contracts.events import EVENTS
from standalone.cli import app
from support.command import PASSPHRASE, done, memlog
from support.homes import at, bytes_of, in_folder, put
from support.lived_in import live
from support.servers import eventually
from typer.testing import CliRunner

_ON_THE_STREAM = len(EVENTS) - 1
"""Reads stand on another."""
COMMANDS = (["backup"], ["restore"], ["keys"], ["keys", "export"], ["keys", "import"], ["export"], ["import"])


@pytest.fixture(scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that is stopped."""
    path = tmp_path_factory.mktemp("memlog") / "home"
    async with at(path) as log:
        await live(log, ("Ada",))
    return path


async def test_a_log_goes_into_a_folder_and_comes_back_and_its_keys_after_it(home: Path, tmp_path: Path) -> None:
    said = await memlog(home, "backup", str(tmp_path))
    (file,) = in_folder(tmp_path)
    assert said.status == 0 and f"Backed up {_ON_THE_STREAM} events, 1 commands and 1 accesses of 1 users" in said.out
    assert file.startswith("memlog-backup-") and str(tmp_path / file) in said.out and "is the same" in said.out
    assert said.said.startswith("Warning: the keys were never exported") and "memlog keys export" in said.said
    keys, target = tmp_path / "keys.json", tmp_path / "target"
    exported = json.loads(await done(home, "keys", "export", str(keys), "--json"))
    assert (exported["keys"], exported["last_sequence"]) == (1, 1)
    restored = await memlog(target, "restore", str(tmp_path / file))
    assert restored.status == 0 and "memlog keys import" in restored.out
    passphrase = tmp_path / "passphrase"
    put(passphrase, f"{PASSPHRASE}\n".encode())
    imported = json.loads(
        await done(target, "keys", "import", str(keys), "--passphrase-file", str(passphrase), "--json",
                   MEMLOG_KEYS_PASSPHRASE="another one")
    )  # fmt: skip
    assert (imported["stored"], imported["opened"], imported["without_key"]) == (1, 1, 0)
    again = json.loads(await done(target, "backup", str(tmp_path / "again.tar"), "--no-check", "--json"))
    assert (again["checked"], again["warning"], again["streams"]["MEMLOG_EVENTS_0"]["messages"]) == (
        False, None, _ON_THE_STREAM,
    )  # fmt: skip


async def test_an_export_goes_through_a_pipe_and_names_what_it_is(home: Path, tmp_path: Path) -> None:
    exported = await memlog(home, "export", "-", "--with-accesses")
    assert exported.status == 0 and "Everybody who has this file can read all of it" in exported.said
    imported = await memlog(tmp_path / "target", "import", "-", "--json", given=exported.out.encode())
    assert json.loads(imported.out)["events"] == _ON_THE_STREAM - 1


async def test_a_reader_that_goes_away_is_no_stack_trace(home: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "standalone", "export", "-", "--home", str(home),
            stdout=writer, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    finally:
        os.close(writer)
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1 and b"Traceback" not in said and b"Broken pipe" in said


async def test_a_backup_that_is_stopped_in_order_leaves_nothing_behind(home: Path, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "standalone", "backup", str(tmp_path / "backup.tar"), "--home", str(home),
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    await eventually(lambda: in_folder(tmp_path) or process.returncode is not None)
    process.terminate()
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, said) == (143, b"")
    assert in_folder(tmp_path) == {}


async def test_what_is_refused_ends_with_1_and_says_why_on_one_line(home: Path, tmp_path: Path) -> None:
    put(tmp_path / "damaged", b"memlog-backup.json\0 and so on")
    cases = (
        ("file_unusable", ["restore", str(tmp_path / "nothing")]),
        ("file_damaged", ["restore", str(tmp_path / "damaged")]),
        ("no_log", ["backup", str(tmp_path / "new"), "--home", str(tmp_path / "nowhere")]),
    )
    ended = await asyncio.gather(*(memlog(home, *case, "--json") for _, case in cases))
    for (code, case), end in zip(cases, ended, strict=True):
        assert (end.status, end.out, json.loads(end.said)["code"]) == (1, "", code), (case, end.said)
    assert in_folder(tmp_path).keys() == {"damaged"}
    assert bytes_of(tmp_path / "damaged").startswith(b"memlog-backup")


def test_wrong_usage_ends_with_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMLOG_KEYS_PASSPHRASE", "short")
    for wrong in (["restore"], ["keys", "export", str(tmp_path / "keys.json")], ["export"]):
        assert CliRunner().invoke(app, wrong).exit_code == 2
    monkeypatch.delenv("MEMLOG_KEYS_PASSPHRASE")
    unasked = CliRunner().invoke(app, ["keys", "export", str(tmp_path / "keys.json")])
    assert unasked.exit_code == 2 and "--passphrase-file" in unasked.output


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_in_80_columns(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, [*command, "--help"])
    assert shown.exit_code == 0 and max(map(len, shown.output.splitlines())) <= 80
    assert "Examples:" in shown.output or command == ["keys"]
