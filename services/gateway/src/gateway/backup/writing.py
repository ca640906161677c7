"""Writing a backup in OpenMemory's format, row by row."""

import asyncio
import gzip
import json
import shutil
import tempfile
import zipfile
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import IO, Any

from gateway.backup.archive import LOGICAL, MEMORIES

_COMPRESSION = 6
_IN_MEMORY = 8 * 1024 * 1024
_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class ExportedBackup:
    """A whole zip of `size` bytes. Whoever sends `chunks` closes it."""

    file: IO[bytes]
    size: int

    async def chunks(self) -> AsyncIterator[bytes]:
        """All of it; the file is gone afterwards."""
        with self.file:
            while chunk := await asyncio.to_thread(self.file.read, _CHUNK):
                yield chunk


class BackupWriter:
    """A zip that is written from its first byte to its last: `value` and `rows` in the order of the file's keys, rows
    of one list in any number of calls; then `close`. `logical` rows go beside, into the other member."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION)
        self._memories = self._zip.open(MEMORIES, "w", force_zip64=False)
        # Two members cannot be written at once.
        self._beside = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - `close` does
        self._logical = gzip.GzipFile(fileobj=self._beside, mode="wb", compresslevel=_COMPRESSION)
        self._list: str | None = None
        self._empty = True
        self._memories.write(b"{")
        self._first = True

    def value(self, key: str, value: object) -> None:
        """A key that is no list."""
        self._key(key)
        self._memories.write(_json(value))

    def rows(self, key: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """The next elements of the list `key`, which may be none."""
        if self._list != key:
            self._key(key)
            self._memories.write(b"[")
            self._list, self._empty = key, True
        for row in rows:
            self._memories.write(b"\n" if self._empty else b",\n")
            self._memories.write(_json(row))
            self._empty = False

    def logical(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Memories, a line each."""
        for row in rows:
            self._logical.write(_json(row) + b"\n")

    def close(self) -> None:
        """The end of the file, which is then whole."""
        self._end_list()
        self._memories.write(b"\n}\n")
        self._memories.close()
        self._logical.close()
        self._beside.seek(0)
        with self._zip.open(zipfile.ZipInfo(LOGICAL), "w") as member, self._beside:
            shutil.copyfileobj(self._beside, member)
        self._zip.close()

    def _key(self, key: str) -> None:
        self._end_list()
        self._memories.write(b"\n" if self._first else b",\n")
        self._memories.write(_json(key) + b": ")
        self._first = False

    def _end_list(self) -> None:
        if self._list is not None:
            self._memories.write(b"]")
            self._list = None


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
