"""The file of an export: JSON Lines, one object a line, everything in the clear.

    {"kind": "header", "format": "memlog-export", "version": 1, …}
    {"kind": "user", "uid": …, "identity": …}       what the user's ids derive from
    {"kind": "event", "shard": …, "sequence": …, "recorded_at": …, "subject": …, "headers": {…},
     "event_id": …, …, "data": {…}, "content": {…}} the whole envelope; `content` is what is sealed in the log
    {"kind": "access", …}                           reads, in the same form
    {"kind": "end", "events": …, "content": …, "sha256": …}

A message that could not be opened (its user was erased, or it is damaged) has `raw`, its bytes in base64, instead of an
envelope. `sha256` is of all bytes before the last line, `content` of the lines between the first and the last: it is
the same for two exports of the same content. A file without its last line is cut off.
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field

from standalone.failures import FileDamaged, FileUnusable

VERSION = 1
_FORMAT = "memlog-export"


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Header(_Line):
    """What the file is of. `last_sequences` of the events, by shard: sequence 1 of each, the log's own first event, is
    not in the file."""

    kind: Literal["header"] = "header"
    format: Literal["memlog-export"] = _FORMAT
    version: int = VERSION
    memlog: str
    created_at: str
    shards: int
    incarnations: list[str]
    last_sequences: list[int]
    with_accesses: bool


class User(_Line):
    """A user with a data key; `identity` in hex."""

    kind: Literal["user"] = "user"
    uid: str = Field(pattern="^[A-Za-z0-9_-]+$")
    identity: str = Field(pattern="^[0-9a-f]{64}$")


_HeaderText = Annotated[str, Field(pattern=r"^[^\r\n]*$")]


class LogMessage(BaseModel):
    """An event or access; what is not named here is its envelope. `subject` without root and shard."""

    model_config = ConfigDict(frozen=True, extra="allow")
    kind: Literal["event", "access"]
    shard: int
    sequence: int
    recorded_at: str = Field(pattern=r"^[0-9TZ:.+-]+$")
    subject: str = Field(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+$")
    headers: dict[_HeaderText, _HeaderText]
    raw: str | None = None
    content: dict[str, Any] | None = None

    def envelope(self) -> Mapping[str, Any] | bytes:
        """The envelope without content, or the stored bytes."""
        return base64.b64decode(self.raw, validate=True) if self.raw is not None else self.model_extra or {}


class End(_Line):
    """The last line: how much there was."""

    kind: Literal["end"] = "end"
    users: int
    events: int
    accesses: int
    content: str
    sha256: str


_KINDS: dict[str, type[User | LogMessage | End]] = {
    "user": User,
    "event": LogMessage,
    "access": LogMessage,
    "end": End,
}


def message_line(
    kind: Literal["event", "access"], place: Mapping[str, Any], message: tuple[Mapping[str, Any], Any] | bytes
) -> dict[str, Any]:
    """The line of a message: `place` has all that is not of the message itself, which is its envelope and content, or
    its stored bytes."""
    if isinstance(message, bytes):
        return {"kind": kind, **place, "raw": base64.b64encode(message).decode()}
    envelope, content = message
    line = {"kind": kind, **place, **envelope}
    return line if content is None else {**line, "content": content}


def _written(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


class ExportWriter:
    """Writes an export: header, lines, end."""

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self._file = file
        self._all = hashlib.sha256()
        self._content = hashlib.sha256()
        self.counts = {"user": 0, "event": 0, "access": 0}
        self._write(header.model_dump())

    def add(self, line: Mapping[str, Any]) -> None:
        self.counts[line["kind"]] += 1
        self._content.update(self._write(line))

    def finish(self) -> End:
        end = End(
            users=self.counts["user"],
            events=self.counts["event"],
            accesses=self.counts["access"],
            content=self._content.hexdigest(),
            sha256=self._all.hexdigest(),
        )
        self._write(end.model_dump())
        self._file.flush()
        return end

    def _write(self, line: Mapping[str, Any]) -> bytes:
        written = _written(line)
        self._all.update(written)
        self._file.write(written)
        return written


class ExportReader:
    """Reads an export once, in order; whether it is whole shows at its end. `header` is there from the beginning, `end`
    after the last message. Raises `FileUnusable` and `FileDamaged`."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self.name = name
        self._all = hashlib.sha256()
        first = file.readline()
        try:
            said = json.loads(first)
            if said["format"] != _FORMAT:
                raise FileUnusable(f"{name} is no export of Memlog")
            if said["version"] != VERSION:
                raise FileUnusable(f"{name} has format version {said['version']}, this Memlog reads {VERSION}")
            self.header = Header.model_validate(said)
        except (ValueError, KeyError, TypeError):
            raise FileUnusable(f"{name} is no export of Memlog, or is damaged") from None
        self._all.update(first)
        self.end: End | None = None

    def lines(self) -> Iterator[tuple[User | LogMessage, int]]:
        """What is between header and end, with the bytes of each line."""
        content = hashlib.sha256()
        counts = {"user": 0, "event": 0, "access": 0}
        for raw in self._file:
            line = self._parse(raw)
            if isinstance(line, End):
                found = End(
                    users=counts["user"],
                    events=counts["event"],
                    accesses=counts["access"],
                    content=content.hexdigest(),
                    sha256=self._all.hexdigest(),
                )
                if raw != _written(found.model_dump()) or self._file.read(1):
                    raise FileDamaged(f"{self.name} was changed since it was made")
                self.end = line
                return
            self._all.update(raw)
            content.update(raw)
            counts[line.kind] += 1
            yield line, len(raw)
        raise FileDamaged(f"{self.name} is cut off: its end is missing")

    def _parse(self, raw: bytes) -> User | LogMessage | End:
        try:
            return _KINDS[json.loads(raw)["kind"]].model_validate_json(raw)
        except (ValueError, KeyError, TypeError):
            raise FileDamaged(f"{self.name} was changed since it was made, or is cut off") from None
