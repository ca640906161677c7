"""`/api/v1/memories/categories`: which there are, one's own, and a person's choice for a memory."""

from typing import Annotated

from contracts.api import Category, CategoryList, Memory, OperationResult
from contracts.ids import parse_uuid
from fastapi import Query, Response
from pydantic import AfterValidator, BaseModel

from gateway.auth.refusals import as_told, may_read
from gateway.inputs import STRICT, Categories, Description, MemoryId, Name
from gateway.rest.common import Message, Params, RestDep, json_answer, listed, location, requires, router
from gateway.service import Scope

routes = router("/api/v1/memories", "categories")


def _check_category_id(value: str) -> str:
    return parse_uuid(value, "category id")


CategoryId = Annotated[str, AfterValidator(_check_category_id)]


class DefineCategory(BaseModel):
    """A category of one's own, or another description for one that Memlog brings along."""

    model_config = STRICT
    user_id: Name | None = None
    name: Name
    description: Description = ""


class SetCategories(BaseModel):
    """All categories that the memory shall have."""

    model_config = STRICT
    user_id: Name | None = None
    categories: Categories


@routes.get("/categories", dependencies=[requires(Scope.READ)])
async def list_categories(params: Annotated[Params, Query()], rest: RestDep) -> CategoryList:
    """Those that Memlog brings along, the user's own, and what else memories have."""
    return await rest.service.categories(rest.caller(params.user_id))


@routes.post("/categories", dependencies=[requires(Scope.WRITE)])
async def define_category(body: DefineCategory, rest: RestDep) -> Category:
    """Define a category, or describe one anew: case does not tell names apart."""
    return await rest.service.define_category(rest.caller(body.user_id), body.name, body.description)


@routes.delete("/categories/{category_id}", dependencies=[requires(Scope.WRITE)])
async def remove_category(category_id: CategoryId, params: Annotated[Params, Query()], rest: RestDep) -> Message:
    """Remove a category of one's own. Memories that have it keep it."""
    removed = await rest.service.remove_category(rest.caller(params.user_id), category_id)
    return Message(message=f"Successfully removed the category '{removed.name}'")


@routes.put(
    "/{memory_id}/categories",
    dependencies=[requires(Scope.WRITE)],
    response_model=Memory | OperationResult,
    responses={202: {"model": OperationResult, "description": "Durable, not done yet; `Location` is its operation"}},
)
async def set_categories(memory_id: MemoryId, body: SetCategories, rest: RestDep) -> Response:
    """Give a memory these categories and no others. No model changes what a person chose."""
    caller = rest.caller(body.user_id)
    result = await rest.service.categorize(caller, memory_id, tuple(body.categories))
    if result.state != "searchable":
        return json_answer(as_told(result, rest.identity), 202, location(result.operation_id))
    if not may_read(rest.identity):
        return json_answer(as_told(result, rest.identity))
    return json_answer(listed(await rest.service.get(caller, memory_id)))
