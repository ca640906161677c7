from fastapi.routing import APIRoute, iter_route_contexts
from gateway.app import GatewayOptions, create_app
from gateway.mcp.tools import tools
from gateway.rest.common import Requires
from gateway.service import Scope
from support.fake_service import FakeService

OPEN = {"/livez", "/readyz"}
"""Probes: they say nothing of anybody. The second needs a token, whatever its scopes."""
READING = {"/api/v1/memories/filter", "/api/v1/backup/export"}
"""Reads whose filters do not fit a query string."""
OPERATORS = (
    "/metrics",
    *(f"/api/v1/{name}" for name in ("dead-letters", "projections", "verification", "anchors", "health")),
)
"""What stands there is of all users."""
APPS = {
    ("POST", "/api/v1/memories"),
    ("DELETE", "/api/v1/memories"),
    ("PUT", "/api/v1/memories/{memory_id}"),
    ("GET", "/api/v1/me"),
    ("GET", "/api/v1/search"),
    ("GET", "/api/v1/operations/{operation_id}"),
}
"""What an app's token may use. All else shows or changes what the person has."""


def _requirements() -> dict[tuple[str, str], list[Requires]]:
    app = create_app(FakeService(), GatewayOptions(version="0"))
    declared: dict[tuple[str, str], list[Requires]] = {}
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute):
            found = [each.dependency for each in context.dependencies if isinstance(each.dependency, Requires)]
            for method in context.methods or ():
                declared[method, context.path or ""] = found
    return declared


def _scopes() -> dict[tuple[str, str], list[Scope]]:
    return {route: [each.scope for each in found] for route, found in _requirements().items()}


def test_apps_may_use_few_routes_and_the_operators_are_no_others() -> None:
    for (method, path), found in _requirements().items():
        for each in found:
            assert each.apps == ((method, path) in APPS), (method, path)
            assert each.operator == path.startswith(OPERATORS), (method, path)


def test_every_route_but_the_probes_declares_exactly_one_scope() -> None:
    declared = _scopes()
    assert len(declared) >= 12
    for (method, path), scopes in declared.items():
        assert len(scopes) == (0 if path in OPEN else 1), (method, path)


def test_reading_needs_read_and_changing_needs_more() -> None:
    for (method, path), scopes in _scopes().items():
        if path.startswith((*OPERATORS, "/api/v1/tokens")):
            assert scopes == [Scope.ADMIN], (method, path)
        elif path not in OPEN:
            assert (scopes == [Scope.READ]) == (method == "GET" or path in READING), (method, path)


def test_every_tool_declares_a_scope_that_fits_its_annotations() -> None:
    for tool in tools():
        assert tool.listed.annotations is not None
        assert (tool.scope is Scope.READ) == tool.listed.annotations.read_only_hint, tool.name
        assert (tool.scope is Scope.DELETE) == tool.name.startswith("delete"), tool.name
