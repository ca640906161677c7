"""Generations of a derived store: the one that serves, and others that are fed beside it (architecture §6).

A rebuild fills a new generation in a process of its own, up to near the end of the log. The shard's owner then catches
it up between two batches, and from there on each batch goes to both: the two are always at the same position when a
write is announced, so that switching from one to the other, and back, is one step in which no reader misses anything.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog
from contracts.codec import Recorded
from contracts.errors import ConcurrencyConflict, Conflict, LogNotTrusted, Unavailable
from contracts.generations import GenerationState
from contracts.positions import Checkpoint
from contracts.subjects import Aggregate

from runtime.quarantine import WILL_HEAL
from runtime.store import ProjectionStore

log = structlog.get_logger()
_PATIENCE = 3


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


def serving_of(found: Sequence[Generation]) -> Generation:
    """The one that serves. Raises `Unavailable` when there is none."""
    for generation in found:
        if generation.state == "serving":
            return generation
    raise Unavailable("no generation serves")


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
    """What the owner of one shard feeds: the generation that serves, then those that follow it. It returns from `apply`
    when all of them have committed, so that what is announced holds whichever of them readers see.

    `lost` is told of a generation that cannot be fed any more, and why; it raises when that one serves meanwhile.
    """

    def __init__(self, lost: Callable[[int, str], Awaitable[None]]) -> None:
        self.number = 0
        self.epoch = 0
        self._serving: ProjectionStore | None = None
        self._following: dict[int, ProjectionStore] = {}
        self._failed: dict[int, int] = {}
        self._lost = lost

    @property
    def serving(self) -> ProjectionStore:
        if self._serving is None:
            raise Unavailable("it is not known yet which generation serves")
        return self._serving

    @property
    def following(self) -> frozenset[int]:
        """The generations that get each batch together with the serving one."""
        return frozenset(self._following)

    def serve(self, number: int, store: ProjectionStore) -> None:
        """This one serves; nothing follows it yet."""
        self.number, self._serving = number, store
        self._following.clear()

    def follow(self, number: int, store: ProjectionStore, epoch: int) -> None:
        """Feed `store` too. It is where the serving one is, and both are claimed under `epoch`; the caller holds off
        batches meanwhile."""
        self._following[number] = store
        self.epoch = max(self.epoch, epoch)

    def leave(self, number: int) -> None:
        """Feed this generation no longer."""
        self._following.pop(number, None)

    def promote(self, number: int) -> None:
        """The generation that follows has become the serving one; the one before is fed no longer. Raises `Conflict`
        when it does not follow."""
        if number == self.number:
            return
        if number not in self._following:
            raise Conflict(f"generation {number} does not follow here")
        self.number, self._serving = number, self._following.pop(number)

    async def checkpoint(self, shard: int) -> Checkpoint | None:
        return await self.serving.checkpoint(shard)

    async def claim(self, shard: int, epoch: int) -> None:
        self.epoch = max(self.epoch, epoch)
        await self.serving.claim(shard, self.epoch)

    async def apply(self, batch: Sequence[Recorded], epoch: int) -> None:
        await self.serving.apply(batch, self._under(epoch))
        await self._feed(lambda store: store.apply(batch, self._under(epoch)))

    async def refold(self, aggregate: Aggregate, history: Sequence[Recorded], epoch: int) -> None:
        await self.serving.refold(aggregate, history, self._under(epoch))
        await self._feed(lambda store: store.refold(aggregate, history, self._under(epoch)))

    async def feed(self, number: int, work: Callable[[], Awaitable[None]]) -> bool:
        """Work on a generation that does not serve: whether that went well. What may heal is raised a few times, so
        that the owner starts over and catches it up; then, and for all else, the generation is lost."""
        try:
            await work()
        except (ConcurrencyConflict, LogNotTrusted):
            raise
        except Exception as error:
            self._failed[number] = self._failed.get(number, 0) + 1
            if isinstance(error, WILL_HEAL) and self._failed[number] < _PATIENCE:
                raise
            self.leave(number)
            self._failed.pop(number)
            reason = f"{type(error).__name__}: {error}"
            log.warning("generation_lost", generation=number, error=reason)
            await self._lost(number, reason)
            return False
        self._failed.pop(number, None)
        return True

    def _under(self, epoch: int) -> int:
        """The epoch of the lease, or the one under which a generation was claimed together with the serving one."""
        return max(epoch, self.epoch)

    async def _feed(self, work: Callable[[ProjectionStore], Awaitable[None]]) -> None:
        for number, store in list(self._following.items()):
            await self.feed(number, lambda store=store: work(store))
