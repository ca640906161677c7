"""A small derived store for tests of the runtime: rows and position in one SQLite transaction, fenced by epoch."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from contracts.codec import Recorded
from contracts.errors import ConcurrencyConflict, Unavailable
from contracts.positions import Checkpoint, Position
from contracts.subjects import Aggregate

_SCHEMA = """
CREATE TABLE IF NOT EXISTS applied (n INTEGER PRIMARY KEY, shard INTEGER, sequence INTEGER, event_id TEXT, type TEXT);
CREATE TABLE IF NOT EXISTS position (shard INTEGER PRIMARY KEY, sequence INTEGER, event_id TEXT, sha256 TEXT);
CREATE TABLE IF NOT EXISTS owner (shard INTEGER PRIMARY KEY, epoch INTEGER);
"""


class SqliteStore:
    """See `runtime.store.ProjectionStore`. It keeps a row for every event that it was ever given to apply.

    `fail_next`: how many calls of `apply` fail from now on, as a server that does not answer.
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(_SCHEMA)
        self.fail_next = 0
        self.batches: list[int] = []

    def close(self) -> None:
        self._db.close()

    def sequences(self, shard: int = 0) -> list[int]:
        """What was applied, in the order of applying."""
        rows = self._db.execute("SELECT sequence FROM applied WHERE shard = ? ORDER BY n", (shard,))
        return [row[0] for row in rows]

    def types(self, shard: int = 0) -> list[str]:
        return [row[0] for row in self._db.execute("SELECT type FROM applied WHERE shard = ? ORDER BY n", (shard,))]

    def forge(self, checkpoint: Checkpoint) -> None:
        """Pretend to have applied up to here."""
        at = checkpoint.position
        row = (at.shard, at.sequence, checkpoint.event_id, checkpoint.sha256)
        self._db.execute("INSERT OR REPLACE INTO position VALUES (?, ?, ?, ?)", row)

    async def checkpoint(self, shard: int) -> Checkpoint | None:
        row = self._db.execute("SELECT sequence, event_id, sha256 FROM position WHERE shard = ?", (shard,)).fetchone()
        return None if row is None else Checkpoint(Position(shard, row[0]), row[1], row[2])

    async def claim(self, shard: int, epoch: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO owner VALUES (?, ?)", (shard, epoch))

    async def apply(self, batch: Sequence[Recorded], epoch: int) -> None:
        if self.fail_next > 0:
            self.fail_next -= 1
            raise Unavailable("the store does not answer")
        shard, last = batch[-1].position.shard, batch[-1]
        claimed = self._db.execute("SELECT epoch FROM owner WHERE shard = ?", (shard,)).fetchone()
        if claimed is not None and claimed[0] > epoch:
            raise ConcurrencyConflict(f"epoch {claimed[0]} has claimed shard {shard}, this is {epoch}")
        stored = await self.checkpoint(shard)
        at = 0 if stored is None else stored.position.sequence
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(
            "INSERT INTO applied (shard, sequence, event_id, type) VALUES (?, ?, ?, ?)",
            [(shard, e.position.sequence, e.meta.id, e.type) for e in batch if e.position.sequence > at],
        )
        if last.position.sequence > at:
            self.forge(Checkpoint(last.position, last.meta.id, last.sha256))
        self._db.execute("COMMIT")
        self.batches.append(len(batch))

    async def refold(self, aggregate: Aggregate, history: Sequence[Recorded], epoch: int) -> None:
        raise NotImplementedError
