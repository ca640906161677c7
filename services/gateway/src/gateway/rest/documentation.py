"""What the OpenAPI document says beyond what FastAPI writes: that errors are problems, which there are, and an example
of each body, made from its schema."""

from collections.abc import Mapping
from typing import Any, cast

from contracts.errors import InvalidInput, NotFound, PayloadTooLarge, Unavailable
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from gateway.auth.identity import Unauthenticated
from gateway.auth.middleware import is_open
from gateway.errors import PROBLEM_JSON, FieldError, Problem, make_problem, problem_for
from gateway.rest.common import Requires

Schema = dict[str, Any]

_ID = "3f0c2a9e-7b1d-8c44-9e55-0a6b1c2d3e4f"
_ISO, _EPOCH = "2026-11-01T12:00:00.000Z", 1_793_534_400
_SAMPLES: Mapping[str, tuple[object, ...]] = {
    "text": ("I drink green tea in the morning",),
    "content": ("I drink green tea in the morning",),
    "memory": ("I drink green tea in the morning",),
    "memory_content": ("I drink green tea in the morning",),
    "query": ("what do I drink",),
    "search_query": ("tea",),
    "categories": (["food", "habits"],),
    "category": ("food",),
    "app": ("cursor",),
    "app_name": ("cursor",),
    "name": ("cursor",),
    "user_id": ("alice",),
    "metadata": ({"source": "chat"},),
    "metadata_": ({"source": "chat"},),
    "created_at": (_EPOCH, _ISO),
    "updated_at": (_EPOCH, _ISO),
    "from_date": (_EPOCH,),
    "to_date": (_EPOCH,),
    "at": (_ISO,),
    "recorded_at": (_ISO,),
    "occurred_at": (_ISO,),
    "accepted_at": (_ISO,),
    "settled_at": (_ISO,),
    "accessed_at": (_ISO,),
    "first_accessed": (_ISO,),
    "last_accessed": (_ISO,),
    "position": ("0-42",),
    "total": (1,),
    "pages": (1,),
    "page": (1,),
    "size": (10,),
    "page_size": (10,),
    "message": ("Successfully deleted 1 memories",),
    "actor": ("rest",),
    "access_count": (3,),
    "total_memories": (1,),
    "total_apps": (1,),
    "sort_column": ("created_at",),
    "sort_direction": ("desc",),
    "as_of": (_ISO,),
    "version": (1, "1"),
    "score": (0.62,),
    "head": ("9f" * 32,),
}
"""By name of a field, the first whose type fits. What is not here follows from the schema alone."""
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str, "integer": int, "number": (int, float), "array": list, "object": dict, "boolean": bool,
}  # fmt: skip


_SCHEME = "token"


def install(app: FastAPI, *, authenticated: bool) -> None:
    """Complete the application's document. Tokens are declared in either case; without authentication none is
    needed."""
    generate = app.openapi

    def openapi() -> Schema:
        document = generate()
        schemas: dict[str, Schema] = document["components"]["schemas"]
        document["components"]["securitySchemes"] = {
            _SCHEME: {
                "type": "http",
                "scheme": "bearer",
                "description": "A token of `memlog token issue`, or the issuer's",
            }
        }
        scopes = _scopes(app)
        for path, operations in cast("dict[str, dict[str, Schema]]", document["paths"]).items():
            for method, operation in operations.items():
                if not is_open(path):
                    needed = [{_SCHEME: scopes.get((method.upper(), path), [])}]
                    operation["security"] = needed if authenticated else [{}, *needed]
                _problems(operation)
                bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
                for content in (media for body in bodies for media in body.get("content", {}).items()):
                    if content[0] == "application/json" and "example" not in content[1]:
                        content[1]["example"] = _example(content[1]["schema"], schemas, "")
        return document

    app.openapi = openapi


def _scopes(app: FastAPI) -> Mapping[tuple[str, str], list[str]]:
    """The scopes that routes declare, by method and path. OpenAPI 3.1 lets any scheme name them."""
    found: dict[tuple[str, str], list[str]] = {}
    for context in iter_route_contexts(app.routes):
        if not isinstance(context.original_route, APIRoute):
            continue
        for needed in (each.dependency for each in context.dependencies if isinstance(each.dependency, Requires)):
            for method in context.methods or ():
                found[method, context.path or ""] = [needed.scope]
    return found


def _problems(operation: Schema) -> None:
    """Errors are `application/problem+json`; FastAPI files them under what the route answers with. Which there are
    follows from what the route takes."""
    for status, response in cast("dict[str, Schema]", operation["responses"]).items():
        if status in ("4XX", "5XX"):
            _, content = response["content"].popitem()
            examples = _refusals(operation) if status == "4XX" else [problem_for(Unavailable("NATS does not answer"))]
            content["examples"] = {each.code: {"value": _dumped(each)} for each in examples}
            response["content"][PROBLEM_JSON] = content


def _refusals(operation: Schema) -> list[Problem]:
    fields = [FieldError(field="page", message="Input should be greater than or equal to 1", type="greater_than_equal")]
    found = [make_problem(InvalidInput.code, InvalidInput.status, f"page: {fields[0].message}", fields)]
    if "security" in operation:
        found.append(problem_for(Unauthenticated("this needs a token: Authorization: Bearer <token>")))
    if any(each["in"] == "path" for each in operation.get("parameters", ())):
        found.append(problem_for(NotFound(f"memory {_ID} was not found")))
    if "requestBody" in operation:
        found.append(make_problem("invalid_json", 400, "the body is not valid JSON: Expecting value"))
        found.append(problem_for(PayloadTooLarge("the request's body is over the limit of 1048576 bytes")))
    return found


def _dumped(problem: Problem) -> Schema:
    return problem.model_dump(exclude=None if problem.errors else {"errors"})


def _example(schema: Schema, schemas: Mapping[str, Schema], name: str) -> object:
    """A value that fits the schema, and means something where the field's name does."""
    if "$ref" in schema:
        return _example(schemas[schema["$ref"].rsplit("/", 1)[-1]], schemas, name)
    for known in ("example", "const", "default"):
        if schema.get(known) is not None and name not in _SAMPLES:
            return schema[known]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return _example(next(each for each in schema["anyOf"] if each.get("type") != "null"), schemas, name)
    kind = schema.get("type", "object")
    fitting = [each for each in _SAMPLES.get(name, ()) if isinstance(each, _TYPES[kind]) and not isinstance(each, bool)]
    if fitting and "items" not in schema.get("items", {}) and "$ref" not in schema.get("items", {}):
        return fitting[0]
    match kind:
        case "string":
            return _ID if name == "id" or name.endswith(("_id", "_ids")) else "text"
        case "integer":
            return max(int(schema.get("minimum", 0)), 0)  # FastAPI's document has every bound as a float
        case "number":
            return max(schema.get("minimum", 0), 0)
        case "boolean":
            return True
        case "array":
            return [_example(schema.get("items", {}), schemas, name)]
        case _:
            fields = cast("dict[str, Schema]", schema.get("properties", {}))
            return {each: _example(inner, schemas, each) for each, inner in fields.items()}
