"""Positions in the log: a shard and a sequence in it."""

import hashlib
import re
from dataclasses import dataclass

from contracts.errors import InvalidInput

_FORMAT = re.compile(r"(0|[1-9][0-9]{0,3})-(0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the log: `shard` from 0, `sequence` from 1 (0 means: before everything).

    To everyone outside it is an opaque string (`str(position)`, read back by `parse`).
    """

    shard: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.shard}-{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Read what `str()` wrote. Raises `InvalidInput` for anything else."""
        match = _FORMAT.fullmatch(text)
        if match is None:
            raise InvalidInput(f"'{text[:40]}' is not a position; pass one that Memlog returned, unchanged")
        return cls(int(match[1]), int(match[2]))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a derived store has applied: a position, and proof of which event stood there.

    `event_id` and `sha256` (hex, of the stored message bytes) let start-up see that the log is still the
    one that the store was derived from (architecture §7): sequence numbers alone can be reused.
    """

    position: Position
    event_id: str
    sha256: str


def message_hash(data: bytes) -> str:
    """SHA-256 (hex) of a stored message's bytes."""
    return hashlib.sha256(data).hexdigest()
