"""`/api/v1/audit`: who read or wrote what, when, through which app, and in which trace."""

from typing import Annotated

from contracts.auditing import Action, AuditPage, ReadMemories
from contracts.ids import OWN_APP, OWNER_APP, parse_uuid
from fastapi import Query
from pydantic import AfterValidator, Field

from gateway.rest.common import Params, RestDep, requires, router
from gateway.service import AuditQuery, Scope

routes = router("/api/v1/audit", "audit")
_MAX_EPOCH = 253_402_300_799
"""The end of the year 9999."""


def _check_app_id(value: str) -> str:
    return value if value in (OWN_APP, OWNER_APP) else parse_uuid(value, "app id")


def _check_memory_id(value: str) -> str:
    return parse_uuid(value, "memory id")


def _check_read_id(value: str) -> str:
    return parse_uuid(value, "read id")


ReadId = Annotated[str, AfterValidator(_check_read_id)]


class AuditParams(Params):
    """Which of it."""

    action: Action | None = Field(default=None, description="Reads or writes alone")
    kind: Annotated[str, Field(pattern="^[A-Za-z]{1,64}$")] | None = Field(
        default=None, description="How it was read (search, list, get, history, export, stream), or an event's type"
    )
    app_id: Annotated[str, AfterValidator(_check_app_id)] | None = Field(
        default=None, description="Of this app alone; `dashboard`: the person, `memlog`: Memlog itself"
    )
    memory_id: Annotated[str, AfterValidator(_check_memory_id)] | None = Field(
        default=None, description="Reads that returned it, and events about it"
    )
    without_own_reads: bool = Field(
        default=False,
        description="Leaves out what was read under the app `dashboard`: by the dashboard itself, and by whatever else "
        "asks as the person. Everybody's writes stay, and so do the reads of all other apps",
    )
    from_date: int | None = Field(default=None, ge=0, le=_MAX_EPOCH, description="Epoch seconds, inclusive")
    to_date: int | None = Field(default=None, ge=0, le=_MAX_EPOCH, description="Epoch seconds, inclusive")
    page: int = Field(default=1, ge=1, le=1_000_000)
    size: int = Field(default=50, ge=1, le=100)


@routes.get("", dependencies=[requires(Scope.READ)])
async def audit(params: Annotated[AuditParams, Query()], rest: RestDep) -> AuditPage:
    """Reads and writes of the user's memories, newest first."""
    query = AuditQuery(**params.model_dump(exclude={"user_id"}))
    return await rest.service.audit(rest.caller(params.user_id), query)


@routes.get("/{read_id}", dependencies=[requires(Scope.READ)])
async def read_memories(read_id: ReadId, params: Annotated[Params, Query()], rest: RestDep) -> ReadMemories:
    """Which memories a read returned, by rank. Their content is not in it."""
    return await rest.service.read_memories(rest.caller(params.user_id), read_id)
