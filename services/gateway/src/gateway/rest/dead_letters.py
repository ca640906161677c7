"""`/api/v1/dead-letters`: what was given up on, for the operator."""

from typing import Annotated

from contracts.dead_letters import DeadLetterDetail, DeadLetterPage, Redriven, RedriveReport
from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.rest.common import Params, RestDep, requires, router
from gateway.service import Scope

routes = router("/api/v1/dead-letters", "dead letters")

LetterId = Annotated[int, Path(ge=1, le=2**63 - 1, description="Its `id` in the list")]


class DeadLetterParams(BaseModel):
    """A page of the list. It is of all users, and holds no content."""

    model_config = ConfigDict(extra="forbid")
    after: int = Field(default=0, ge=0, le=2**63 - 1, description="An id: only what comes after it")
    limit: int = Field(default=50, ge=1, le=500)


@routes.get("", dependencies=[requires(Scope.ADMIN, operator=True)], response_model_exclude_none=True)
async def list_dead_letters(params: Annotated[DeadLetterParams, Query()], rest: RestDep) -> DeadLetterPage:
    """Messages that a part of Memlog gave up on, oldest first, with the reason."""
    return await rest.service.dead_letters(after=params.after, limit=params.limit)


@routes.post("/redrive", dependencies=[requires(Scope.ADMIN, operator=True)], response_model_exclude_none=True)
async def redrive_all(rest: RestDep) -> RedriveReport:
    """Try all of them again, an aggregate after the other. What fails again stays, and says why."""
    return await rest.service.redrive_all()


@routes.get("/{letter_id}", dependencies=[requires(Scope.ADMIN, operator=True)], response_model_exclude_none=True)
async def get_dead_letter(letter_id: LetterId, params: Annotated[Params, Query()], rest: RestDep) -> DeadLetterDetail:
    """One of them with its message; content is shown to the user whose it is."""
    return await rest.service.dead_letter(rest.caller(params.user_id), letter_id)


@routes.post(
    "/{letter_id}/redrive", dependencies=[requires(Scope.ADMIN, operator=True)], response_model_exclude_none=True
)
async def redrive(letter_id: LetterId, rest: RestDep) -> Redriven:
    """Try again what the letter is about, with all that waits behind it. 409 when it fails again."""
    return await rest.service.redrive(letter_id)


@routes.delete("/{letter_id}", dependencies=[requires(Scope.ADMIN, operator=True)], response_model_exclude_none=True)
async def drop(letter_id: LetterId, rest: RestDep) -> Redriven:
    """Go on without it, for good. The log keeps the original; what waits behind it is applied."""
    return await rest.service.drop_dead_letter(letter_id)
