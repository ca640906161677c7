"""Generations in folders: `g1`, `g2`, … and a register beside them, `generations.json`."""

import json
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog
from contracts.errors import ConfigurationError, Unavailable

from indexer.embedding.choosing import MINILM
from indexer.index import MemoryIndex
from indexer.qdrant_edge import EdgeIndex, lock_folder
from indexer.record import Record

log = structlog.get_logger()
_REGISTER = "generations.json"
_FORMAT = 1
_META, _SHARD = "index.json", "shard"
_VERSION_BEFORE = 1
"""Of the index that earlier versions kept in the folder itself."""


class EdgeShelf:
    """One process has the folder; those that fill a generation have that one's folder only, and read the register."""

    kind = "qdrant-edge"

    def __init__(self, folder: Path, lock: int | None, records: Iterable[Record]) -> None:
        self._folder = folder
        self._lock = lock
        self._records = {record.number: record for record in records}

    @classmethod
    def open(cls, folder: Path) -> "EdgeShelf":
        """Take the folder; an index that an earlier version left there becomes generation 1. Raises
        `ConfigurationError` when another process has it."""
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_folder(folder)
        try:
            records = _read(folder) or _adopt(folder)
            _clear(folder, [record.number for record in records])
        except BaseException:
            os.close(lock)
            raise
        return cls(folder, lock, records)

    @classmethod
    def look(cls, folder: Path) -> "EdgeShelf":
        """As the register has it now, for a process that only fills one generation."""
        return cls(folder, None, _read(folder) or [])

    async def records(self) -> Sequence[Record]:
        """See `Shelf`."""
        return sorted(self._records.values(), key=lambda record: record.number)

    async def serving(self) -> int | None:
        """See `Shelf`."""
        return next((number for number, record in self._records.items() if record.state == "serving"), None)

    async def write(self, record: Record) -> None:
        """See `Shelf`."""
        self._write({record.number: record})

    async def switch(self, record: Record, before: Record) -> None:
        """See `Shelf`."""
        self._write({record.number: record, before.number: before})

    async def open_index(self, record: Record) -> MemoryIndex:
        """See `Shelf`."""
        try:
            return EdgeIndex.open(_generation(self._folder, record.number), record.embedder, record.dimension)
        except ConfigurationError as error:
            raise Unavailable(error.message) from error

    async def remove(self, number: int) -> None:
        """See `Shelf`."""
        if number in self._records:
            self._write({}, without=number)
        shutil.rmtree(_generation(self._folder, number), ignore_errors=True)

    async def close(self) -> None:
        """Let go of the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _write(self, changed: dict[int, Record], without: int | None = None) -> None:
        assert self._lock is not None, "only the process that has the folder writes its register"
        records = {number: record for number, record in (self._records | changed).items() if number != without}
        stored = {"format": _FORMAT, "generations": [record.as_json() for record in records.values()]}
        try:
            _replace(self._folder / _REGISTER, json.dumps(stored, indent=1))
        except OSError as error:
            raise Unavailable(f"the register of the index cannot be written: {error}") from error
        self._records = records


def _generation(folder: Path, number: int) -> Path:
    return folder / f"g{number}"


def _read(folder: Path) -> list[Record] | None:
    """None when there is no register, or none that can be read: then the index is filled anew."""
    try:
        stored = json.loads((folder / _REGISTER).read_text())
        if stored["format"] != _FORMAT:
            raise ValueError(f"format {stored['format']}")
        return [Record.from_json(each) for each in stored["generations"]]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        log.warning("index_register_unreadable", error=f"{type(error).__name__}: {error}")
        return None


def _adopt(folder: Path) -> list[Record]:
    """The index of an earlier version, moved to where generation 1 is; done again if it was interrupted."""
    first = _generation(folder, 1)
    if (folder / _META).exists():
        first.mkdir(exist_ok=True)
        for name in (_SHARD, _META):
            if (folder / name).exists():
                (folder / name).rename(first / name)
    elif (folder / _REGISTER).exists() or not (first / _META).exists():
        return []
    meta = json.loads((first / _META).read_text())
    record = Record(1, "serving", _VERSION_BEFORE, MINILM, meta["embedder"], meta["dimension"], datetime.now(UTC))
    log.info("index_adopted", embedder=record.embedder)
    stored = {"format": _FORMAT, "generations": [record.as_json()]}
    _replace(folder / _REGISTER, json.dumps(stored, indent=1))
    return [record]


def _clear(folder: Path, numbers: Sequence[int]) -> None:
    """Remove what belongs to no generation: left by a crash, or by a register that was lost."""
    for entry in folder.iterdir():
        found = re.fullmatch(r"g(\d+)", entry.name)
        if (found and int(found[1]) not in numbers) or entry.name in (_SHARD, _META):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _replace(file: Path, content: str) -> None:
    """Write the file, whole or not at all, also when the power goes."""
    scratch = file.with_name(file.name + ".new")
    with scratch.open("w") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    scratch.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
