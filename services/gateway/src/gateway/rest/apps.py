"""`/api/v1/apps`: which apps there are, what each wrote and read, and pausing them."""

from typing import Annotated, Literal

from contracts.api import AppPage
from contracts.ids import parse_uuid
from contracts.openmemory import AccessedMemories, AppDetail, AppMemories, ChangedApp
from fastapi import Query
from pydantic import AfterValidator, Field

from gateway.inputs import Needle
from gateway.rest.common import Params, RestDep, requires, router
from gateway.service import AppQuery, Scope

routes = router("/api/v1/apps", "apps")


def _check_app_id(value: str) -> str:
    return parse_uuid(value, "app id")


AppId = Annotated[str, AfterValidator(_check_app_id)]


class AppListParams(Params):
    """Filters of the list."""

    name: Needle | None = Field(default=None, description="Substring of the name, any case")
    is_active: bool | None = None
    sort_by: Literal["name", "memories", "memories_accessed"] = "name"
    sort_direction: Literal["asc", "desc"] = "asc"
    page: int = Field(default=1, ge=1, le=1_000_000)
    page_size: int = Field(default=10, ge=1, le=100)


class AppPageParams(Params):
    """Which page of the app's memories."""

    page: int = Field(default=1, ge=1, le=1_000_000)
    page_size: int = Field(default=10, ge=1, le=100)


class SetActiveParams(Params):
    """Whether the app may write and read."""

    is_active: bool


@routes.get("", dependencies=[requires(Scope.READ)])
async def list_apps(params: Annotated[AppListParams, Query()], rest: RestDep) -> AppPage:
    """One page of the user's apps."""
    query = AppQuery(
        name=params.name or None,
        is_active=params.is_active,
        sort_by=params.sort_by,
        sort_direction=params.sort_direction,
        page=params.page,
        page_size=params.page_size,
    )
    return await rest.service.apps(rest.caller(params.user_id), query)


@routes.get("/{app_id}", dependencies=[requires(Scope.READ)])
async def get_app(app_id: AppId, params: Annotated[Params, Query()], rest: RestDep) -> AppDetail:
    """One app with its totals. "Accessed" counts distinct memories that searches, lists and gets returned to it."""
    return await rest.service.app(rest.caller(params.user_id), app_id)


@routes.get("/{app_id}/memories", dependencies=[requires(Scope.READ)])
async def list_app_memories(app_id: AppId, params: Annotated[AppPageParams, Query()], rest: RestDep) -> AppMemories:
    """One page of the memories that the app wrote, in every state but deleted, newest first."""
    return await rest.service.app_memories(
        rest.caller(params.user_id), app_id, page=params.page, page_size=params.page_size
    )


@routes.get("/{app_id}/accessed", dependencies=[requires(Scope.READ)])
async def list_accessed_memories(
    app_id: AppId, params: Annotated[AppPageParams, Query()], rest: RestDep
) -> AccessedMemories:
    """One page of the memories that were returned to the app, with how many reads did so; deleted ones among them."""
    return await rest.service.app_accessed(
        rest.caller(params.user_id), app_id, page=params.page, page_size=params.page_size
    )


@routes.put("/{app_id}", dependencies=[requires(Scope.ADMIN)])
async def set_app_active(app_id: AppId, params: Annotated[SetActiveParams, Query()], rest: RestDep) -> ChangedApp:
    """Pause an app or let it go on. Every read after the answer obeys it."""
    app = await rest.service.set_app_active(rest.caller(params.user_id), app_id, params.is_active)
    return ChangedApp(**dict(app), message="Updated app details successfully")
