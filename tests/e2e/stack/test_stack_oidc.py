"""Tokens of an issuer on a whole Memlog: an OAuth 2.1 resource server, as MCP's authorization asks for."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Implementation
from support.issuer import Issuer, served_issuer
from support.stack import WIRES, Stack, call, running_stack

AUDIENCE = "https://memlog.test"


@pytest.fixture(scope="module")
async def issuer() -> AsyncGenerator[Issuer]:
    async with served_issuer() as issuer:
        yield issuer


@pytest.fixture(scope="module")
async def stack(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stack]:
    settings = {
        "MEMLOG_AUTH": "oidc",
        "MEMLOG_OIDC_ISSUER": issuer.url,
        "MEMLOG_PUBLIC_URL": AUDIENCE,
        "MEMLOG_OIDC_OWNER_CLIENTS": "board",
    }
    async with running_stack(tmp_path_factory.mktemp("oidc") / "home", **settings) as stack:
        yield stack


async def ask(stack: Stack, token: str | None, method: str, path: str, **kwargs: Any) -> httpx.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers, timeout=60.0) as http:
        return await http.request(method, path, **kwargs)


async def test_who_has_no_token_is_told_whose_tokens_count(stack: Stack, issuer: Issuer) -> None:
    refused = await ask(stack, None, "POST", "/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
    assert refused.status_code == 401
    challenge = refused.headers["www-authenticate"]
    assert (
        challenge.startswith("Bearer ") and f'resource_metadata="{AUDIENCE}/.well-known/oauth-protected-' in challenge
    )
    url = challenge.split('resource_metadata="')[1].split('"')[0]
    metadata = (await ask(stack, None, "GET", url.removeprefix(AUDIENCE))).json()
    assert metadata["authorization_servers"] == [issuer.url]
    assert metadata["resource"].startswith(AUDIENCE)
    assert set(metadata["scopes_supported"]) == {f"memlog:{name}" for name in ("read", "write", "delete", "admin")}


async def test_a_token_of_the_issuer_acts_as_its_user_and_client_over_rest_and_mcp(
    stack: Stack, issuer: Issuer
) -> None:
    token = issuer.token(aud=f"{AUDIENCE}/mcp")
    added = await ask(stack, token, "POST", "/api/v1/memories", json={"text": "Ada rows on Sundays", "infer": False})
    assert (added.status_code, added.json()["app_name"]) == (200, "cursor"), added.text
    info = Implementation(name="another name", version="1")
    for revision in WIRES:
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60.0) as http:
            transport = streamable_http_client(f"{stack.url}/mcp", http_client=http)
            async with Client(transport, mode=WIRES[revision], client_info=info, read_timeout_seconds=60) as client:
                found = await call(client, "search_memory", query="What sport does Ada do?")
        assert [(row["memory"], row["source_app"]) for row in found["results"]] == [("Ada rows on Sundays", "cursor")]
    person = issuer.token(client_id="board", scope="memlog:read")
    assert (await ask(stack, person, "GET", "/api/v1/memories")).json()["total"] == 1
    assert (await ask(stack, token, "GET", "/api/v1/memories")).status_code == 403, "shown to the person alone"


async def test_scopes_users_and_audiences_are_held_to(stack: Stack, issuer: Issuer) -> None:
    reading = issuer.token(scope="memlog:read")
    body = {"text": "not allowed", "infer": False}
    lacking = await ask(stack, reading, "POST", "/api/v1/memories", json=body)
    assert lacking.status_code == 403 and 'error="insufficient_scope"' in lacking.headers["www-authenticate"]
    assert 'scope="memlog:write"' in lacking.headers["www-authenticate"]
    other = await ask(stack, issuer.token(), "POST", "/api/v1/memories", json={**body, "user_id": "bob"})
    assert (other.status_code, other.json()["code"]) == (403, "another_user")
    for wrong in (issuer.token(aud="https://elsewhere.test"), issuer.token(exp=1), Issuer(issuer.url).token()):
        refused = await ask(stack, wrong, "GET", "/api/v1/search", params={"query": "tea"})
        assert refused.status_code == 401 and 'error="invalid_token"' in refused.headers["www-authenticate"]


async def test_the_operators_own_token_counts_beside_the_issuers(stack: Stack, issuer: Issuer) -> None:
    operator = (stack.home / "admin-token").read_text().strip()
    assert (await ask(stack, operator, "GET", "/api/v1/health")).status_code == 200
    issued = await ask(stack, operator, "POST", "/api/v1/tokens", json={"app": "script", "scopes": ["read"]})
    found = await ask(stack, issued.json()["token"], "GET", "/api/v1/me")
    assert (found.json()["app"], found.json()["scopes"], found.json()["operator"]) == ("script", ["read"], False)
    assert (await ask(stack, issuer.token(scope="memlog:admin"), "GET", "/api/v1/health")).status_code == 403
