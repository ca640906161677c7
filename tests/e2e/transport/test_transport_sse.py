"""HTTP+SSE on OpenMemory's paths: the official client, the wire itself, who is served, and what is left behind."""

import asyncio
import json
import re
import uuid

import httpx
import pytest
from gateway.service import Caller
from opentelemetry import trace
from support.running_gateway import WIRES, RunningGateway
from support.sse_stream import open_stream, tool_call
from support.stack import call, eventually

ORDERS = ["/mcp/cursor/sse/ada", "/mcp/sse/cursor/ada", "/mcp/cursor/sse/ada/"]
ADA = Caller("ada", "cursor", "mcp")
LIST = tool_call(1, "list_memories")
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
both_revisions = pytest.mark.parametrize("revision", list(WIRES))
both_orders = pytest.mark.parametrize("path", ORDERS)


@both_orders
@both_revisions
async def test_a_memory_lives_through_all_tools_as_the_user_and_client_of_the_path(
    gateway: RunningGateway, path: str, revision: str
) -> None:
    async with gateway.over_sse(revision, path) as client:
        assert client.protocol_version == revision
        assert len((await client.list_tools()).tools) == 7
        added = await call(client, "add_memories", text="Likes tea")
        memory_id = added["results"][0]["id"]
        assert [row["id"] for row in (await call(client, "search_memory", query="tea"))["results"]] == [memory_id]
        assert [row["id"] for row in (await call(client, "list_memories"))["results"]] == [memory_id]
        revised = await call(client, "update_memory", memory_id=memory_id, text="Likes coffee")
        assert revised["results"][0]["event"] == "UPDATE"
        assert len((await call(client, "get_memory_history", memory_id=memory_id))["entries"]) == 2
        assert (await call(client, "delete_memories", memory_ids=[memory_id]))["deleted"] == 1
        assert (await call(client, "delete_all_memories"))["deleted"] == 0
        refused = await client.call_tool("get_memory_history", {"memory_id": str(uuid.uuid4())})
        assert refused.is_error
    assert {caller for _, caller in gateway.service.calls} == {ADA}


@both_orders
async def test_the_stream_says_where_to_post_and_no_proxy_may_keep_it(gateway: RunningGateway, path: str) -> None:
    async with open_stream(gateway.url, path) as stream:
        assert re.fullmatch(r"/mcp/messages/\?session_id=[0-9a-f]{32}", stream.endpoint)
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        assert stream.response.headers["cache-control"] == "no-store"
        assert stream.response.headers["x-accel-buffering"] == "no"


@pytest.mark.parametrize(
    "base", ["/mcp/messages", "/mcp/messages/"] + [f"/mcp/cursor/sse/ada/messages{s}" for s in ("", "/")]
)
async def test_messages_are_taken_on_each_of_openmemorys_paths(gateway: RunningGateway, base: str) -> None:
    async with open_stream(gateway.url, ORDERS[0]) as stream:
        stream.endpoint = f"{base}?session_id={stream.session_id}"
        assert (await stream.initialize())["serverInfo"]["name"] == "memlog"
        assert (await stream.post(LIST)).status_code == 202
        assert (await stream.message())["result"]["structuredContent"] == {"results": []}
    assert gateway.service.calls == [("list_for_app", ADA)]


@pytest.mark.parametrize("session", ["0" * 31 + "1", "6b0f6d7e-9a35-4c3e-8f0a-3f1f3c0a7d11", "x", "", "%00"])
@pytest.mark.parametrize("base", ["/mcp/messages", "/mcp/messages/", "/mcp/cursor/sse/ada/messages"])
async def test_a_message_for_an_unknown_session_is_a_404(http: httpx.AsyncClient, base: str, session: str) -> None:
    answer = await http.post(f"{base}?session_id={session}", json=LIST)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_message_for_a_session_that_has_ended_is_a_404(
    gateway: RunningGateway, http: httpx.AsyncClient
) -> None:
    async with open_stream(gateway.url, ORDERS[0]) as stream:
        await stream.initialize()
    await eventually(lambda: _no_session(gateway))
    assert (await http.post(stream.endpoint, json=LIST)).status_code == 404
    assert gateway.service.calls == []


@pytest.mark.parametrize(
    "path", ["/mcp/cursor/sse/bob", "/mcp/cline/sse/ada", "/mcp/ada/sse/cursor", "/mcp/Cursor/sse/ada"]
)
async def test_a_message_under_another_name_than_its_streams_is_a_404(gateway: RunningGateway, path: str) -> None:
    async with open_stream(gateway.url, ORDERS[0]) as stream:
        await stream.initialize()
        answer = await stream.post(LIST, f"{path}/messages?session_id={stream.session_id}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert gateway.service.calls == []


async def test_a_message_is_served_as_its_streams_user_and_answered_on_its_stream_only(
    gateway: RunningGateway,
) -> None:
    async with open_stream(gateway.url, ORDERS[0]) as ada, open_stream(gateway.url, "/mcp/sse/cline/bob") as bob:
        await ada.initialize()
        await bob.initialize()
        claims = {"mcp-session-id": "0" * 32 + ".Ym9i", "x-user-id": "bob"}
        meta = {"io.modelcontextprotocol/clientInfo": {"name": "cline", "version": "1"}}
        claimed = {**LIST, "params": {**LIST["params"], "_meta": meta}}
        # From bob's own connections, under ada's session: still ada.
        assert (await bob.post(claimed, ada.endpoint, **claims)).status_code == 202
        assert (await ada.message())["id"] == 1
        assert (await bob.post({**LIST, "id": 2})).status_code == 202
        assert (await bob.message())["id"] == 2
    assert gateway.service.calls == [("list_for_app", ADA), ("list_for_app", Caller("bob", "cline", "mcp"))]


async def test_concurrent_clients_are_not_mixed_up(gateway: RunningGateway) -> None:
    async def one(number: int) -> None:
        path = f"/mcp/app{number}/sse/user{number}" if number % 2 else f"/mcp/sse/app{number}/user{number}"
        async with gateway.over_sse("2025-11-25", path) as client:
            for _ in range(5):
                added = await call(client, "add_memories", text=f"of user {number}")
                assert added["results"][0]["memory"] == f"of user {number}"
            assert [row["source_app"] for row in (await call(client, "list_memories"))["results"]] == [f"app{number}"]

    async with asyncio.timeout(60):
        await asyncio.gather(*(one(number) for number in range(8)))


@pytest.mark.parametrize(
    "path", ["/mcp/dashboard/sse/ada", "/mcp/sse/dashboard/ada", "/mcp/cursor/sse/%00", "/mcp/%20/sse/a"]
)
async def test_a_path_whose_names_are_none_opens_no_stream(
    gateway: RunningGateway, http: httpx.AsyncClient, path: str
) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert gateway.sse.open_sessions == 0


async def test_a_client_may_be_called_like_a_transport(gateway: RunningGateway) -> None:
    for client, path in (("http", "/mcp/sse/http/ada"), ("sse", "/mcp/sse/sse/ada"), ("http", "/mcp/http/sse/ada")):
        async with gateway.over_sse("2025-11-25", path) as session:
            await call(session, "list_memories")
        assert gateway.service.calls.pop() == ("list_for_app", Caller("ada", client, "mcp"))
    async with gateway.mcp("2025-11-25", "/mcp/sse/http/ada") as session:
        await call(session, "list_memories")
    assert gateway.service.calls.pop() == ("list_for_app", Caller("ada", "sse", "mcp"))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("HEAD", ORDERS[0]),
        ("POST", ORDERS[0]),
        ("DELETE", ORDERS[1]),
        ("GET", "/mcp/messages"),
        ("PUT", "/mcp/messages/"),
    ],
)
async def test_another_method_is_a_405_and_opens_no_stream(
    gateway: RunningGateway, http: httpx.AsyncClient, method: str, path: str
) -> None:
    assert (await http.request(method, path)).status_code == 405
    assert gateway.sse.open_sessions == 0


async def test_a_body_that_is_no_message_is_refused_and_the_session_goes_on(gateway: RunningGateway) -> None:
    async with open_stream(gateway.url, ORDERS[0]) as stream:
        await stream.initialize()
        for body in (b"", b"{", b"[]", b'{"jsonrpc":"2.0"}', json.dumps([LIST]).encode(), b"\xff"):
            answer = await stream.http.post(stream.endpoint, content=body)
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json"), body
        for query in ("", f"?session_id={stream.session_id}&session_id={stream.session_id}"):
            assert (await stream.post(LIST, f"/mcp/messages{query}")).status_code == 422
        assert (await stream.post(LIST)).status_code == 202
        assert (await stream.message())["id"] == 1


async def test_the_edge_guards_these_routes_too(gateway: RunningGateway, http: httpx.AsyncClient) -> None:
    for path in ORDERS:
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            answer = await http.get(path, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "foreign_request")
    async with open_stream(gateway.url, ORDERS[0]) as stream:
        refused = await stream.post(LIST, Origin="http://evil.example")
        large = await stream.post({**LIST, "padding": "x" * 2_000_000})
        assert (refused.status_code, large.status_code) == (403, 413)
    assert gateway.service.calls == []


async def test_the_trace_context_of_a_posted_message_reaches_the_service(gateway: RunningGateway) -> None:
    seen: list[str] = []
    gateway.service.on_call = lambda: seen.append(format(trace.get_current_span().get_span_context().trace_id, "032x"))
    async with open_stream(gateway.url, ORDERS[0]) as stream:
        await stream.initialize()
        await stream.post(LIST, traceparent=f"00-{TRACE_ID}-00f067aa0ba902b7-01")
        await stream.message()
    assert seen == [TRACE_ID]


async def _no_session(gateway: RunningGateway) -> bool:
    return gateway.sse.open_sessions == 0
