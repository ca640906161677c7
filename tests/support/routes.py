"""Every route of a gateway, as requests that fit it: enumerated from the application, so that none is forgotten."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from gateway.rest.common import Requires

ID = "3f0c2a9e-7b1d-8c44-9e55-0a6b1c2d3e4f"
"""As in the examples of the document."""
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_PATH: Mapping[str, str] = {
    "client": "cursor", "user": "ada", "name": "read-models", "number": "1", "letter_id": "1", "token_id": "0" * 32,
    "below": "mcp", "below:path": "mcp",
}  # fmt: skip
_QUERY: Mapping[str, str] = {"app_id": ID, "query": "tea", "is_active": "true", "after_days": "1", "since": "0"}


@dataclass(frozen=True, slots=True)
class KnownRoute:
    """A method on a path. `requires` is what it declares; `query` and `body` are what it needs to be understood;
    `names_user`: where a request can name a user ("query" or "body"); `form`: the body is one."""

    method: str
    template: str
    requires: Requires | None = None
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    body: dict[str, Any] | list[Any] | None = None
    names_user: str | None = None
    form: bool = False

    @property
    def path(self) -> str:
        parts = (part.strip("{}") if part.startswith("{") else None for part in self.template.split("/"))
        return "/".join(
            given if name is None else _PATH.get(name, ID)
            for given, name in zip(self.template.split("/"), parts, strict=True)
        )

    def request(self, user: str | None = None) -> dict[str, Any]:
        """Arguments for httpx; with a user, the request names that one."""
        query, body = dict(self.query), self.body
        if user is not None and self.names_user == "query":
            query["user_id"] = user
        if isinstance(body, dict):
            body = {**body, "user_id": user} if user is not None and self.names_user == "body" else body
        kind: dict[str, Any] = {} if body is None else {"json": body}
        if self.form:
            kind = {"files": {"file": b"zip"}, "data": {"user_id": user} if user else {}}
        return {"method": self.method, "url": self.path, "params": query, **kind}

    def __str__(self) -> str:
        return f"{self.method} {self.template}"


def known_routes(app: FastAPI) -> list[KnownRoute]:
    """All of them: those of the API as its document describes them, and whatever else is mounted, with every method
    where a route takes any."""
    document = app.openapi()
    found: list[KnownRoute] = []
    for context in iter_route_contexts(app.routes):
        path = context.path or ""
        for method in sorted(context.methods or _METHODS):
            described = document["paths"].get(path, {}).get(method.lower())
            if described is None:
                found.append(KnownRoute(method, path))
                continue
            declared = [each.dependency for each in context.dependencies if isinstance(each.dependency, Requires)]
            found.append(_described(method, path, declared[0] if declared else None, described, document))
    return found


def _described(
    method: str, path: str, requires: Requires | None, operation: dict[str, Any], document: dict[str, Any]
) -> KnownRoute:
    parameters = cast("list[dict[str, Any]]", operation.get("parameters", []))
    taken = {each["name"]: each for each in parameters if each["in"] == "query"}
    query = {name: _QUERY[name] for name, each in taken.items() if each.get("required")}
    content: dict[str, dict[str, Any]] = operation.get("requestBody", {}).get("content", {})
    form = "multipart/form-data" in content
    media = content.get("application/json", {})
    body: dict[str, Any] | list[Any] | None = media.get("example")
    in_body = form or (isinstance(body, dict) and "user_id" in body)
    if isinstance(body, list):
        body = [ID]
    elif body is not None:
        name = str(media["schema"].get("$ref", "")).rpartition("/")[2]
        needed: list[str] = document["components"]["schemas"].get(name, {}).get("required", [])
        body = {key: body[key] for key in needed}
    names = "body" if in_body else "query" if "user_id" in taken else None
    return KnownRoute(method, path, requires, query, body, names, form)
