"""Streams that end with their token, rates that are kept, and pages of other sites."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from contracts.errors import ConfigurationError
from gateway.app import GatewayOptions, create_app
from gateway.auth.middleware import AuthOptions
from support.fake_authenticator import FakeAuthenticator
from support.fake_operator import log_event
from support.fake_service import FakeService
from support.running_gateway import RunningGateway, serve_gateway
from support.sse_stream import open_stream_with, tool_call
from support.stack import eventually

EVENTS = "/api/v1/events/stream"
SITE = "https://app.example"
SOON = AuthOptions(failure_limit="off", prove_again=0.1)


@asynccontextmanager
async def guarded(
    auth: AuthOptions = SOON, **options: Any
) -> AsyncGenerator[tuple[RunningGateway, httpx.AsyncClient, FakeAuthenticator]]:
    tokens = FakeAuthenticator()
    async with (
        serve_gateway(authenticators=(tokens,), auth=auth, **options) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=60) as client,
    ):
        yield gateway, client, tokens


async def _line(lines: AsyncIterator[str], beginning: str) -> str:
    async with asyncio.timeout(60):
        async for line in lines:
            if line.startswith(beginning):
                return line
    raise AssertionError(f"the stream ended without {beginning}")


async def _to_the_end(lines: AsyncIterator[str]) -> list[str]:
    async with asyncio.timeout(60):
        return [line async for line in lines]


async def until(holds: Callable[[], bool]) -> None:
    async def probe() -> bool:
        return holds()

    await eventually(probe)


@pytest.mark.parametrize("why", ["revoked", "unknown"])
async def test_a_stream_of_events_ends_when_its_token_counts_no_more(why: str) -> None:
    async with guarded() as (gateway, client, tokens):
        header = tokens.owner()
        async with client.stream("GET", EVENTS, headers=header) as stream:
            lines = stream.aiter_lines()
            await _line(lines, "event: position")
            gateway.service.append(log_event(1))
            assert "text 1" in await _line(lines, 'data: {"')
            if why == "revoked":
                tokens.revoke(header)
            else:
                tokens.down = True
            await _to_the_end(lines)  # properly, not as a broken connection
        await until(lambda: gateway.service.following == 0)
        tokens.down = False
        again = await client.get(EVENTS, headers=header) if why == "revoked" else None
        assert again is None or again.status_code == 401


async def test_a_stream_is_proven_as_long_as_it_is_open() -> None:
    async with guarded() as (gateway, client, tokens):
        first, second = tokens.owner(), tokens.owner()
        async with client.stream("GET", EVENTS, headers=first) as stream:
            lines = stream.aiter_lines()
            await _line(lines, "event: position")
            await until(lambda: tokens.proofs_of(first) > 3)
            gateway.service.append(log_event(1))
            assert "text 1" in await _line(lines, 'data: {"')
        await until(lambda: gateway.service.following == 0)
        before = tokens.proofs_of(first)
        async with client.stream("GET", EVENTS, headers=second):
            await until(lambda: tokens.proofs_of(second) > 4)
        assert tokens.proofs_of(first) <= before + 1


async def test_a_session_over_sse_ends_with_its_token_and_cancels_what_it_called() -> None:
    async with guarded() as (gateway, client, tokens):
        header = tokens.issue()
        client.headers.update(header)
        gateway.service.hold = asyncio.Event()
        async with open_stream_with(client, "/mcp/cursor/sse/ada") as stream:
            await stream.initialize()
            await stream.post(tool_call(1, "list_memories"))
            await until(lambda: gateway.service.calls != [])
            tokens.revoke(header)
            refused = await stream.post(tool_call(2, "list_memories"))
            assert refused.status_code == 401
            while await stream.line() is not None:
                pass
        await until(lambda: gateway.sse.open_sessions == 0)


async def test_a_call_that_tells_its_progress_ends_with_its_token() -> None:
    async with guarded() as (gateway, client, tokens):
        header = tokens.issue()
        gateway.service.hold = asyncio.Event()
        message = tool_call(1, "list_memories")
        message["params"]["_meta"] = {"progressToken": 1}
        told = {**header, "accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25"}
        async with client.stream("POST", "/mcp", json=message, headers=told) as stream:
            await until(lambda: gateway.service.calls != [])
            tokens.revoke(header)
            assert not [line for line in await _to_the_end(stream.aiter_lines()) if "result" in line]


async def test_a_token_may_come_as_often_as_it_may_and_then_is_told_to_wait() -> None:
    async with guarded(AuthOptions(rate_limit="3/hour")) as (_, client, tokens):
        busy, calm = tokens.owner(), tokens.owner()
        for _ in range(3):
            assert (await client.get("/api/v1/stats", headers=busy)).status_code == 200
        proofs = tokens.proofs
        answer = await client.get("/api/v1/stats", headers=busy)
        assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
        assert 3000 < int(answer.headers["retry-after"]) <= 3600
        assert tokens.proofs == proofs  # nothing is looked up for it
        assert (await client.get("/api/v1/stats", headers=calm)).status_code == 200
        assert (await client.get("/livez")).status_code == 200


async def test_an_address_that_tries_tokens_is_held_up_and_those_that_count_are_not() -> None:
    async with guarded(AuthOptions(failure_limit="3/hour")) as (_, client, tokens):
        known, later = tokens.owner(), tokens.owner()
        assert (await client.get("/api/v1/stats", headers=known)).status_code == 200
        for number in range(3):
            wrong = {"Authorization": f"Bearer wrong{number}"}
            assert (await client.get("/api/v1/stats", headers=wrong)).status_code == 401
        proofs = tokens.proofs
        held = await client.get("/api/v1/stats", headers={"Authorization": "Bearer wrong9"})
        assert (held.status_code, held.json()["code"]) == (429, "rate_limited")
        assert held.headers["retry-after"]
        assert tokens.proofs == proofs
        assert (await client.get("/api/v1/stats", headers=known)).status_code == 200
        assert (await client.get("/api/v1/stats", headers=later)).status_code == 429
        assert (await client.get("/api/v1/stats")).status_code == 401  # costs nothing, so it is no try


@pytest.mark.parametrize("rate", ["", "x", "10", "0/minute", "-1/minute", "10/lightyear"])
def test_a_rate_that_is_none_is_refused_at_the_start(rate: str) -> None:
    options = GatewayOptions(version="0", authenticators=(FakeAuthenticator(),), auth=AuthOptions(rate_limit=rate))
    with pytest.raises(ConfigurationError, match="MEMLOG_RATE_LIMIT"):
        create_app(FakeService(), options)


PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type"}


async def test_no_page_of_another_site_is_let_in_by_default() -> None:
    async with guarded() as (gateway, client, tokens):
        token = tokens.owner()
        for headers in ({"Origin": gateway.url}, {}):
            answer = await client.get("/api/v1/stats", headers={**token, **headers})
            assert answer.status_code == 200
            assert not [name for name in answer.headers if name.startswith("access-control")]
            preflight = await client.options("/api/v1/stats", headers={**PREFLIGHT, **headers})
            assert preflight.status_code == 401
            assert not [name for name in preflight.headers if name.startswith("access-control")]
        for method in ("GET", "OPTIONS"):
            answer = await client.request(method, "/api/v1/stats", headers={**token, **PREFLIGHT, "Origin": SITE})
            assert answer.status_code == 403
            assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_an_origin_that_is_allowed_gets_what_a_page_needs_and_no_other_does() -> None:
    async with guarded(allowed_origins=(SITE,)) as (_, client, tokens):
        token = tokens.owner()
        preflight = await client.options("/api/v1/memories", headers={**PREFLIGHT, "Origin": SITE})
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == SITE
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert preflight.headers["access-control-allow-headers"] == "authorization, content-type"
        assert "access-control-allow-credentials" not in preflight.headers
        answer = await client.get("/api/v1/stats", headers={**token, "Origin": SITE})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, SITE)
        refused = await client.get("/api/v1/stats", headers={"Origin": SITE})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, SITE)
        assert "WWW-Authenticate" in refused.headers["access-control-expose-headers"]
        for other in ("https://evil.example", f"{SITE}.evil.example", "http://app.example", "null"):
            answer = await client.options("/api/v1/memories", headers={**PREFLIGHT, "Origin": other})
            assert answer.status_code == 403, other
            assert not [name for name in answer.headers if name.startswith("access-control")], json.dumps(other)
