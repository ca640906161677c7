"""`GET /api/v1/operations/{id}`: how a write ended that was not waited for."""

from typing import Annotated

from contracts.api import Operation
from contracts.ids import parse_uuid
from fastapi import Query
from pydantic import AfterValidator

from gateway.rest.common import Params, RestDep, requires, router
from gateway.service import Scope

routes = router("/api/v1/operations", "operations")


def _check_operation_id(value: str) -> str:
    return parse_uuid(value, "operation id")


OperationId = Annotated[str, AfterValidator(_check_operation_id)]


@routes.get("/{operation_id}", dependencies=[requires(Scope.READ, apps=True)])
async def get_operation(operation_id: OperationId, params: Annotated[Params, Query()], rest: RestDep) -> Operation:
    """Accepted, done, nothing to do, or refused and why."""
    return await rest.service.operation(rest.caller(params.user_id), operation_id)
