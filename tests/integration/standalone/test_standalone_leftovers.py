"""Leftovers of a dirty stop are ended; a stranger that got a recorded pid is not."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from standalone.home import Home
from standalone.leftovers import ChildRecord, end_leftovers, end_stale_postmaster, write_record
from standalone.processes import ProcessIdentity, identify, is_alive, own_identity

_SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(300)"]
_STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(300)",
]
_DEAD_OWNER = ProcessIdentity(2**22 + 1, "0", "memlog up")


@contextmanager
def _process(command: list[str]) -> Generator[tuple[subprocess.Popen[bytes], ProcessIdentity]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            identity = identify(process.pid)
            assert identity is not None
            yield process, identity
        finally:
            process.kill()


def _record(home: Home, child: ProcessIdentity, owner: ProcessIdentity = _DEAD_OWNER) -> Path:
    path = home.run / "some-child.json"
    write_record(path, ChildRecord("some-child", child, owner, signal.SIGTERM))
    return path


@pytest.mark.parametrize(
    ("command", "grace", "code"),
    [(_SLEEP, 60.0, -signal.SIGTERM), (_STUBBORN, 0.3, -signal.SIGKILL)],
    ids=["gentle", "stubborn"],
)
def test_a_leftover_whose_pid_start_and_command_match_is_ended(
    home_path: Path, command: list[str], grace: float, code: int
) -> None:
    with Home.open(home_path) as home, _process(command) as (process, identity):
        record = _record(home, identity)
        ended = end_leftovers(home.run, grace=grace)
        assert [r.child.pid for r in ended] == [process.pid]
        assert process.wait(timeout=60) == code
        assert not record.exists()


@pytest.mark.parametrize("field", ["started", "command"])
def test_a_stranger_with_a_recycled_pid_is_left_alone(home_path: Path, field: str) -> None:
    with Home.open(home_path) as home, _process(_SLEEP) as (process, identity):
        record = _record(home, replace(identity, **{field: "of another process"}))
        assert end_leftovers(home.run) == []
        assert process.poll() is None
        assert not record.exists()


def test_opening_a_home_ends_its_leftovers(home_path: Path) -> None:
    with _process(_SLEEP) as (process, identity):
        with Home.open(home_path) as home:
            _record(home, identity)
        with Home.open(home_path):
            assert process.wait(timeout=60) == -signal.SIGTERM


def test_without_the_lock_children_of_a_living_owner_are_left_alone(home_path: Path) -> None:
    with Home.open(home_path) as home, _process(_SLEEP) as (process, identity):
        record = _record(home, identity, own_identity())
        assert end_leftovers(home.run, orphans_only=True) == []
        assert process.poll() is None
        assert record.exists()
        record.unlink()


def test_an_orphan_that_holds_the_lock_is_ended_so_that_the_next_start_works(home_path: Path) -> None:
    """What happens where there is no parent-death signal: the child outlives its parent with the lock."""
    with Home.open(home_path) as home:
        assert home.lock is not None
        os.set_inheritable(home.lock, True)
        command = [*_SLEEP, str(home.root)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=(home.lock,))
        assert process.stdout is not None
        with process, process.stdout:
            try:
                assert process.stdout.readline() == b"up\n"
                identity = identify(process.pid)
                assert identity is not None
                _record(home, identity)
                os.ftruncate(home.lock, 0)
                os.pwrite(home.lock, b'{"pid": 4194305, "started": "0", "command": "memlog up"}', 0)
                # As if the owner had been killed: its own descriptor is gone, the child's is not.
                os.dup2(os.open(os.devnull, os.O_RDONLY), home.lock)
                with Home.open(home_path, wait=60):
                    assert process.wait(timeout=60) == -signal.SIGTERM
            finally:
                process.kill()


def test_unreadable_records_are_ignored(home_path: Path) -> None:
    with Home.open(home_path) as home:
        (home.run / "torn.json").write_text('{"name": ')
        (home.run / "foreign.json").write_text("[]")
        assert end_leftovers(home.run) == []


def test_a_postmaster_pid_of_a_stranger_is_removed_and_the_stranger_left_alone(home_path: Path) -> None:
    home_path.mkdir()
    with _process(_SLEEP) as (process, _):
        stale = home_path / "postmaster.pid"
        stale.write_text(f"{process.pid}\n{home_path}\n")
        end_stale_postmaster(home_path)
        assert not stale.exists()
        assert process.poll() is None


def test_an_ended_process_is_not_alive(home_path: Path) -> None:
    with _process(_SLEEP) as (process, identity):
        assert is_alive(identity)
        process.kill()
        process.wait(timeout=60)
        assert not is_alive(identity)
