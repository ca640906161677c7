"""The zip around a backup. It may be hostile, so nothing of it is believed: it is bounded before it is opened, nothing
is ever unpacked to a disk, and members are read as streams that end at a limit."""

import io
import struct
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO, BinaryIO

from contracts.errors import PayloadTooLarge
from typing_extensions import Buffer

from gateway.backup.errors import BrokenBackup

MEMORIES = "memories.json"
LOGICAL = "memories.jsonl.gz"
MOST_UNPACKED = 512 * 1024 * 1024
_MOST_MEMBERS = 100
_MOST_DIRECTORY = 64 * 1024
_END = struct.Struct("<4s4H2LH")  # APPNOTE 4.3.16: end of central directory record
_LOCATOR = 20  # APPNOTE 4.3.15: ZIP64 end of central directory locator
_ENCRYPTED = 0x1
_CHUNK = 1 << 16


@contextmanager
def opened(file: BinaryIO) -> Generator[zipfile.ZipFile]:
    """The zip in this file, whose names and sizes are harmless and which has a `memories.json`. Raises `BrokenBackup`,
    `PayloadTooLarge`."""
    _check_directory(file)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError, struct.error) as error:
        raise BrokenBackup(f"the file is not a whole zip: {_words(error)}") from None
    with archive:
        found: set[str] = set()
        for info in archive.infolist():
            _check_member(info)
            name = _base(info.filename)
            if name in (MEMORIES, LOGICAL) and not info.is_dir():
                if name in found:
                    raise BrokenBackup(f"{name} is in the zip more than once")
                found.add(name)
        if MEMORIES not in found:
            raise BrokenBackup(f"{MEMORIES} is missing in the zip")
        yield archive


@contextmanager
def member(archive: zipfile.ZipFile, name: str) -> Generator[BinaryIO]:
    """This member of the zip as a stream of what it unpacks to. Reading it raises `BrokenBackup` where it is damaged,
    `PayloadTooLarge` where it does not end."""
    info = next(each for each in archive.infolist() if not each.is_dir() and _base(each.filename) == name)
    with _explained(name), archive.open(info) as stream:
        yield io.BufferedReader(_Bounded(stream, name), _CHUNK)


def check_whole(archive: zipfile.ZipFile) -> None:
    """Read the other member to its end, if it is there. Raises as `member`."""
    if any(_base(each.filename) == LOGICAL and not each.is_dir() for each in archive.infolist()):
        with member(archive, LOGICAL) as stream:
            while stream.read(_CHUNK):
                pass


class _Bounded(io.RawIOBase):
    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream = stream
        self._name = name
        self._left = MOST_UNPACKED

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer)
        with _explained(self._name):
            data = self._stream.read(len(view))
        self._left -= len(data)
        if self._left < 0:
            raise PayloadTooLarge(f"{self._name} unpacks to more than the {MOST_UNPACKED} bytes allowed")
        view[: len(data)] = data
        return len(data)


@contextmanager
def _explained(name: str) -> Generator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise BrokenBackup(f"{name} in the zip is damaged: {_words(error)}") from None


def _check_directory(file: BinaryIO) -> None:
    """The list of members has to be small: the zip library reads all of it at once."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(size - (1 << 16) - _END.size, 0))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise BrokenBackup("the file is not a zip, or its end is missing")
    _, _, _, _, members, directory, _, _ = _END.unpack_from(tail, at)
    if tail[max(at - _LOCATOR, 0) :].startswith(b"PK\x06\x07"):
        raise BrokenBackup("the zip is a ZIP64, which is for larger files than can be imported")
    if members > _MOST_MEMBERS or directory > _MOST_DIRECTORY:
        raise BrokenBackup(f"the zip has more than {_MOST_MEMBERS} members; a backup has two")
    file.seek(0)


def _check_member(info: zipfile.ZipInfo) -> None:
    name = info.filename
    shown = "".join(char if char.isprintable() else "?" for char in name)[:80]
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        raise BrokenBackup(f"the zip has a member that leads out of it: '{shown}'")
    if info.flag_bits & _ENCRYPTED:
        raise BrokenBackup(f"'{shown}' in the zip is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BrokenBackup(f"'{shown}' in the zip is packed in a way that backups are not")
    if info.file_size > MOST_UNPACKED:
        raise PayloadTooLarge(f"'{shown}' in the zip unpacks to more than the {MOST_UNPACKED} bytes allowed")


def _base(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _words(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:200]
