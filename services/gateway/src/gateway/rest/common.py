"""What the REST routers share: how a route declares its scope, who the caller is, and how bodies are read."""

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Annotated, Any, NoReturn

from contracts.api import Memory, MemoryDetail, View
from contracts.errors import Forbidden
from fastapi import APIRouter, Depends, Request, Response
from fastapi.params import Depends as DependsParam
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

from gateway.auth.identity import Identity
from gateway.auth.refusals import OperatorOnly, caller_as, identity_in, require_scopes
from gateway.errors import Problem
from gateway.inputs import Name
from gateway.service import OWNER_APP, Caller, MemoryService, Scope

ACTOR = "rest"
MIN_POSITION = "memlog-min-position"
"""The header of a read that must show what is in the log up to this position."""


@dataclass(frozen=True, slots=True)
class Requires:
    """What a route declares, and holds every request with a token to: a scope; whether apps may use it, too, or the
    person alone; whether it is the operator's, because it is about all users. Then it waits for the position that the
    request asks for; `index`: the index has to have reached it, too. It is a dependency."""

    scope: Scope
    apps: bool = False
    operator: bool = False
    index: bool = False

    async def __call__(self, request: Request) -> None:
        identity = identity_in(request.scope)
        if identity is not None:
            require_scopes(identity, (self.scope,))
            if self.operator and not identity.operator:
                raise OperatorOnly("this is about all users, so it is the operator's")
            if not self.apps and identity.app != OWNER_APP:
                raise Forbidden(f"this is for the memories' owner alone, not for the app '{identity.app}'")
        position = request.headers.get(MIN_POSITION)
        # What is the operator's shows where the projections are, however far behind.
        if position is not None and not self.operator:
            rest: Rest = request.app.state.rest
            await rest.service.reached(position, index=self.index)


def requires(scope: Scope, *, apps: bool = False, operator: bool = False, index: bool = False) -> DependsParam:
    """`dependencies=[requires(Scope.READ)]` on a route."""
    return Depends(Requires(scope, apps, operator, index))


@dataclass(frozen=True, slots=True)
class Rest:
    """What each route needs: the service, the user whom a request means that names none, who asks, where that is
    proven, and where traces are looked at."""

    service: MemoryService
    default_user: str
    identity: Identity | None = None
    trace_url: str | None = None

    def caller(self, user_id: str | None, app: str | None = None, *, default_app: str = OWNER_APP) -> Caller:
        """Who asks: as the token says, and then the request must not name anybody else. Without authentication, as the
        request says: `app` if it names one, else `default_app`. Raises `AnotherUser`, `AnotherApp`."""
        if self.identity is not None:
            return caller_as(self.identity, user_id, app)
        return Caller(user_id or self.default_user, app or default_app, ACTOR)


async def _rest(request: Request) -> Rest:  # async: a plain function would be sent to the thread pool
    rest: Rest = request.app.state.rest
    identity = identity_in(request.scope)
    return rest if identity is None else replace(rest, identity=identity)


RestDep = Annotated[Rest, Depends(_rest)]


class Params(BaseModel):
    """Base of query parameters: an unknown one is an error. `user_id` defaults to the default user."""

    model_config = ConfigDict(extra="forbid")
    user_id: Name | None = Field(default=None, description="The user; the default user when absent")


def _refuse_constant(name: str) -> NoReturn:
    raise json.JSONDecodeError(f"{name} is not JSON", "", 0)


class _JsonRequest(Request):
    """A request whose JSON is what RFC 8259 says: UTF-8 only (the standard library also takes UTF-16 and -32, and
    NaN), and every way to be wrong is the same error."""

    async def json(self) -> Any:
        try:
            return json.loads((await self.body()).decode(), parse_constant=_refuse_constant)
        except UnicodeDecodeError as error:
            raise json.JSONDecodeError("it is not UTF-8", "", error.start) from None
        except RecursionError:
            raise json.JSONDecodeError("it is nested too deeply", "", 0) from None
        except json.JSONDecodeError:
            raise
        except ValueError:
            raise json.JSONDecodeError("a number in it is too long", "", 0) from None


class JsonRoute(APIRoute):
    """A route that reads its body as strict JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(_JsonRequest(request.scope, request.receive))

        return strict


def router(prefix: str, tag: str) -> APIRouter:
    """A router of one domain. Its documentation says that errors are problems."""
    problems: dict[int | str, dict[str, Any]] = {
        "4XX": {"model": Problem, "description": "The request was refused; `code` says why"},
        "5XX": {"model": Problem, "description": "The server could not; 503 says when to try again"},
    }
    return APIRouter(prefix=prefix, tags=[tag], route_class=JsonRoute, responses=problems)


def comma_separated(value: str | None) -> tuple[str, ...] | None:
    """`a, b` as ('a', 'b'); nothing at all means no restriction."""
    names = tuple(part.strip() for part in (value or "").split(",") if part.strip())
    return names or None


class Message(View):
    message: str


def json_answer(view: View, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """The view as it is: checked when it was made, so not checked again."""
    return Response(view.model_dump_json(), status, headers, media_type="application/json")


def location(operation_id: str) -> dict[str, str]:
    """The header that says where a write that is not done can be asked for."""
    return {"Location": f"/api/v1/operations/{operation_id}"}


def listed(detail: MemoryDetail) -> Memory:
    """The memory in the form in which lists and writes give it."""
    return Memory(content=detail.text, **detail.model_dump(include={*Memory.model_fields} - {"content"}))
