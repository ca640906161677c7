"""`/api/v1/access-rules`: which app may read what."""

from typing import Annotated, Literal, Self

from contracts.api import AccessRule, AccessRulePage, DefaultAccess, Page
from contracts.ids import parse_uuid
from fastapi import Query
from pydantic import AfterValidator, BaseModel, Field, model_validator

from gateway.inputs import STRICT, MemoryId, Name
from gateway.rest.common import Message, Params, RestDep, requires, router
from gateway.service import Scope

routes = router("/api/v1/access-rules", "access rules")


def _check_app_id(value: str) -> str:
    return parse_uuid(value, "app id")


def _check_rule_id(value: str) -> str:
    return parse_uuid(value, "rule id")


AppId = Annotated[str, AfterValidator(_check_app_id)]
RuleId = Annotated[str, AfterValidator(_check_rule_id)]


class RuleListParams(Params):
    """Whose rules."""

    app_id: AppId | None = Field(default=None, description="Rules of this app alone")
    page: int = Field(default=1, ge=1, le=1_000_000)
    size: int = Field(default=50, ge=1, le=100)


class PreviewParams(Params):
    """Whose view."""

    app_id: AppId
    page: int = Field(default=1, ge=1, le=1_000_000)
    size: int = Field(default=50, ge=1, le=100)


class SetRule(BaseModel):
    """Allow or deny an app to read one memory, one category (by its name), or, with neither, everything."""

    model_config = STRICT
    user_id: Name | None = None
    app_id: AppId
    effect: Literal["allow", "deny"]
    memory_id: MemoryId | None = None
    category: Name | None = None

    @model_validator(mode="after")
    def _about_one_thing(self) -> Self:
        if self.memory_id is not None and self.category is not None:
            raise ValueError("a rule is about one memory or about one category: name one of them")
        return self


class SetDefault(BaseModel):
    """What an app may read where no rule speaks: everything (`allow`), or what it wrote itself (`own`)."""

    model_config = STRICT
    user_id: Name | None = None
    policy: Literal["allow", "own"]


@routes.get("", dependencies=[requires(Scope.READ)])
async def list_rules(params: Annotated[RuleListParams, Query()], rest: RestDep) -> AccessRulePage:
    """The rules in force, app by app.

    A rule about a memory counts more than those about its categories, these more than one about everything, and that
    more than the default. Where several categories decide, one that is denied is enough."""
    caller = rest.caller(params.user_id)
    return await rest.service.access_rules(caller, params.app_id, page=params.page, size=params.size)


@routes.put("", dependencies=[requires(Scope.ADMIN)])
async def set_rule(body: SetRule, rest: RestDep) -> AccessRule:
    """Set a rule. There is one for each app and memory, category, or everything: another effect replaces it. Every read
    after the answer obeys it."""
    return await rest.service.set_access_rule(
        rest.caller(body.user_id), body.app_id, body.effect, memory_id=body.memory_id, category=body.category
    )


@routes.get("/default", dependencies=[requires(Scope.READ)])
async def get_default(params: Annotated[Params, Query()], rest: RestDep) -> DefaultAccess:
    """What an app may read where no rule speaks."""
    return await rest.service.default_access(rest.caller(params.user_id))


@routes.put("/default", dependencies=[requires(Scope.ADMIN)])
async def change_default(body: SetDefault, rest: RestDep) -> DefaultAccess:
    """Change what an app may read where no rule speaks. Every read after the answer obeys it."""
    return await rest.service.change_default_access(rest.caller(body.user_id), body.policy)


@routes.get("/preview", dependencies=[requires(Scope.READ)])
async def preview(params: Annotated[PreviewParams, Query()], rest: RestDep) -> Page:
    """The memories that the app may read now, newest first. It is the owner's own read, and audited as such."""
    caller = rest.caller(params.user_id)
    return await rest.service.readable(caller, params.app_id, page=params.page, size=params.size)


@routes.delete("/{rule_id}", dependencies=[requires(Scope.ADMIN)])
async def remove_rule(rule_id: RuleId, params: Annotated[Params, Query()], rest: RestDep) -> Message:
    """Remove a rule. Every read after the answer goes by those that are left."""
    await rest.service.remove_access_rule(rest.caller(params.user_id), rule_id)
    return Message(message="Successfully removed the access rule")
