"""`/api/v1/sources`: texts that facts were found in."""

from datetime import UTC, datetime
from typing import Annotated

from contracts.api import Reprocessing
from contracts.ids import parse_uuid
from fastapi import Query
from pydantic import AfterValidator, BaseModel, Field

from gateway.inputs import STRICT, Name
from gateway.rest.common import Params, RestDep, requires, router
from gateway.service import Scope

routes = router("/api/v1/sources", "sources")


def _check_source_id(value: str) -> str:
    return parse_uuid(value, "source id")


def _check_run(value: str) -> str:
    return parse_uuid(value, "run")


SourceId = Annotated[str, AfterValidator(_check_source_id)]
Run = Annotated[str, AfterValidator(_check_run)]
Since = Annotated[int, Field(ge=0, le=253_402_300_799, description="Epoch seconds: texts received from then on")]


class Reprocess(BaseModel):
    """Which texts to read again: all of the user's, those since a time, or one."""

    model_config = STRICT
    user_id: Name | None = None
    since: Since | None = None
    source_id: SourceId | None = Field(default=None, description="The operation of the add that brought the text")
    run: Run | None = Field(default=None, description="To retry: the run that was returned; it has one effect")


class RunParams(Params):
    """The same as when the run began."""

    since: Since | None = None
    source_id: SourceId | None = None


def _time(since: int | None) -> datetime | None:
    return None if since is None else datetime.fromtimestamp(since, UTC)


@routes.post("/reprocess", status_code=202, dependencies=[requires(Scope.WRITE)])
async def reprocess(body: Reprocess, rest: RestDep) -> Reprocessing:
    """Find facts anew in texts that were kept, with the language model and the instructions of now."""
    return await rest.service.reprocess(
        rest.caller(body.user_id), since=_time(body.since), source_id=body.source_id, run=body.run
    )


@routes.get("/reprocess/{run}", dependencies=[requires(Scope.READ)])
async def get_reprocessing(run: Run, params: Annotated[RunParams, Query()], rest: RestDep) -> Reprocessing:
    """How far a run is."""
    return await rest.service.reprocessing(
        rest.caller(params.user_id), run, since=_time(params.since), source_id=params.source_id
    )
