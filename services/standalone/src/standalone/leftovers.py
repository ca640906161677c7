"""Ends what a dirty stop left running: children that outlived a killed parent (architecture §9).

Linux ends them by parent-death signal already; this covers the rest, and systems without that signal.
"""

import json
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import structlog

from standalone.files import write_atomically
from standalone.processes import ProcessIdentity, end_process, identify, is_alive

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ChildRecord:
    """What `run/<name>.json` says about a child: who it is, who owns it, how to stop it gently."""

    name: str
    child: ProcessIdentity
    owner: ProcessIdentity
    stop_signal: int


def write_record(path: Path, record: ChildRecord) -> None:
    """Record a started child, atomically."""
    write_atomically(path, json.dumps(asdict(record), indent=1) + "\n")


def read_record(path: Path) -> ChildRecord | None:
    """The record in this file, or None when it is gone or unreadable (a torn or foreign file)."""
    try:
        raw = cast("dict[str, Any]", json.loads(path.read_text()))
        return ChildRecord(
            str(raw["name"]),
            ProcessIdentity(**raw["child"]),
            ProcessIdentity(**raw["owner"]),
            int(raw["stop_signal"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def end_leftovers(run_folder: Path, *, orphans_only: bool = False, grace: float = 5.0) -> list[ChildRecord]:
    """End each recorded child that still runs, within about 2 × `grace` seconds each; return those ended.

    A process counts only if pid, start time and command line all match the record. Without the home's lock,
    pass `orphans_only`: children whose owner lives are then left alone. A record is removed once its child
    is gone.
    """
    ended: list[ChildRecord] = []
    for path in sorted(run_folder.glob("*.json")):
        record = read_record(path)
        if record is None:
            continue
        if orphans_only and is_alive(record.owner):
            continue
        if is_alive(record.child):
            _log.warning("ending_leftover", child=record.name, pid=record.child.pid)
            if not end_process(record.child, signal.Signals(record.stop_signal), grace=grace):
                _log.error("leftover_survives", child=record.name, pid=record.child.pid)
                continue
            ended.append(record)
        path.unlink(missing_ok=True)
    return ended


def end_stale_postmaster(data_folder: Path, *, grace: float = 5.0) -> None:
    """Make `postmaster.pid` harmless; the caller holds the home's lock.

    A postmaster of this data folder that no record names (its parent died before writing one) is ended. When
    the pid now belongs to another program, PostgreSQL itself would refuse to start, so the file is removed;
    its shared-memory check still guards against backends that are exiting.
    """
    path = data_folder / "postmaster.pid"
    try:
        pid = int(path.read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return
    found = identify(pid)
    if found is None:
        return
    if str(data_folder) in found.command and "postgres" in found.command:
        _log.warning("ending_leftover", child="postgres", pid=pid)
        end_process(found, signal.SIGQUIT, grace=grace)
    else:
        _log.warning("stale_postmaster_pid_removed", pid=pid, belongs_to=found.command[:200])
        path.unlink(missing_ok=True)


def remove_stale_sockets(folder: Path) -> None:
    """Remove PostgreSQL's socket and its lock file from a folder that only this home uses."""
    for path in folder.glob(".s.PGSQL.*"):
        path.unlink(missing_ok=True)
