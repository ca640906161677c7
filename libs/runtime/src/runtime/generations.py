"""Generations of a derived store: the one that serves, and others that are fed beside it (architecture §6).

A rebuild fills a new generation in a process of its own, up to near the end of the log. The shard's owner then catches
it up between two batches, and from there on each batch goes to both: the two are always at the same position when a
write is announced, so that switching from one to the other, and back, is one step in which no reader misses anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog
from contracts.codec import Recorded
from contracts.errors import ConcurrencyConflict
from contracts.generations import GenerationState
from contracts.positions import Checkpoint
from contracts.subjects import Aggregate

from runtime.store import ProjectionStore

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Generation:
    """What a derived store says of one of its generations. `difference` None with `parity` 'equal'."""

    number: int
    state: GenerationState
    version: int
    started_at: datetime
    embedder: str | None = None
    switched_at: datetime | None = None
    parity: str | None = None
    difference: str | None = None
    failure: str | None = None
    hold: bool = False


class GenerationKeeper(Protocol):
    """All generations of one projection in one derived store, and the durable register of them. Every method raises
    `Unavailable` when the store does not answer."""

    projection: str

    async def generations(self) -> list[Generation]:
        """What there is, by number. Exactly one serves."""
        ...

    def stale(self, serving: Generation) -> str | None:
        """Why the serving generation should be rebuilt (made by other code, wants another embedder); None: it is as
        it should be. Asked at start, and a rebuild begins by itself."""
        ...

    async def create(self, embedder: str | None, hold: bool) -> Generation:
        """Register and make the next generation, empty, in state `building`. Raises `ConfigurationError` or
        `InvalidInput` for an embedder that is unknown or cannot be reached, before anything is touched."""
        ...

    async def note(
        self,
        number: int,
        state: GenerationState,
        *,
        parity: str | None = None,
        difference: str | None = None,
        failure: str | None = None,
    ) -> None:
        """Write down what became of a generation. Raises `Conflict` when it serves; nothing happens when it is not
        there."""
        ...

    def builder(self, number: int, from_scratch: bool) -> tuple[str, ...]:
        """The command that fills the generation in a process of its own (see `runtime.replay.fill`)."""
        ...

    async def open(self, number: int) -> ProjectionStore:
        """The generation as a store to be fed, for all shards. Asked once in a process until it is released; no child
        has it open then."""
        ...

    async def release(self, number: int) -> None:
        """Let go of what `open` opened; nothing happens when it is not open, or serves."""
        ...

    async def compare(self, number: int) -> str | None:
        """The first difference between the serving generation and this one, which follows, both looked at in one
        state of the log; None when they are equal, whatever order they were filled in. Raises `Conflict` when they
        cannot be compared (other version, other embedder's vectors: then what can be compared is)."""
        ...

    async def switch(self, number: int) -> None:
        """Let reads see this generation, in one step; the one before is `retired`. Raises `Conflict` when it is
        behind the serving one, or, where several processes can feed the store, when in a shard the two were not claimed
        under one epoch: then somebody feeds the serving one alone."""
        ...

    async def state_hash(self, number: int) -> str:
        """A hash of what the generation holds (hex), whatever order it was filled in. What belongs to one recording
        of the events is left out (sequences, times of recording): an imported log leads to the same."""
        ...

    async def drop(self, number: int) -> None:
        """Remove one that does not serve. Nothing happens when it is not there."""
        ...


class GenerationStore(ProjectionStore):
    """The store that a projection's runner feeds: the serving generation, and for each shard those that follow."""

    def __init__(self, number: int, serving: ProjectionStore) -> None:
        self.number = number
        self._serving = serving
        self._following: dict[int, dict[int, ProjectionStore]] = {}
        self.lost: dict[int, str] = {}
        """Generations that could not be fed any more, and why: the serving one goes on without them."""

    def following(self, shard: int) -> frozenset[int]:
        """The generations that get each batch of the shard together with the serving one."""
        return frozenset(self._following.get(shard, ()))

    def follow(self, shard: int, number: int, store: ProjectionStore) -> None:
        """Feed `store` too. It must be where the serving one is; the caller holds off batches meanwhile."""
        self.lost.pop(number, None)
        self._following.setdefault(shard, {})[number] = store

    def leave(self, number: int) -> None:
        """Feed this generation no longer."""
        for stores in self._following.values():
            stores.pop(number, None)

    def promote(self, number: int) -> None:
        """The generation that follows in every shard has become the serving one; the one before is fed no longer."""
        store = next(stores[number] for stores in self._following.values() if number in stores)
        self.leave(number)
        self.number, self._serving = number, store

    async def checkpoint(self, shard: int) -> Checkpoint | None:
        return await self._serving.checkpoint(shard)

    async def claim(self, shard: int, epoch: int) -> None:
        # Those that followed a former owner of the shard are caught up anew before they do again.
        self._following.pop(shard, None)
        await self._serving.claim(shard, epoch)

    async def apply(self, batch: Sequence[Recorded], epoch: int) -> None:
        await self._serving.apply(batch, epoch)
        shard = batch[-1].position.shard
        for number, store in list(self._following.get(shard, {}).items()):
            try:
                await store.apply(batch, epoch)
            except Exception as error:  # noqa: BLE001 - whatever it is, what serves goes on
                self._lose(number, error)

    async def refold(self, aggregate: Aggregate, history: Sequence[Recorded], epoch: int) -> None:
        await self._serving.refold(aggregate, history, epoch)
        shard = history[-1].position.shard
        for number, store in list(self._following.get(shard, {}).items()):
            try:
                await store.refold(aggregate, history, epoch)
            except Exception as error:  # noqa: BLE001 - as above
                self._lose(number, error)

    def _lose(self, number: int, error: Exception) -> None:
        if isinstance(error, ConcurrencyConflict):
            raise error
        self.leave(number)
        self.lost[number] = f"{type(error).__name__}: {error}"
        log.warning("generation_lost", generation=number, error=self.lost[number])
