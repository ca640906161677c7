"""A derived store that cannot apply some events, for tests of what is put aside."""

from collections.abc import Sequence
from pathlib import Path

from contracts.codec import Recorded
from contracts.subjects import Aggregate
from support.sqlite_store import SqliteStore


class RefusingStore(SqliteStore):
    """`bad`: sequences of events that it cannot apply. `applied`: those that it did, in order. `folded`: by the id of
    what was folded anew, those that it was folded from; `traces`: of these, one after the other."""

    def __init__(self, path: Path, *bad: int) -> None:
        super().__init__(path)
        self.bad = set(bad)
        self.applied: list[int] = []
        self.folded: dict[str, list[int]] = {}
        self.traces: list[str | None] = []

    async def apply(self, batch: Sequence[Recorded], epoch: int) -> None:
        self._refuse(batch)
        await super().apply(batch, epoch)
        self.applied += [event.position.sequence for event in batch if event.payload is not None]

    async def refold(self, aggregate: Aggregate, history: Sequence[Recorded], epoch: int) -> None:
        self._refuse(history)
        self.folded[aggregate.id] = [event.position.sequence for event in history if event.payload is not None]
        self.traces += [event.trace_id for event in history]

    def _refuse(self, events: Sequence[Recorded]) -> None:
        for event in events:
            if event.payload is not None and event.position.sequence in self.bad:
                raise ValueError(f"event {event.position.sequence} is bad")
