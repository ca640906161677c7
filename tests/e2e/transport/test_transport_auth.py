"""Nobody is let in who has not proven who they are: every route there is, as the application lists them."""

from collections.abc import AsyncGenerator
from inspect import iscoroutinefunction
from typing import Any

import httpx
import pytest
import pytest_asyncio
from contracts.ids import OWNER_APP
from gateway.auth.middleware import AuthOptions
from gateway.service import Caller, Scope
from support.fake_authenticator import EVERYTHING, FakeAuthenticator
from support.fake_service import FakeService
from support.routes import KnownRoute, known_routes
from support.running_gateway import RunningGateway, serve_gateway

OPEN = {"/livez", "/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/{below:path}"}
"""What is answered without a token. Nothing else is."""
ANY_SCOPE = {"/readyz", "/openapi.json"}
"""What needs a token, whatever its scopes: it tells nothing of anybody."""
MCP = {
    "/mcp", "/mcp/{client}/http/{user}", "/mcp/{client}/sse/{user}", "/mcp/sse/{client}/{user}", "/mcp/messages",
    "/mcp/{client}/sse/{user}/messages",
}  # fmt: skip
"""What needs the scope of the message: see test_transport_auth_mcp.py."""

pytestmark = pytest.mark.guarantee("G9")


class Noting(FakeService):
    """A service that notes what is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or not iscoroutinefunction(found):
            return found

        def noted(*given: Any, **named: Any) -> Any:
            vars(self).setdefault("asked", []).append(name)
            return found(*given, **named)

        return noted


@pytest.fixture(scope="module")
def tokens() -> FakeAuthenticator:
    return FakeAuthenticator()


@pytest_asyncio.fixture(scope="module")
async def guarded(tokens: FakeAuthenticator) -> AsyncGenerator[RunningGateway]:
    auth = AuthOptions(failure_limit="off")
    async with serve_gateway(service=Noting(), authenticators=(tokens,), auth=auth) as gateway:
        yield gateway


@pytest_asyncio.fixture
async def client(guarded: RunningGateway) -> AsyncGenerator[httpx.AsyncClient]:
    guarded.service.reset()
    vars(guarded.service)["asked"] = []
    async with httpx.AsyncClient(base_url=guarded.url, timeout=60) as client:
        yield client


def asked(guarded: RunningGateway) -> list[str]:
    """What reached the service."""
    return vars(guarded.service)["asked"]


def routes(guarded: RunningGateway) -> list[KnownRoute]:
    found = known_routes(guarded.app)
    assert len(found) > 80
    return found


def code(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


def test_each_route_declares_what_it_needs_or_is_named_here(guarded: RunningGateway) -> None:
    undeclared = {route.template for route in routes(guarded) if route.requires is None}
    assert undeclared == OPEN | ANY_SCOPE | MCP


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PATCH"])
async def test_no_method_gets_around_it(client: httpx.AsyncClient, guarded: RunningGateway, method: str) -> None:
    for route in routes(guarded):
        if route.template not in OPEN:
            assert (await client.request(method, route.path)).status_code == 401, (method, route)
    assert asked(guarded) == []


async def test_every_route_wants_a_token_and_says_where_to_get_one(
    client: httpx.AsyncClient, guarded: RunningGateway
) -> None:
    for route in routes(guarded):
        answer = await client.request(**route.request())
        if route.template in OPEN:
            assert answer.status_code in (200, 405), route
            continue
        assert answer.status_code == 401, route
        below = route.path if route.template in MCP else ""
        begin = 'scope="read write", ' if below else ""
        where = f"{guarded.url}/.well-known/oauth-protected-resource{below}"
        assert answer.headers["www-authenticate"] == f'Bearer {begin}resource_metadata="{where}"', route
        assert route.method == "HEAD" or code(answer) == (401, "unauthenticated")
    assert asked(guarded) == []


async def test_a_path_that_is_no_route_wants_a_token_as_well(client: httpx.AsyncClient) -> None:
    for path in ("/nowhere", "/livez/x", "/livezz", "/.well-known", "/.well-known/oauth-protected-resourcex", "/mcp/x"):
        assert (await client.get(path)).status_code == 401, path


async def test_every_route_refuses_a_token_that_does_not_count(
    client: httpx.AsyncClient, guarded: RunningGateway
) -> None:
    for route in routes(guarded):
        if route.template in OPEN:
            continue
        answer = await client.request(**route.request(), headers={"Authorization": "Bearer wrong"})
        assert answer.status_code == 401, route
        assert 'error="invalid_token"' in answer.headers["www-authenticate"], route
    assert asked(guarded) == []


async def test_a_token_counts_in_the_header_alone_and_once(
    client: httpx.AsyncClient, guarded: RunningGateway, tokens: FakeAuthenticator
) -> None:
    bearer = tokens.owner()["Authorization"].removeprefix("Bearer ")
    url = "/api/v1/stats"
    wrong: list[list[tuple[str, str]]] = [
        [("Authorization", bearer)],
        [("Authorization", f"Basic {bearer}")],
        [("Authorization", f"Bearer {bearer} {bearer}")],
        [("Authorization", "Bearer")],
        [("Authorization", f"Bearer {bearer}"), ("Authorization", f"Bearer {bearer}")],
        [("Authorization", "Bearer " + "a" * 20_000)],
        [("X-Authorization", f"Bearer {bearer}")],
        [("Cookie", f"access_token={bearer}")],
    ]
    for headers in wrong:
        assert (await client.get(url, headers=headers)).status_code == 401, headers[0][0]
    for name in ("access_token", "token", "authorization"):
        assert (await client.get(url, params={name: bearer})).status_code == 401
        form = await client.post("/api/v1/memories", data={name: bearer})
        assert form.status_code == 401
    assert asked(guarded) == []
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert (await client.get(url, headers={"Authorization": f"{scheme} {bearer}"})).status_code == 200


async def test_every_route_wants_the_scope_that_it_declares(
    client: httpx.AsyncClient, guarded: RunningGateway, tokens: FakeAuthenticator
) -> None:
    for route in routes(guarded):
        if route.requires is None:
            continue
        lacking = tokens.owner(scopes=EVERYTHING - {route.requires.scope}, operator=True)
        answer = await client.request(**route.request(), headers=lacking)
        assert code(answer) == (403, "insufficient_scope"), route
        challenge = f'Bearer error="insufficient_scope", scope="{route.requires.scope}", resource_metadata="'
        assert answer.headers["www-authenticate"].startswith(challenge), route
    assert asked(guarded) == []


async def test_every_route_refuses_to_act_for_another_user(
    client: httpx.AsyncClient, guarded: RunningGateway, tokens: FakeAuthenticator
) -> None:
    owner = tokens.owner()
    operator = tokens.owner(operator=True)
    seen = 0
    for route in routes(guarded):
        if route.names_user is None:
            concerns_all = route.requires is not None and route.requires.operator
            assert concerns_all or route.template in OPEN | ANY_SCOPE | MCP, route
            continue
        header = operator if route.requires is not None and route.requires.operator else owner
        answer = await client.request(**route.request(user="mallory"), headers=header)
        assert code(answer) == (403, "another_user"), (route, answer.text)
        seen += 1
    assert seen > 40
    assert asked(guarded) == []


async def test_what_the_person_has_is_shown_to_no_app(
    client: httpx.AsyncClient, guarded: RunningGateway, tokens: FakeAuthenticator
) -> None:
    app = tokens.issue(operator=True)
    for route in routes(guarded):
        if route.requires is None or route.requires.apps:
            continue
        assert code(await client.request(**route.request(), headers=app)) == (403, "forbidden"), route
    assert asked(guarded) == []


async def test_what_concerns_all_users_is_the_operators(
    client: httpx.AsyncClient, guarded: RunningGateway, tokens: FakeAuthenticator
) -> None:
    owner = tokens.owner()
    for route in routes(guarded):
        if route.requires is not None and route.requires.operator:
            assert code(await client.request(**route.request(), headers=owner)) == (403, "operator_only"), route
    assert asked(guarded) == []


async def test_with_the_right_token_every_route_answers(
    client: httpx.AsyncClient, guarded: RunningGateway, tokens: FakeAuthenticator
) -> None:
    operator, app = tokens.owner(operator=True), tokens.issue()
    for route in routes(guarded):
        endless = route.template.endswith("/stream")
        if route.template in MCP or endless or route.method == "HEAD":
            continue
        for header in (operator, app) if route.requires is not None and route.requires.apps else (operator,):
            answer = await client.request(**route.request(), headers=header)
            assert answer.status_code not in (401, 403) and answer.status_code < 500, (route, answer.text)


async def test_an_app_is_who_its_token_says(
    client: httpx.AsyncClient, guarded: RunningGateway, tokens: FakeAuthenticator
) -> None:
    app = tokens.issue("ada", "cursor")
    credential = next(reversed(tokens.identities.values())).credential
    guarded.service.calls.clear()
    assert (await client.post("/api/v1/memories", json={"text": "Likes tea"}, headers=app)).status_code == 200
    same = {"user_id": "ada", "app": "cursor"}
    found = await client.get("/api/v1/search", params={"query": "tea", **same}, headers=app)
    assert [each["memory"] for each in found.json()["results"]] == ["Likes tea"]
    memory_id = found.json()["results"][0]["id"]
    revised = await client.put(f"/api/v1/memories/{memory_id}", json={"memory_content": "Likes mate"}, headers=app)
    assert revised.json()["results"][0]["event"] == "UPDATE"
    gone = await client.request("DELETE", "/api/v1/memories", json={"memory_ids": [memory_id]}, headers=app)
    assert gone.status_code == 200
    assert {caller for _, caller in guarded.service.calls} == {Caller("ada", "cursor", credential)}
    assert "get" not in {method for method, _ in guarded.service.calls}


@pytest.mark.parametrize("app", ["cline", OWNER_APP, "openmemory"])
async def test_a_request_that_names_another_app_is_refused(
    client: httpx.AsyncClient, guarded: RunningGateway, tokens: FakeAuthenticator, app: str
) -> None:
    header = tokens.issue("ada", "cursor")
    added = await client.post("/api/v1/memories", json={"text": "a", "app": app}, headers=header)
    found = await client.get("/api/v1/search", params={"query": "a", "app": app}, headers=header)
    assert code(added) == code(found) == (403, "another_app")
    assert asked(guarded) == []


async def test_the_person_searches_as_no_app(
    client: httpx.AsyncClient, guarded: RunningGateway, tokens: FakeAuthenticator
) -> None:
    found = await client.get("/api/v1/search", params={"query": "a", "app": "cursor"}, headers=tokens.owner())
    assert code(found) == (403, "another_app")
    assert asked(guarded) == []


async def test_who_may_write_only_is_told_no_text(client: httpx.AsyncClient, tokens: FakeAuthenticator) -> None:
    writer, owner = tokens.owner(scopes=[Scope.WRITE]), tokens.owner()
    memory = (await client.post("/api/v1/memories", json={"text": "Likes rum"}, headers=owner)).json()
    path = f"/api/v1/memories/{memory['id']}"
    answers = [
        await client.post("/api/v1/memories", json={"text": "Likes rum"}, headers=writer),
        await client.put(f"{path}/categories", json={"categories": ["drinks"]}, headers=writer),
        await client.put(path, json={"memory_content": "Likes gin"}, headers=writer),
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert answer.json()["results"][0]["id"] == memory["id"]
        assert "Likes" not in answer.text
    shown = await client.put(path, json={"memory_content": "Likes port"}, headers=owner)
    assert shown.json()["content"] == "Likes port"


async def test_a_hostile_host_or_origin_is_refused_before_anybody_asks_for_a_token(
    client: httpx.AsyncClient, guarded: RunningGateway, tokens: FakeAuthenticator
) -> None:
    owner = tokens.owner(operator=True)
    before = tokens.proofs
    for route in routes(guarded):
        for hostile in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
            answer = await client.request(**route.request(), headers={**owner, **hostile})
            assert answer.status_code == 403, (route, hostile)
            assert "www-authenticate" not in answer.headers
            assert "access-control-allow-origin" not in answer.headers
    assert (tokens.proofs, asked(guarded)) == (before, [])


async def test_while_it_cannot_be_known_who_comes_nobody_is_let_in(
    client: httpx.AsyncClient, guarded: RunningGateway, tokens: FakeAuthenticator
) -> None:
    owner = tokens.owner(operator=True)
    tokens.down = True
    try:
        for route in routes(guarded):
            if route.template not in OPEN:
                answer = await client.request(**route.request(), headers=owner)
                assert answer.status_code == 503, route
                assert answer.headers["retry-after"]
    finally:
        tokens.down = False
    assert asked(guarded) == []


async def test_a_request_is_proven_once(client: httpx.AsyncClient, tokens: FakeAuthenticator) -> None:
    owner = tokens.owner()
    before = tokens.proofs
    await client.get("/api/v1/stats", headers=owner)
    assert tokens.proofs == before + 1


async def test_the_document_declares_the_scheme_and_each_routes_scope(
    client: httpx.AsyncClient, guarded: RunningGateway, tokens: FakeAuthenticator
) -> None:
    document = (await client.get("/openapi.json", headers=tokens.issue())).json()
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for route in routes(guarded):
        operation = document["paths"].get(route.template, {}).get(route.method.lower())
        if operation is not None:
            scopes = [] if route.requires is None else [route.requires.scope]
            assert operation.get("security") == (None if route.template in OPEN else [{"token": scopes}]), route
            assert route.template in OPEN or "unauthenticated" in str(operation["responses"]["4XX"]), route
