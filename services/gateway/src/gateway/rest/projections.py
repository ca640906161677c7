"""`/api/v1/projections`: where each derived store is, and rebuilding it, for the operator."""

from typing import Annotated

from contracts.generations import GenerationRequest, ProjectionList, ProjectionView
from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.rest.common import RestDep, requires, router
from gateway.service import Scope

routes = router("/api/v1/projections", "projections")

ProjectionName = Annotated[str, Path(max_length=64, description="read-models, access-log or index")]
Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="As the list of generations has it")]


class ProjectionParams(BaseModel):
    """What to describe."""

    model_config = ConfigDict(extra="forbid")
    state_hash: bool = Field(default=False, description="Hash what is held, too: reads all of it, so it takes a while")


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Rebuild(_Body):
    """How to rebuild."""

    from_scratch: bool = Field(default=False, description="Drop a rebuild that was begun instead of going on with it")
    hold: bool = Field(default=False, description="Do not switch when it has caught up: wait for `switch`")
    embedder: str | None = Field(default=None, max_length=200, description="Of the index: with this embedder")


class Which(_Body):
    """Which generation; without a number, the one that is meant."""

    number: int | None = Field(default=None, ge=1, le=2**31 - 1)


class SwitchTo(Which):
    force: bool = Field(default=False, description="Although it differs from the one that serves")


@routes.get("", dependencies=[requires(Scope.ADMIN, operator=True)])
async def list_projections(params: Annotated[ProjectionParams, Query()], rest: RestDep) -> ProjectionList:
    """All projections: position, lag, generations, and how far a rebuild is."""
    return await rest.service.projections(state_hash=params.state_hash)


@routes.get("/{name}", dependencies=[requires(Scope.ADMIN, operator=True)])
async def get_projection(
    name: ProjectionName, params: Annotated[ProjectionParams, Query()], rest: RestDep
) -> ProjectionView:
    """One projection."""
    return await rest.service.projection(name, state_hash=params.state_hash)


@routes.post("/{name}/rebuild", dependencies=[requires(Scope.ADMIN, operator=True)], status_code=202)
async def rebuild(name: ProjectionName, rest: RestDep, body: Rebuild | None = None) -> ProjectionView:
    """Fill another generation from the log beside the one that serves, or go on with one that was not finished. When
    it has caught up and is equal, it serves."""
    asked = body or Rebuild()
    return await rest.service.change_projection(name, GenerationRequest(action="rebuild", **asked.model_dump()))


@routes.post("/{name}/pause", dependencies=[requires(Scope.ADMIN, operator=True)])
async def pause(name: ProjectionName, rest: RestDep, body: Which | None = None) -> ProjectionView:
    """Halt the rebuild; what is filled is kept."""
    return await rest.service.change_projection(name, GenerationRequest(action="pause", number=_number(body)))


@routes.post("/{name}/resume", dependencies=[requires(Scope.ADMIN, operator=True)])
async def resume(name: ProjectionName, rest: RestDep, body: Which | None = None) -> ProjectionView:
    """Go on with a rebuild that was paused, or has failed."""
    return await rest.service.change_projection(name, GenerationRequest(action="resume", number=_number(body)))


@routes.post("/{name}/cancel", dependencies=[requires(Scope.ADMIN, operator=True)])
async def cancel(name: ProjectionName, rest: RestDep, body: Which | None = None) -> ProjectionView:
    """Give the rebuild up, and remove what it filled."""
    return await rest.service.change_projection(name, GenerationRequest(action="cancel", number=_number(body)))


@routes.post("/{name}/switch", dependencies=[requires(Scope.ADMIN, operator=True)])
async def switch(name: ProjectionName, rest: RestDep, body: SwitchTo | None = None) -> ProjectionView:
    """Let reads see the generation that follows. 409 when it differs from the one that serves."""
    asked = body or SwitchTo()
    return await rest.service.change_projection(name, GenerationRequest(action="switch", **asked.model_dump()))


@routes.post("/{name}/rollback", dependencies=[requires(Scope.ADMIN, operator=True)])
async def rollback(name: ProjectionName, rest: RestDep, body: SwitchTo | None = None) -> ProjectionView:
    """Catch up the generation that served before, and let reads see it again."""
    asked = body or SwitchTo()
    return await rest.service.change_projection(name, GenerationRequest(action="rollback", **asked.model_dump()))


@routes.delete("/{name}/generations/{number}", dependencies=[requires(Scope.ADMIN, operator=True)])
async def drop_generation(name: ProjectionName, number: Number, rest: RestDep) -> ProjectionView:
    """Remove a generation that neither serves nor is being built."""
    return await rest.service.change_projection(name, GenerationRequest(action="drop", number=number))


def _number(body: Which | None) -> int | None:
    return None if body is None else body.number
