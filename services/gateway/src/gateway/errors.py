"""How errors leave the gateway: RFC 9457 problem JSON over HTTP, tool errors over MCP. Nothing else words them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from contracts.errors import InvalidInput, MemlogError, PayloadTooLarge
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from gateway.auth.refusals import headers_for
from gateway.inputs import TOO_LARGE

PROBLEM_JSON = "application/problem+json"
CODE_META_KEY = "memlog/code"
ERRORS_META_KEY = "memlog/errors"
PROBLEM = "problem"
"""Where a request that was refused has the code of its problem: in the state of its ASGI scope."""
_RETRY_AFTER_S = "1"
_MAX_FIELDS = 20
_STATUS_CODES = {
    400: "bad_request",
    404: "no_such_route",
    405: "method_not_allowed",
    413: PayloadTooLarge.code,
    415: "unsupported_media_type",
}


@dataclass(frozen=True, slots=True)
class HttpProblem:
    """A problem of HTTP itself, before anything of Memlog is asked: no error class stands for it."""

    status: int
    cause: str
    remedy: str


HTTP_PROBLEMS: Mapping[str, HttpProblem] = {
    "invalid_json": HttpProblem(400, "The body is not JSON in UTF-8 (RFC 8259).", "Send valid JSON."),
    "no_such_route": HttpProblem(404, "There is no route with this path.", "`/docs` lists the routes."),
    "method_not_allowed": HttpProblem(
        405, "The route does not take this method.", "Use one of those that the answer's `Allow` header names."
    ),
    "unsupported_media_type": HttpProblem(
        415, "The body is not declared as JSON.", "Send the header `Content-Type: application/json`."
    ),
    "http_error": HttpProblem(
        400, "Any other refusal of the HTTP layer; the status says which.", "See the answer's status and `detail`."
    ),
}
"""By code."""
_WORDS = {"extra_forbidden": "is unknown here", "missing": "is missing", "string_unicode": "holds a lone surrogate"}


class FieldError(BaseModel):
    """One field that was refused: where it is, and why."""

    field: str
    message: str
    type: str


class Problem(BaseModel):
    """An error, as RFC 9457 has it. `code` is stable: branch on it, never on the text."""

    type: str = Field(description="A URI that names the kind of problem")
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldError] = Field(
        default=[], description="The fields that were refused, if it was a matter of fields"
    )


@dataclass(frozen=True, slots=True)
class NotReady:
    """A part that is down, and why: what `/readyz` answers with."""

    part: str
    reason: str


def make_problem(code: str, status: int, detail: str, errors: Sequence[FieldError] = ()) -> Problem:
    """A problem of this code; its type and title follow from the code."""
    title = code.replace("_", " ").capitalize()
    return Problem(
        type=f"urn:memlog:problem:{code}", title=title, status=status, detail=_printable(detail), code=code,
        errors=list(errors),
    )  # fmt: skip


def problem_for(error: MemlogError | None) -> Problem:
    """The problem that an error is; None is an error that nobody foresaw, of which nothing is told."""
    if error is None or type(error) is MemlogError:
        return make_problem("internal", 500, "something failed inside; the log of the server says what")
    return make_problem(error.code, error.status, error.message)


def problem_for_fields(errors: Iterable[Mapping[str, Any]], *, skip: int = 0) -> Problem:
    """The problem that pydantic's errors are. `skip` drops the first parts of each location ("body"). No input is
    echoed: it may be megabytes, or private."""
    fields: list[FieldError] = []
    for error in list(errors)[:_MAX_FIELDS]:
        kind = str(error["type"])
        where = ".".join(_printable(str(part))[:80] for part in error["loc"][skip:])
        message = _WORDS.get(kind) or str(error["msg"]).removeprefix("Value error, ")
        fields.append(FieldError(field=where, message=_printable(message), type=kind))
    detail = "; ".join(f"{field.field or 'the body'}: {field.message}" for field in fields)
    kind_of = PayloadTooLarge if any(field.type == TOO_LARGE for field in fields) else InvalidInput
    return make_problem(kind_of.code, kind_of.status, detail, fields)


def problem_not_ready(parts: Sequence[NotReady]) -> Problem:
    """503 with the reason of each part that is down."""
    fields = [FieldError(field=part.part, message=part.reason, type="unavailable") for part in parts]
    detail = "; ".join(f"{part.part}: {part.reason}" for part in parts) or "not ready"
    return make_problem("unavailable", 503, detail, fields)


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The problem as an HTTP response; 503 says when to come back."""
    extra = dict(headers or {})
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        extra["Retry-After"] = _RETRY_AFTER_S
    body = problem.model_dump(exclude={"errors"} if not problem.errors else None)
    return Response(json.dumps(body), problem.status, extra, media_type=PROBLEM_JSON)


def refused(error: MemlogError, scope: Scope) -> Response:
    """The error as the answer to an ASGI request, with the headers that belong to it."""
    scope.setdefault("state", {})[PROBLEM] = error.code
    return problem_response(problem_for(error), headers_for(error, scope))


def tool_error(problem: Problem) -> dict[str, Any]:
    """The problem as an MCP tool result. The code stands in `_meta`: some clients hold even an error's structured
    content to the tool's output schema."""
    meta: dict[str, Any] = {CODE_META_KEY: problem.code}
    if problem.errors:
        meta[ERRORS_META_KEY] = [field.model_dump() for field in problem.errors]
    content = [{"type": "text", "text": problem.detail}]
    return {"content": content, "isError": True, "resultType": "complete", "_meta": meta}


def install(app: FastAPI) -> None:
    """Make every error that a route raises, and every route that does not exist, a problem."""
    app.add_exception_handler(MemlogError, _on_memlog_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_memlog_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, MemlogError)
    return refused(error, request.scope)


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = error.errors()
    first = errors[0]
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "")
        return problem_response(make_problem("invalid_json", 400, f"the body is not valid JSON: {reason}"))
    content_type = request.headers.get("content-type", "")
    if tuple(first["loc"]) == ("body",) and first["type"] != "missing" and "json" not in content_type:
        return problem_response(
            make_problem(_STATUS_CODES[415], 415, "send the body as Content-Type: application/json")
        )
    return problem_response(problem_for_fields(errors, skip=1))


def method_not_allowed(method: str, allowed: str) -> Response:
    """405, and which methods there are."""
    problem = make_problem(_STATUS_CODES[405], 405, f"{method} is not allowed on this route")
    return problem_response(problem, {"Allow": allowed})


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return method_not_allowed(request.method, (error.headers or {}).get("Allow", ""))
    code = _STATUS_CODES.get(error.status_code, "http_error")
    detail = "there is no such route" if error.status_code == HTTPStatus.NOT_FOUND else error.detail
    return problem_response(make_problem(code, error.status_code, detail), error.headers)


def _printable(text: str) -> str:
    # What a client sent may be quoted, and may not be encodable: UTF-8 has no lone surrogates.
    return text.encode("utf-8", "backslashreplace").decode()
