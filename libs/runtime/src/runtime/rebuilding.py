"""Who keeps a projection's generations: begins rebuilds, has them filled and compared, and switches.

All that must outlive a crash stands in the keeper's register: whoever owns the lease `generations.<projection>` looks
there and goes on. `building` → a process fills it → `following`: every shard's owner feeds it → compared → `serving`.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from contracts.errors import Conflict, MemlogError, Unavailable
from contracts.generations import FollowAction, FollowReply, FollowRequest, RebuildProgress
from contracts.subjects import follow_subject, switched_subject
from nats.aio.client import Client

from runtime.building import Builder
from runtime.errors import NATS_FAILURES
from runtime.filling import LATER
from runtime.generations import Generation, GenerationKeeper, serving_of
from runtime.leases import Leases

log = structlog.get_logger()
_LOOK_EVERY = 5.0
"""Seconds between looks at what follows and at what the owners feed."""
_RETRY_FIRST, _RETRY_MOST = 0.5, 10.0
_ATTEMPTS = 5
"""How often a filling process may end without having got on."""
_FOLLOW_S, _TELL_S = 60.0, 3.0
UNFINISHED = ("building", "paused", "following", "failed")


@dataclass(frozen=True, slots=True)
class Order:
    """To switch to a generation as soon as it follows, with `force` past a difference."""

    force: bool = False


class Rebuilding:
    """Carries rebuilds of one projection out, one at a time; `runtime.generation_desk` takes the orders."""

    def __init__(
        self, keeper: GenerationKeeper, client: Client, leases: Leases, shards: int, environment: Mapping[str, str]
    ) -> None:
        self.keeper = keeper
        self.failure: str | None = None
        """What is in the way; None while nothing is."""
        self.changing = asyncio.Lock()
        """Held by whoever changes the register."""
        self.orders: dict[int, Order] = {}
        """What a person asked for, by generation, until it is done or this process ends."""
        self.from_scratch: set[int] = set()
        """Generations that are to be filled without the help of what earlier ones left."""
        self._client = client
        self._leases = leases
        self._shards = shards
        self._builder = Builder(environment)
        self._wake = asyncio.Event()
        self._killed = self._reached = 0

    @property
    def progress(self) -> RebuildProgress | None:
        """Of the generation that is being filled."""
        pace = self._builder.pace
        return None if pace is None else pace.progress()

    async def run(self) -> None:
        """Begin what is due, go on with what was begun, until cancelled."""
        begun = False
        delay = _RETRY_FIRST
        while True:
            self._wake.clear()
            try:
                if not begun:
                    await self._begin()
                    begun = True
                await self._look()
                self.failure, wait, delay = None, _LOOK_EVERY, _RETRY_FIRST
            except (MemlogError, *NATS_FAILURES) as error:
                self.failure = str(error) or type(error).__name__
                log.warning("rebuild_interrupted", projection=self.keeper.projection, reason=self.failure)
                wait, delay = delay, min(delay * 2, _RETRY_MOST)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()

    def wake(self) -> None:
        """Something changed in the register: look now."""
        self._wake.set()

    async def find(self, number: int) -> Generation | None:
        return next((each for each in await self.keeper.generations() if each.number == number), None)

    async def stop_building(self) -> None:
        """The process that fills ends; what it committed is kept. The register says what becomes of the generation."""
        await self._builder.stop()

    async def advance(self, number: int, *, ordered: bool = False, force: bool = False) -> None:
        """Have every shard's owner feed a generation that follows, compare it, and switch to it; the caller holds
        `changing`. One that differs is switched to only by `force`, one to be held only when that is `ordered`: else
        it goes on following. Raises `Conflict` for an order that cannot be followed, `Unavailable`."""
        await self._tell("follow", number, await self._leases.fresh_epoch())
        generation = await self.find(number)
        if generation is None or generation.state != "following":
            raise Conflict(f"generation {number} of {self.keeper.projection} does not follow any more")
        parity, difference = generation.parity, generation.difference
        if parity is None or (ordered and parity == "differs"):
            parity, difference = await self._compare(number)
            await self.keeper.note(number, "following", parity=parity, difference=difference)
            log.info("generation_compared", projection=self.keeper.projection, generation=number, parity=parity)
        if parity == "differs" and not force:
            if ordered:
                raise Conflict(
                    f"generation {number} differs from the serving one: {difference}. To switch all the same: force"
                )
            return
        if generation.hold and not ordered:
            return
        await self.keeper.switch(number)
        self.orders.pop(number, None)
        log.info("generation_switched", projection=self.keeper.projection, generation=number)
        await self._client.publish(switched_subject(self.keeper.projection), str(number).encode())
        await self._look_after()

    async def remove(self, number: int) -> None:
        """Nobody feeds it any more, and it goes; the caller holds `changing`."""
        with contextlib.suppress(Unavailable):
            await self._tell("leave", number)
        await self.keeper.drop(number)
        self.orders.pop(number, None)

    async def _begin(self) -> None:
        """A rebuild begins by itself when what serves was made by other code."""
        async with self.changing:
            found = await self.keeper.generations()
            reason = self.keeper.stale(serving_of(found))
            if reason is None:
                return
            begun = [each for each in found if each.state in UNFINISHED]
            for generation in begun:
                if self.keeper.stale(generation) is not None:
                    await self.remove(generation.number)
                elif generation.state == "failed":
                    await self.keeper.note(generation.number, "building")
            if all(self.keeper.stale(generation) is not None for generation in begun):
                created = await self.keeper.create(None, False)
                log.info("rebuild_began", projection=self.keeper.projection, generation=created.number, reason=reason)

    async def _look(self) -> None:
        async with self.changing:
            await self._look_after()
            found = await self.keeper.generations()
            active = next((each for each in reversed(found) if each.state in ("building", "following")), None)
            if active is not None and active.state == "following":
                order = self.orders.get(active.number)
                await self.advance(active.number, ordered=order is not None, force=order is not None and order.force)
        if active is not None and active.state == "building":
            await self._fill(active.number)

    async def _look_after(self) -> None:
        """Owners feed what serves; of those that served before the last one is kept."""
        found = await self.keeper.generations()
        serving = serving_of(found)
        with contextlib.suppress(Unavailable):  # an owner that is away looks at the register when it is back
            await self._tell("serve", serving.number)
        retired = sorted((g for g in found if g.state == "retired"), key=lambda g: g.switched_at or g.started_at)
        for generation in retired[:-1]:
            await self.keeper.drop(generation.number)

    async def _fill(self, number: int) -> None:
        with contextlib.suppress(Unavailable):
            await self._tell("leave", number)
        command = self.keeper.builder(number, number in self.from_scratch)
        built = await self._builder.build(number, command)
        async with self.changing:
            generation = await self.find(number)
            if generation is None or generation.state != "building":
                return  # paused, or cancelled
            self._killed = self._killed + 1 if built.code < 0 and built.events <= self._reached else 0
            self._reached = built.events
            if built.code == 0:
                await self.keeper.note(number, "following")
                self.wake()
                return
            reason = built.why or f"the process that filled it ended with status {built.code}"
            if built.code == LATER or (built.code < 0 and self._killed < _ATTEMPTS):
                raise Unavailable(f"generation {number} is being filled: {reason}")
            self._killed = 0
            log.error("rebuild_failed", projection=self.keeper.projection, generation=number, reason=reason)
            await self.keeper.note(number, "failed", failure=reason)

    async def _compare(self, number: int) -> tuple[str, str | None]:
        try:
            difference = await self.keeper.compare(number)
        except Conflict as error:
            return "not comparable", error.message
        return ("equal", None) if difference is None else ("differs", difference)

    async def _tell(self, action: FollowAction, number: int, epoch: int = 0) -> None:
        """Tell every shard's owner. Raises `Unavailable` when one does not do it."""
        request = FollowRequest(action=action, number=number, epoch=epoch).model_dump_json().encode()
        name = self.keeper.projection
        for shard in range(self._shards):
            try:
                answer = await self._client.request(
                    follow_subject(name, shard), request, timeout=_FOLLOW_S if action == "follow" else _TELL_S
                )
            except NATS_FAILURES as error:
                raise Unavailable(f"the owner of {name}.{shard} does not answer ({type(error).__name__})") from error
            error = FollowReply.model_validate_json(answer.data).error
            if error is not None:
                raise Unavailable(f"the owner of {name}.{shard} cannot {action} generation {number}: {error}")
