"""Vectors of texts that were embedded before, on disk: a rebuild asks the embedder for what is new only (G6).

What is kept is sealed by the caller; this file knows 16-byte names and opaque values. It is a cache: it may lose
anything at any moment, and nothing that happens to its file is an error of whoever asks.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import structlog

log = structlog.get_logger()

_FILE = "embeddings.sqlite"
_FORMAT = 1
# Rows of a text's vector come in the order of the log, and are read in it: large pages hold several.
_PAGE_BYTES = 16384
_WAL_BYTES = 16 * 1024 * 1024
_BUSY_S, _BUSY_PAUSE_S = 5.0, 0.01
_SQL_NAMES = 500
"""Names a query; SQLite allows 999 parameters where it is old."""
_USED_EVERY_S: Final = 86_400
"""To within what time the last use of a vector is known: noting each would turn every read into a write."""
_EVICT = 512
"""Vectors that go at once when the file is full."""
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)

_SCHEMA = (
    "CREATE TABLE vectors"
    " (id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, used INTEGER NOT NULL, value BLOB NOT NULL)",
    "CREATE INDEX vectors_used ON vectors (used, id)",
    f"PRAGMA user_version = {_FORMAT}",
)

T = TypeVar("T")


class VectorCache:
    """One SQLite file, which several processes may share. Its calls run in a thread of its own, one after the other."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """The file is made in `folder` at the first call. Up to some 16 MB of journal come on top of the limit."""
        self._file = folder / _FILE
        self._limit = limit_bytes
        self._database: sqlite3.Connection | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="embedding cache")
        self._warned = False

    async def get(self, names: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values of the names that are known."""
        return await self._run(lambda database: _get(database, names)) or {}

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Keep values by name, soon: a `get` that comes later sees them. What was used longest ago makes room."""
        if values and self._limit > 0:
            self._worker.submit(self._try, lambda database: _put(database, values, self._limit))

    async def close(self) -> None:
        """Finish what was put, and close the file."""
        await asyncio.get_running_loop().run_in_executor(self._worker, self._close)
        self._worker.shutdown()

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._try, work)

    def _try(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """In the thread. None when the file does not serve, whatever the reason."""
        try:
            if self._database is None:
                self._database = _open(self._file)
            with self._database:
                found = work(self._database)
        except (sqlite3.Error, OSError) as error:
            self._give_way(error)
            return None
        self._warned = False
        return found

    def _give_way(self, error: Exception) -> None:
        if not self._warned:  # a full disk would say so with each batch
            log.warning("embedding_cache_failed", error=f"{type(error).__name__}: {error}")
        self._warned = True
        self._close()  # the next call opens it anew
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _CORRUPT or isinstance(error, _OtherFormat):
            with contextlib.suppress(OSError):
                _remove(self._file)

    def _close(self) -> None:
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
        self._database = None


class _OtherFormat(sqlite3.DatabaseError):
    """Another version of this module made the file."""


def _open(file: Path) -> sqlite3.Connection:
    file.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(file, timeout=_BUSY_S, isolation_level="IMMEDIATE")
    try:
        file.chmod(0o600)
        database.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        _journal_ahead(database)
        # What a power cut takes is embedded again.
        database.execute("PRAGMA synchronous = OFF")
        database.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        database.execute("BEGIN IMMEDIATE")  # of two processes that open a new file at once, one makes the tables
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in _SCHEMA:
                database.execute(statement)
        database.commit()
        if version not in (0, _FORMAT):
            raise _OtherFormat(f"the cache is of format {version}")
    except BaseException:
        database.close()
        raise
    return database


def _journal_ahead(database: sqlite3.Connection) -> None:
    """Write-ahead journal. While another process opens a new file too, SQLite refuses that at once, and waits for
    nobody: so it is done here."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_PAUSE_S)


def _remove(file: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def _get(database: sqlite3.Connection, names: Sequence[bytes]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    fading: list[int] = []
    now = int(time.time())
    for start in range(0, len(names), _SQL_NAMES):
        part = names[start : start + _SQL_NAMES]
        marks = ",".join("?" * len(part))
        for id_, name, used, value in database.execute(
            f"SELECT id, name, used, value FROM vectors WHERE name IN ({marks})", part
        ):
            found[name] = value
            if used < now - _USED_EVERY_S:
                fading.append(id_)
    if fading:
        database.executemany("UPDATE vectors SET used = ? WHERE id = ?", [(now, id_) for id_ in fading])
    return found


def _put(database: sqlite3.Connection, values: Mapping[bytes, bytes], limit: int) -> None:
    now = int(time.time())
    database.executemany(
        "INSERT INTO vectors (name, used, value) VALUES (?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET used = excluded.used, value = excluded.value",
        [(name, now, value) for name, value in values.items()],
    )
    while _bytes_used(database) > limit:
        gone = database.execute(
            "DELETE FROM vectors WHERE id IN (SELECT id FROM vectors ORDER BY used, id LIMIT ?)", (_EVICT,)
        )
        if gone.rowcount == 0:
            return


def _bytes_used(database: sqlite3.Connection) -> int:
    """Pages that hold something; free ones are filled again before the file grows."""
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    (free,) = database.execute("PRAGMA freelist_count").fetchone()
    return (pages - free) * _PAGE_BYTES
