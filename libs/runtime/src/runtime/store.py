"""What a projection writes to: rows (or points) and position together, fenced by the owner's epoch."""

from collections.abc import Sequence
from typing import Protocol

from contracts.codec import Recorded
from contracts.positions import Checkpoint
from contracts.subjects import Aggregate


class ProjectionStore(Protocol):
    """One derived store (a schema of read models, an index). One instance is active per projection and shard."""

    async def checkpoint(self, shard: int) -> Checkpoint | None:
        """How far this store is, by its own word; None before its first event."""
        ...

    async def claim(self, shard: int, epoch: int) -> None:
        """A new owner announces its lease's epoch: from here on, writes with an older epoch are refused."""
        ...

    async def apply(self, batch: Sequence[Recorded], epoch: int) -> None:
        """Apply events of one shard, in order, and move the position, as one unit: all or nothing.

        Raises `contracts.errors.ConcurrencyConflict` when a newer epoch has claimed the shard (the caller must
        stop writing). Events at or below the stored position change nothing.
        """
        ...

    async def refold(self, aggregate: Aggregate, history: Sequence[Recorded], epoch: int) -> None:
        """Replace all that the aggregate has led to by what `history` (its events up to the position, in order) leads
        to; the position stays. All or nothing. Raises as `apply`."""
        ...
