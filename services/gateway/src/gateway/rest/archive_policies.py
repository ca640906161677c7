"""`/api/v1/archive-policies`: what is put away when nobody changed it for long."""

from typing import Annotated

from contracts.archiving import ArchiveAfter, ArchivePolicy, ArchivePolicyList, ArchivePreview
from contracts.ids import parse_uuid
from fastapi import Query
from pydantic import AfterValidator, BaseModel, Field, model_validator

from gateway.inputs import STRICT, Name
from gateway.rest.common import Message, Params, RestDep, requires, router
from gateway.service import Scope

routes = router("/api/v1/archive-policies", "archive policies")


def _check_policy_id(value: str) -> str:
    return parse_uuid(value, "archive policy id")


def _check_app_id(value: str) -> str:
    return parse_uuid(value, "app id")


PolicyId = Annotated[str, AfterValidator(_check_policy_id)]
_Days = Annotated[int, Field(ge=0, le=36_500, description="Days without a change of text or state; 0: at the next run")]
_AppId = Annotated[str, AfterValidator(_check_app_id)]


class _About(BaseModel):
    """What a policy is about: the memories of one app, those of one category, or (neither) all."""

    after_days: _Days
    app_id: _AppId | None = None
    category: Name | None = None

    @model_validator(mode="after")
    def _about_one_thing(self) -> "_About":
        if self.app_id is not None and self.category is not None:
            raise ValueError("a policy is about one app or about one category")
        return self

    def after(self) -> ArchiveAfter:
        return ArchiveAfter(self.after_days, self.app_id, self.category)


class SetPolicy(_About):
    """When to put memories away, and which."""

    model_config = STRICT
    user_id: Name | None = None


class PreviewParams(_About, Params):
    """A policy that is thought of."""


@routes.get("", dependencies=[requires(Scope.READ)])
async def list_archive_policies(params: Annotated[Params, Query()], rest: RestDep) -> ArchivePolicyList:
    """The user's policies; `due` counts what each would put away now."""
    return await rest.service.archive_policies(rest.caller(params.user_id))


@routes.get("/preview", dependencies=[requires(Scope.READ)])
async def preview_archive_policy(params: Annotated[PreviewParams, Query()], rest: RestDep) -> ArchivePreview:
    """How many memories such a policy would put away now."""
    return await rest.service.preview_archive_policy(rest.caller(params.user_id), params.after())


@routes.post("", dependencies=[requires(Scope.WRITE)], status_code=201)
async def create_archive_policy(body: SetPolicy, rest: RestDep) -> ArchivePolicy:
    """Put active memories away that nobody changed for so long: soon after this, and from then on regularly. What is
    put away stays in its owner's lists, and can be made active again: its time then starts anew."""
    return await rest.service.set_archive_policy(rest.caller(body.user_id), body.after(), None)


@routes.put("/{policy_id}", dependencies=[requires(Scope.WRITE)])
async def change_archive_policy(policy_id: PolicyId, body: SetPolicy, rest: RestDep) -> ArchivePolicy:
    """Replace a policy. What the former one put away stays so."""
    return await rest.service.set_archive_policy(rest.caller(body.user_id), body.after(), policy_id)


@routes.delete("/{policy_id}", dependencies=[requires(Scope.WRITE)])
async def remove_archive_policy(policy_id: PolicyId, params: Annotated[Params, Query()], rest: RestDep) -> Message:
    """Remove a policy. What it put away stays so."""
    await rest.service.remove_archive_policy(rest.caller(params.user_id), policy_id)
    return Message(message="Successfully removed the archive policy")
