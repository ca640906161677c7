"""What the owner of a shard does about the generations beside the serving one (see `runtime.generations`).

The register says what serves and what follows. An owner claims the serving generation and those that follow under one
epoch, catches these up, and feeds them from then on: what nobody feeds together with the serving one is never shown.
"""

import asyncio
from dataclasses import dataclass, field

import structlog
from contracts.codec import Meta, Recorded
from contracts.errors import Conflict, MemlogError
from contracts.generations import FollowReply, FollowRequest
from contracts.positions import Checkpoint
from contracts.subjects import follow_subject
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from runtime.clock import utc_now
from runtime.generations import GenerationKeeper, GenerationStore, serving_of
from runtime.nats import subscribe
from runtime.reading import Reading
from runtime.spans import replaying
from runtime.store import ProjectionStore

log = structlog.get_logger()
_FEW = 200
"""Events that may be left when batches are held off for the rest."""
_ROUNDS = 50


@dataclass(slots=True)
class OpenGenerations:
    """The generations that this process has open, each once for all shards."""

    keeper: GenerationKeeper
    _stores: dict[int, ProjectionStore] = field(default_factory=dict[int, ProjectionStore])
    _users: dict[int, set[int]] = field(default_factory=dict[int, set[int]])
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def open(self, number: int, shard: int) -> ProjectionStore:
        async with self._changing:
            if number not in self._stores:
                self._stores[number] = await self.keeper.open(number)
            self._users.setdefault(number, set()).add(shard)
            return self._stores[number]

    async def release(self, number: int, shard: int) -> None:
        """The shard does not use it any more; when none does, it is let go of."""
        async with self._changing:
            users = self._users.get(number, set())
            users.discard(shard)
            if not users and self._stores.pop(number, None) is not None:
                await self.keeper.release(number)


class Following:
    """One shard's part: its `store`, and what follows there."""

    def __init__(self, projection: str, shard: int, opened: OpenGenerations, client: Client, reading: Reading) -> None:
        self.store = GenerationStore(self._lost)
        self._projection = projection
        self._shard = shard
        self._opened = opened
        self._keeper = opened.keeper
        self._client = client
        self._reading = reading

    async def attach(self, epoch: int) -> None:
        """Before the owner begins, or begins anew: claim what serves, and catch up what follows. Raises
        `ConcurrencyConflict`, `Unavailable`."""
        while True:
            found = await self._keeper.generations()
            serving = serving_of(found).number
            if serving != self.store.number:
                before = self.store.number
                self.store.serve(serving, await self._opened.open(serving, self._shard))
                await self._opened.release(before, self._shard)
            for number in self.store.following:
                self.store.leave(number)
            await self.store.claim(self._shard, epoch)
            # From here on nothing is switched to that this owner does not feed.
            found = await self._keeper.generations()
            if serving_of(found).number == serving:
                break
        for generation in found:
            if generation.state == "following":
                await self.store.feed(generation.number, lambda number=generation.number: self._join(number))

    async def _join(self, number: int) -> None:
        """Claim, catch up and feed; no batch is under way."""
        store = await self._opened.open(number, self._shard)
        await store.claim(self._shard, self.store.epoch)
        await self._catch_up(store, self.store.epoch)
        self.store.follow(number, store, self.store.epoch)

    async def follow(self, number: int, epoch: int, writing: asyncio.Lock) -> None:
        """Catch the generation up while batches go on, hold them off for the last few events, and feed it from then
        on. Raises `Conflict` when it does not follow by the register, `ConcurrencyConflict` when this is not the
        shard's owner any more, and as the store does."""
        if number in self.store.following or number == self.store.number:
            return
        found = {generation.number: generation for generation in await self._keeper.generations()}
        if number not in found or found[number].state != "following":
            raise Conflict(f"generation {number} of {self._projection} does not follow")
        epoch = max(epoch, self.store.epoch)
        store = await self._opened.open(number, self._shard)
        await store.claim(self._shard, epoch)
        for _ in range(_ROUNDS):
            if await self._catch_up(store, epoch) <= _FEW:
                break
        async with writing:
            await self._catch_up(store, epoch)
            # Fails when somebody else has claimed the shard meanwhile: then this one must not say that it feeds it.
            await self.store.serving.claim(self._shard, epoch)
            self.store.follow(number, store, epoch)

    async def leave(self, number: int, writing: asyncio.Lock) -> None:
        async with writing:
            self.store.leave(number)
        if number != self.store.number:
            await self._opened.release(number, self._shard)

    async def promote(self, number: int, writing: asyncio.Lock) -> None:
        async with writing:
            before = self.store.number
            self.store.promote(number)
        if before != number:
            await self._opened.release(before, self._shard)

    async def open(self, writing: asyncio.Lock) -> Subscription:
        """Answer requests from now on. `writing` is held by whoever applies a batch."""

        async def asked(message: Msg) -> None:
            request = FollowRequest.model_validate_json(message.data)
            error = None
            try:
                match request.action:
                    case "follow":
                        await self.follow(request.number, request.epoch, writing)
                    case "leave":
                        await self.leave(request.number, writing)
                    case "serve":
                        await self.promote(request.number, writing)
            except Exception as failure:  # noqa: BLE001 - who asked must be told, whatever it is
                log.warning(
                    "generation_not_followed", projection=self._projection, shard=self._shard, error=str(failure)
                )
                error = failure.message if isinstance(failure, MemlogError) else type(failure).__name__
            reply = FollowReply(serving=self.store.number, following=sorted(self.store.following), error=error)
            await message.respond(reply.model_dump_json().encode())

        return await subscribe(self._client, follow_subject(self._projection, self._shard), asked)

    async def _catch_up(self, store: ProjectionStore, epoch: int) -> int:
        """Bring it to where the serving one is now; how many events that took."""
        goal = await self.store.serving.checkpoint(self._shard)
        reached = await store.checkpoint(self._shard)
        at = 0 if reached is None else reached.position.sequence
        if goal is None or at >= goal.position.sequence:
            return 0
        count = 0
        await self._reading.buried.load()
        async for events, headers in self._reading.between(at, goal.position.sequence):
            with replaying(self._reading.stream, self._projection, headers):
                await store.apply(events, epoch)
            count, at = count + len(events), events[-1].position.sequence
        if at < goal.position.sequence:  # what stood there is gone (reads may age out): only the position moves
            await store.apply([_passed(goal)], epoch)
        return count

    async def _lost(self, number: int, reason: str) -> None:
        await self._keeper.note(number, "failed", failure=reason)


def _passed(checkpoint: Checkpoint) -> Recorded:
    """An event that changes nothing, where a checkpoint says that one stood."""
    nobody = Meta(checkpoint.event_id, "system", "", "", utc_now(), checkpoint.event_id, checkpoint.event_id)
    return Recorded(checkpoint.position, utc_now(), checkpoint.sha256, nobody, "passed", None)
