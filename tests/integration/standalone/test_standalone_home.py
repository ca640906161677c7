"""MEMLOG_HOME: one owner at a time, and errors that say what to do."""

import errno
import json
import os
import shutil
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import platformdirs
import psutil
import pytest
from contracts.errors import ConfigurationError
from standalone.failures import HomeInUse, HomeUnusable
from standalone.home import LAYOUT_VERSION, Home


def test_home_is_private_and_has_its_folders(home_path: Path) -> None:
    with Home.open(home_path) as home:
        for folder in (home.root, home.nats, home.postgres, home.index, home.cache, home.run, home.logs):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert json.loads(home.layout_file.read_text()) == {"version": LAYOUT_VERSION}


def test_the_default_home_is_the_platforms_user_data_folder() -> None:
    assert Home.at().root == Path(platformdirs.user_data_dir("memlog", appauthor=False))


def test_a_second_owner_is_refused_with_the_pid_and_command_of_the_first(home_path: Path) -> None:
    with Home.open(home_path), pytest.raises(HomeInUse) as refused, Home.open(home_path, wait=0.1):
        pass
    assert isinstance(refused.value, ConfigurationError)
    assert f"process {os.getpid()} (" in refused.value.message
    assert " ".join(psutil.Process().cmdline()) in refused.value.message
    assert str(home_path) in refused.value.message


def test_a_home_can_be_opened_again_after_it_was_closed(home_path: Path) -> None:
    for _ in range(2):
        with Home.open(home_path, wait=0):
            pass


def test_a_home_of_a_newer_layout_is_refused(home_path: Path) -> None:
    home_path.mkdir()
    (home_path / "layout.json").write_text(json.dumps({"version": LAYOUT_VERSION + 1}))
    with pytest.raises(HomeUnusable, match="newer Memlog"), Home.open(home_path):
        pass
    assert json.loads((home_path / "layout.json").read_text()) == {"version": LAYOUT_VERSION + 1}


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_home_that_is_a_file_or_lies_under_one_is_refused(home_path: Path, below: str) -> None:
    home_path.write_text("a file")
    with pytest.raises(HomeUnusable, match="file"), Home.open(home_path / below):
        pass
    assert home_path.read_text() == "a file"


def test_a_home_that_cannot_be_written_is_refused() -> None:
    # /proc refuses everybody, root included.
    parent = Path("/proc") if sys.platform == "linux" else Path("/System")
    with pytest.raises(HomeUnusable), Home.open(parent / "memlog-home"):
        pass


def test_a_home_on_a_full_disk_is_refused(home_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> SimpleNamespace:
        return SimpleNamespace(free=0)

    monkeypatch.setattr(shutil, "disk_usage", full)
    with pytest.raises(HomeUnusable, match="full disk"), Home.open(home_path):
        pass


def test_an_error_no_one_foresaw_still_names_the_folder(home_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(shutil, "disk_usage", broken)
    with pytest.raises(HomeUnusable, match="Input/output error") as failed, Home.open(home_path):
        pass
    assert str(home_path) in failed.value.message


def test_the_socket_folder_of_a_long_path_is_elsewhere_short_and_private(home_path: Path) -> None:
    long = home_path / ("x" * 100)
    with Home.open(long) as home:
        folder = home.socket_folder()
        try:
            assert len(os.fsencode(folder)) <= 100 - len("/.s.PGSQL.5432")
            assert not folder.is_relative_to(home.root)
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
            assert home.socket_folder() == folder
        finally:
            shutil.rmtree(folder.parent)


def test_the_socket_folder_of_a_short_path_is_in_the_home(home_path: Path) -> None:
    with Home.open(home_path) as home:
        assert home.socket_folder().is_relative_to(home.root)
