"""Where generations are asked about and changed: `contracts.generations.GenerationRequest`, over core NATS."""

import asyncio
from collections.abc import Callable

import structlog
from contracts.api import Announcement
from contracts.errors import Conflict, MemlogError, NotFound
from contracts.generations import GenerationReply, GenerationRequest, GenerationView, ProjectionView
from contracts.subjects import generations_subject, position_request_subject
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import ValidationError

from runtime.errors import NATS_FAILURES
from runtime.event_store import EventStore
from runtime.generations import Generation, serving_of
from runtime.nats import subscribe
from runtime.rebuilding import UNFINISHED, Order, Rebuilding
from runtime.tasks import end

log = structlog.get_logger()
_ASK_S = 1.0
_NEAR = 2000
"""Events that a shard's owner catches a generation up with by itself; one that lacks more is filled first."""


class GenerationDesk:
    """Takes the orders for one projection. `run` beside `rebuilding`."""

    def __init__(
        self, rebuilding: Rebuilding, client: Client, events: EventStore, stream_of: Callable[[int], str], shards: int
    ) -> None:
        self._rebuilding = rebuilding
        self._keeper = rebuilding.keeper
        self._client = client
        self._events = events
        self._stream_of = stream_of
        self._shards = shards

    async def run(self) -> None:
        """Answer until cancelled."""
        tasks: set[asyncio.Task[None]] = set()

        async def asked(message: Msg) -> None:
            task = asyncio.create_task(self._answer(message))  # a switch takes its time; others are answered meanwhile
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        subscription = await subscribe(self._client, generations_subject(self._keeper.projection), asked)
        try:
            await self._rebuilding.run()
        finally:
            await end(*tasks)
            if not self._client.is_closed:
                await subscription.unsubscribe()

    async def _answer(self, message: Msg) -> None:
        try:
            request = GenerationRequest.model_validate_json(message.data)
            if request.action != "describe":
                async with self._rebuilding.changing:
                    await self._do(request)
            reply = GenerationReply(projection=await self._describe(request.state_hash))
        except MemlogError as error:
            reply = GenerationReply(code=error.code, error=error.message)
        except ValidationError:
            reply = GenerationReply(code=Conflict.code, error="asked in a form that this version does not know")
        except Exception as error:
            log.exception("generation_request_failed", projection=self._keeper.projection)
            reply = GenerationReply(code=MemlogError.code, error=type(error).__name__)
        await message.respond(reply.model_dump_json().encode())

    async def _do(self, request: GenerationRequest) -> None:
        found = await self._keeper.generations()
        match request.action:
            case "rebuild":
                await self._rebuild(request, found)
            case "pause":
                generation = _chosen(found, request.number, ("building",), "is being filled")
                await self._keeper.note(generation.number, "paused")
                await self._rebuilding.stop_building()
            case "resume":
                generation = _chosen(found, request.number, ("paused", "failed"), "is paused")
                await self._keeper.note(generation.number, "building")
            case "cancel":
                await self._cancel(_chosen(found, request.number, UNFINISHED, "is under way"))
            case "switch":
                generation = _chosen(found, request.number, ("following",), "follows")
                await self._rebuilding.advance(generation.number, ordered=True, force=request.force)
            case "rollback":
                await self._roll_back(request, found)
            case "drop":
                if request.number is None:
                    raise Conflict("say which generation to drop")
                generation = _chosen(found, request.number, ("retired", "failed", "paused"), "can be dropped")
                await self._rebuilding.remove(generation.number)
            case "describe":
                pass
        self._rebuilding.wake()

    async def _rebuild(self, request: GenerationRequest, found: list[Generation]) -> None:
        begun = next((each for each in reversed(found) if each.state in UNFINISHED), None)
        if begun is not None and not request.from_scratch:
            if begun.state in ("building", "following"):
                how = "is being filled" if begun.state == "building" else "is filled, and follows"
                raise Conflict(
                    f"generation {begun.number} of {self._keeper.projection} {how} already: wait for it, or cancel it"
                )
            if request.embedder in (None, begun.embedder) and self._keeper.stale(begun) is None:
                await self._keeper.note(begun.number, "building")
                return
        created = await self._keeper.create(request.embedder, request.hold)
        if request.from_scratch:
            self._rebuilding.from_scratch.add(created.number)
        for generation in found:  # not before: an embedder that cannot be used changes nothing
            if generation.state in UNFINISHED:
                await self._remove(generation)

    async def _cancel(self, generation: Generation) -> None:
        if generation.switched_at is None:
            await self._remove(generation)
        else:  # it served before: only the way back to it is given up
            await self._keeper.note(generation.number, "retired")
            await self._rebuilding.stop_building()
            self._rebuilding.orders.pop(generation.number, None)

    async def _remove(self, generation: Generation) -> None:
        if generation.state == "building":
            await self._keeper.note(generation.number, "paused")
            await self._rebuilding.stop_building()
        await self._rebuilding.remove(generation.number)

    async def _roll_back(self, request: GenerationRequest, found: list[Generation]) -> None:
        if request.number is None:
            retired = [each for each in found if each.state == "retired"]
            if not retired:
                raise Conflict(f"{self._keeper.projection} has no earlier generation to go back to")
            number = max(retired, key=lambda each: each.switched_at or each.started_at).number
        else:
            number = _chosen(found, request.number, ("retired",), "served before").number
        begun = next((each for each in found if each.state in ("building", "following")), None)
        if begun is not None:
            raise Conflict(f"generation {begun.number} is {begun.state}: cancel that first")
        lacks = await self._lacks(number)
        self._rebuilding.orders[number] = Order(force=request.force)
        if lacks > _NEAR:
            await self._keeper.note(number, "building")
            return
        await self._keeper.note(number, "following")
        await self._rebuilding.advance(number, ordered=True, force=request.force)

    async def _lacks(self, number: int) -> int:
        """How many events a generation that nobody feeds is behind."""
        store = await self._keeper.open(number)
        try:
            lag = 0
            for shard in range(self._shards):
                checkpoint = await store.checkpoint(shard)
                at = 0 if checkpoint is None else checkpoint.position.sequence
                lag += max(0, await self._events.last_sequence(self._stream_of(shard)) - at)
            return lag
        finally:
            await self._keeper.release(number)

    async def _describe(self, state_hash: bool) -> ProjectionView:
        found = await self._keeper.generations()
        serving = serving_of(found)
        positions: dict[str, int] = {}
        lag = 0
        failure = self._rebuilding.failure
        for shard in range(self._shards):
            at = await self._position(shard)
            if at is None:
                failure = failure or f"the owner of shard {shard} does not answer"
                continue
            positions[str(shard)] = at
            lag += max(0, await self._events.last_sequence(self._stream_of(shard)) - at)
        return ProjectionView(
            name=self._keeper.projection,
            positions=positions,
            lag=lag,
            state_hash=await self._keeper.state_hash(serving.number) if state_hash else None,
            generations=[_view(each, positions) for each in found],
            rebuild=self._rebuilding.progress,
            failure=failure,
        )

    async def _position(self, shard: int) -> int | None:
        try:
            reply = await self._client.request(
                position_request_subject(self._keeper.projection, shard), b"", timeout=_ASK_S
            )
        except NATS_FAILURES:
            return None
        return Announcement.model_validate_json(reply.data).sequence


def _chosen(found: list[Generation], number: int | None, states: tuple[str, ...], what: str) -> Generation:
    """The generation of this number, or the newest one, in one of these states. Raises `Conflict`, `NotFound`."""
    for generation in reversed(found):
        if number in (None, generation.number):
            if generation.state in states:
                return generation
            if number is not None:
                raise Conflict(f"generation {number} is {generation.state}; it is not one that {what}")
    if number is not None:
        raise NotFound(f"there is no generation {number}")
    raise Conflict(f"there is no generation that {what}")


def _view(generation: Generation, positions: dict[str, int]) -> GenerationView:
    fed = generation.state in ("serving", "following")
    names = set(GenerationView.model_fields) - {"positions"}
    return GenerationView.model_validate(
        {name: getattr(generation, name) for name in names} | {"positions": positions if fed else {}}
    )
