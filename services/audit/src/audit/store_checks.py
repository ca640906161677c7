"""Each derived store against a fresh fold of the log: a generation is filled beside the one that serves, compared with
it in one state of the log, and dropped (`runtime.rebuilding` does all of it). Memlog serves meanwhile."""

import asyncio
from collections.abc import Callable

from contracts.errors import Conflict, MemlogError, Unavailable, error_from_code
from contracts.generations import GenerationReply, GenerationRequest, GenerationView, ProjectionView
from contracts.subjects import generations_subject
from contracts.verification import Difference
from nats.aio.client import Client
from runtime.errors import NATS_FAILURES

_ASK_S = 60.0
_LOOK_S = 0.2
_UNFINISHED = ("building", "paused", "following", "failed")


class NotNow(Conflict):
    """A derived store cannot be compared with a fresh fold of the log right now."""

    code = "not_now"
    remedy = "Do what the message says is in the way, then verify again."


async def compare_with_fold(
    client: Client, projection: str, progress: Callable[[int, int], object]
) -> Difference | None:
    """What the serving generation and a fresh one differ in first; `progress` is told events passed of how many.
    Raises `NotNow` when a rebuild is in the way, `Unavailable`."""
    before = await _ask(client, projection, GenerationRequest(action="describe"))
    begun = next((each for each in before.generations if each.state in _UNFINISHED), None)
    if begun is not None:
        raise NotNow(f"generation {begun.number} of {projection} is {begun.state}: switch to it, or cancel it, first")
    made = await _ask(client, projection, GenerationRequest(action="rebuild", hold=True))
    number = max(each.number for each in made.generations)
    try:
        filled = await _followed(client, projection, number, progress)
    finally:
        await _ask(client, projection, GenerationRequest(action="cancel", number=number))
    if filled.parity == "not comparable":
        raise NotNow(f"{projection}: {filled.difference}")
    if filled.parity == "equal":
        return None
    return Difference(kind="store_differs", where=projection, detail=filled.difference or "it differs")


async def _followed(
    client: Client, projection: str, number: int, progress: Callable[[int, int], object]
) -> GenerationView:
    """The generation, once it was compared."""
    while True:
        view = await _ask(client, projection, GenerationRequest(action="describe"))
        generation = next((each for each in view.generations if each.number == number), None)
        if generation is None or generation.state not in ("building", "following"):
            state = "gone" if generation is None else f"{generation.state}: {generation.failure}"
            raise NotNow(f"generation {number} of {projection}, made to compare with, is {state}")
        if view.rebuild is not None:
            progress(view.rebuild.events, view.rebuild.of)
        if generation.parity is not None:
            return generation
        await asyncio.sleep(_LOOK_S)


async def _ask(client: Client, projection: str, request: GenerationRequest) -> ProjectionView:
    try:
        answer = await client.request(
            generations_subject(projection), request.model_dump_json().encode(), timeout=_ASK_S
        )
    except NATS_FAILURES as error:
        raise Unavailable(f"nobody answers for the generations of {projection} ({type(error).__name__})") from error
    reply = GenerationReply.model_validate_json(answer.data)
    if reply.projection is None:
        raise error_from_code(reply.code or MemlogError.code, reply.error or "refused")
    return reply.projection
