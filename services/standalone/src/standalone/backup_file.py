"""The file of a backup: a tar archive of the streams' snapshots, described by a manifest, sealed with its own hash.

    memlog-backup.json      what this is: format and version
    MEMLOG_EVENTS_0/000000  a stream's snapshot, in members of some megabytes
    …
    manifest.json           what the streams were, so that a restore can be compared
    seal                    SHA-256 (hex) of all bytes before this member

It is written in one pass, and any `tar` can look into it. A reader trusts nothing before the seal is verified: it
covers every byte, tar's own headers and padding included.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from standalone.failures import FileDamaged, FileUnusable, file_errors

VERSION = 1
_FORMAT = "memlog-backup"
_FIRST, _MANIFEST, _SEAL = "memlog-backup.json", "manifest.json", "seal"
_MEMBER = 4 * 1024 * 1024
_BLOCK = tarfile.BLOCKSIZE
_SEAL_BYTES = 4 * _BLOCK
"""The member `seal` (header and content) and the two empty blocks that end an archive."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LastMessage(_Model):
    """The newest message of a stream: SHA-256 (hex) of its bytes."""

    sequence: int
    sha256: str


class Content(_Model):
    """`runtime.stream_reading.Digest` (hex) of a stream's messages from sequence `first` on."""

    first: int
    messages: int
    sha256: str


class ConsumerPosition(_Model):
    """A durable consumer with its configuration, as NATS has it, and the sequence up to which all was handled when the
    backup began."""

    name: str
    config: dict[str, Any]
    handled: int


class StreamPart(_Model):
    """A stream's snapshot. `config` and `state` are those of the server; `sha256` is of the `size` bytes; `last` is
    None when the newest message was removed, `content` when it was not read."""

    stream: str
    config: dict[str, Any]
    state: dict[str, Any]
    size: int
    sha256: str
    members: int
    last: LastMessage | None
    content: Content | None
    consumers: list[ConsumerPosition]


class KeysState(_Model):
    """Data keys when the backup was made: they are not in it. `master` is the fingerprint of their master key."""

    count: int
    last_sequence: int
    master: str | None


class Manifest(_Model):
    """What a backup holds. `incarnations` by shard: which log this is."""

    format: Literal["memlog-backup"] = _FORMAT
    version: int = VERSION
    memlog: str
    server: str
    taken_at: str
    shards: int
    incarnations: list[str]
    streams: list[StreamPart]
    keys: KeysState


class BackupWriter:
    """Writes a backup into `file` from its beginning. A part is open until the next one, or `finish`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sum = hashlib.sha256()
        self._add(_FIRST, json.dumps({"format": _FORMAT, "version": VERSION}).encode())

    def part(self, stream: str) -> "PartWriter":
        """A stream's snapshot, chunk by chunk. Parts of one stream are not taken twice."""
        return PartWriter(stream, self._add)

    def finish(self, manifest: Manifest) -> None:
        self._add(_MANIFEST, manifest.model_dump_json(indent=1).encode())
        self._file.write(_seal(self._sum.hexdigest()))
        self._file.flush()

    def _add(self, name: str, content: bytes) -> None:
        for block in (_header(name, len(content)), content, bytes(-len(content) % _BLOCK)):
            self._file.write(block)
            self._sum.update(block)


class PartWriter:
    """One stream's snapshot while it is written."""

    def __init__(self, stream: str, add: Callable[[str, bytes], None]) -> None:
        self._stream = stream
        self._add = add
        self._waiting = bytearray()
        self._sum = hashlib.sha256()
        self.size = self.members = 0

    def write(self, chunk: bytes) -> None:
        self._waiting += chunk
        self._sum.update(chunk)
        self.size += len(chunk)
        if len(self._waiting) >= _MEMBER:
            self._flush()

    def close(self) -> str:
        """Write what waits; the SHA-256 (hex) of the whole."""
        if self._waiting:
            self._flush()
        return self._sum.hexdigest()

    def _flush(self) -> None:
        self._add(_member(self._stream, self.members), bytes(self._waiting))
        self.members += 1
        self._waiting.clear()


class BackupReader:
    """A backup whose seal was found to be right."""

    def __init__(self, path: Path, advance: Callable[[int], object] = lambda _: None) -> None:
        """Reads the whole file; `advance` is told of bytes. Raises `FileUnusable` and `FileDamaged`."""
        self.path = path
        with file_errors(path), path.open("rb") as file:
            _verify(path, file, advance)
            self._archive = tarfile.open(path, "r:")  # noqa: SIM115 - closed by `close`
        try:
            self.manifest = Manifest.model_validate_json(self._content(_MANIFEST))
        except (KeyError, ValidationError) as error:
            self.close()
            raise FileDamaged(f"{path} has no manifest that this Memlog can read: {error}") from None

    def close(self) -> None:
        self._archive.close()

    def __enter__(self) -> "BackupReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def chunks(self, part: StreamPart) -> Iterator[bytes]:
        """A stream's snapshot. Raises `FileDamaged`."""
        total = hashlib.sha256()
        for number in range(part.members):
            chunk = self._content(_member(part.stream, number))
            total.update(chunk)
            yield chunk
        if total.hexdigest() != part.sha256:
            raise FileDamaged(f"{self.path}: the snapshot of {part.stream} is not the one that was written")

    def _content(self, name: str) -> bytes:
        found = self._archive.extractfile(name)
        assert found is not None, f"{name} is no file"
        return found.read()


def _member(stream: str, number: int) -> str:
    return f"{stream}/{number:06}"


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o600
    return info.tobuf(tarfile.USTAR_FORMAT)


def _seal(digest: str) -> bytes:
    content = f"{digest}\n".encode()
    return b"".join((_header(_SEAL, len(content)), content, bytes(_BLOCK - len(content)), bytes(2 * _BLOCK)))


def _verify(path: Path, file: BinaryIO, advance: Callable[[int], object]) -> None:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    first = file.read(2 * _BLOCK)
    if not first.startswith(_FIRST.encode() + b"\0"):
        raise FileUnusable(f"{path} is no backup of Memlog")
    try:
        version = json.loads(first[_BLOCK:].rstrip(b"\0"))["version"]
    except (ValueError, KeyError, TypeError):
        raise FileDamaged(f"{path} was changed since it was made, or is cut off") from None
    if version != VERSION:
        raise FileUnusable(f"{path} has format version {version}, this Memlog reads {VERSION}: use the newer Memlog")
    file.seek(0)
    total = hashlib.sha256()
    left = size - _SEAL_BYTES
    while left > 0 and (block := file.read(min(left, _MEMBER))):
        total.update(block)
        left -= len(block)
        advance(len(block))
    end = file.read()
    if end != _seal(total.hexdigest()):
        cut = not end.startswith(_SEAL.encode() + b"\0")
        raise FileDamaged(f"{path} {'is cut off: its end is missing' if cut else 'was changed since it was made'}")
