import asyncio
import json
import uuid
from typing import Any, cast

import httpx
import pytest
from contracts.errors import Unavailable
from gateway.errors import CODE_META_KEY
from gateway.service import Caller
from mcp_types import CallToolResult, TextContent
from opentelemetry import trace
from support.running_gateway import WIRES, RunningGateway

NAMES = [
    "add_memories", "search_memory", "list_memories", "update_memory", "delete_memories", "delete_all_memories",
    "get_memory_history",
]  # fmt: skip
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
both_revisions = pytest.mark.parametrize("revision", list(WIRES))


def text_of(result: CallToolResult) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


def body_of(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, text_of(result)
    assert json.loads(text_of(result)) == result.structured_content
    return cast("dict[str, Any]", result.structured_content)


@both_revisions
async def test_all_tools_are_listed_in_a_stable_order_with_annotations_and_schemas(
    gateway: RunningGateway, revision: str
) -> None:
    async with gateway.mcp(revision) as client:
        tools = (await client.list_tools()).tools
        assert client.protocol_version == revision
        assert (await client.list_tools()).tools == tools
    assert [tool.name for tool in tools] == NAMES
    for tool in tools:
        assert tool.title and tool.description and tool.output_schema and tool.annotations
        assert tool.input_schema["additionalProperties"] is False
        assert tool.annotations.read_only_hint is (tool.name in ("search_memory", "list_memories", NAMES[-1]))
    destructive = [tool.name for tool in tools if tool.annotations and tool.annotations.destructive_hint]
    assert destructive == ["update_memory", "delete_memories", "delete_all_memories"]


@both_revisions
async def test_the_server_is_called_memlog_and_says_its_version(gateway: RunningGateway, revision: str) -> None:
    async with gateway.mcp(revision) as client:
        # On the stateless wire a server names itself in the `_meta` of its results only.
        raw = await client.session.list_tools()
        named = (raw.meta or {}).get("io.modelcontextprotocol/serverInfo")
        assert named or client.server_info
        info = named or (client.server_info.model_dump() if client.server_info else {})
        assert (info["name"], info["version"]) == ("memlog", "1.2.3")


@both_revisions
async def test_a_memory_lives_through_all_tools(gateway: RunningGateway, revision: str) -> None:
    async with gateway.mcp(revision) as client:
        given = {"text": "Likes tea", "metadata": {"a": 1}, "categories": ["food"], "idempotency_key": "k"}
        added = body_of(await client.call_tool("add_memories", given))
        memory_id = added["results"][0]["id"]
        assert (added["results"][0]["event"], added["state"]) == ("ADD", "searchable")
        found = body_of(await client.call_tool("search_memory", {"query": "tea", "limit": 5}))
        assert [(row["id"], row["memory"], row["score"]) for row in found["results"]] == [(memory_id, "Likes tea", 1)]
        listed = body_of(await client.call_tool("list_memories", {}))
        assert [row["id"] for row in listed["results"]] == [memory_id]
        assert "next_cursor" not in listed
        revised = body_of(await client.call_tool("update_memory", {"memory_id": memory_id, "text": "Likes coffee"}))
        assert revised["results"] == [
            {"id": memory_id, "memory": "Likes coffee", "event": "UPDATE", "previous_memory": "Likes tea"}
        ]
        history = body_of(await client.call_tool("get_memory_history", {"memory_id": memory_id}))
        assert [entry["text"] for entry in history["entries"]] == ["Likes tea", "Likes coffee"]
        unknown = str(uuid.uuid4())
        gone = body_of(await client.call_tool("delete_memories", {"memory_ids": [memory_id, unknown]}))
        assert (gone["deleted"], gone["not_accessible"]) == (1, [unknown])
        await client.call_tool("add_memories", {"text": "Another"})
        assert body_of(await client.call_tool("delete_all_memories", {}))["deleted"] == 1


@both_revisions
async def test_pages_of_a_list_follow_their_cursor(gateway: RunningGateway, revision: str) -> None:
    async with gateway.mcp(revision) as client:
        for number in range(3):
            await client.call_tool("add_memories", {"text": f"Memory {number}"})
        first = body_of(await client.call_tool("list_memories", {"limit": 2}))
        second = body_of(await client.call_tool("list_memories", {"limit": 2, "cursor": first["next_cursor"]}))
    assert [row["memory"] for row in first["results"] + second["results"]] == ["Memory 2", "Memory 1", "Memory 0"]


@both_revisions
async def test_without_names_in_the_path_the_app_is_what_the_client_calls_itself(
    gateway: RunningGateway, revision: str
) -> None:
    async with gateway.mcp(revision, name="Claude\u0000  Code\n") as client:
        await client.call_tool("list_memories", {})
    assert gateway.service.calls == [("list_for_app", Caller("default", "Claude Code", "mcp"))]


@both_revisions
async def test_the_owners_app_cannot_be_claimed(gateway: RunningGateway, revision: str) -> None:
    async with gateway.mcp(revision, name="dashboard") as client:
        await client.call_tool("list_memories", {})
    assert gateway.service.calls == [("list_for_app", Caller("default", "mcp", "mcp"))]


@pytest.mark.parametrize("path", ["/mcp/cursor/http/ada%20l", "/mcp/cursor/http/ada%20l/"])
@both_revisions
async def test_the_path_names_client_and_user(gateway: RunningGateway, revision: str, path: str) -> None:
    async with gateway.mcp(revision, path) as client:
        await client.call_tool("list_memories", {})
    assert gateway.service.calls == [("list_for_app", Caller("ada l", "cursor", "mcp"))]


LEGACY = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25"}
MODERN = {
    "accept": "application/json, text/event-stream", "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call",
    "mcp-name": "list_memories",
}  # fmt: skip
CALL: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "list_memories", "arguments": {}},
}
INITIALIZE: dict[str, Any] = {
    "jsonrpc": "2.0", "id": 0, "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "Windsurf", "version": "1"},
    },
}  # fmt: skip


async def test_a_session_used_on_another_users_path_is_that_user(
    gateway: RunningGateway, http: httpx.AsyncClient
) -> None:
    opened = await http.post("/mcp", json=INITIALIZE, headers=LEGACY)
    session = {**LEGACY, "mcp-session-id": opened.headers["mcp-session-id"]}
    for path in ("/mcp", "/mcp/cursor/http/ada", "/mcp/cline/http/bob", "/mcp"):
        assert (await http.post(path, json=CALL, headers=session)).status_code == 200
    assert [(caller.user, caller.app) for _, caller in gateway.service.calls] == [
        ("default", "Windsurf"), ("ada", "cursor"), ("bob", "cline"), ("default", "Windsurf"),
    ]  # fmt: skip


@pytest.mark.parametrize("session", [None, "unknown", "a.b", "a.!!", f"{'0' * 32}.ZGFzaGJvYXJk"])
async def test_a_session_that_is_not_ours_names_nobody(
    gateway: RunningGateway, http: httpx.AsyncClient, session: str | None
) -> None:
    headers = LEGACY if session is None else {**LEGACY, "mcp-session-id": session}
    assert (await http.post("/mcp", json=CALL, headers=headers)).status_code == 200
    assert gateway.service.calls == [("list_for_app", Caller("default", "mcp", "mcp"))]


@pytest.mark.parametrize(
    "path", ["/mcp/dashboard/http/ada", "/mcp/cursor/http/%00", "/mcp/%20/http/a", "/mcp/c/http/%FF"]
)
async def test_a_path_whose_names_are_none_is_refused(
    gateway: RunningGateway, http: httpx.AsyncClient, path: str
) -> None:
    answer = await http.post(path, json=CALL, headers=LEGACY)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert gateway.service.calls == []


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_there_is_no_stream_to_open_and_no_session_to_end(http: httpx.AsyncClient, method: str) -> None:
    answer = await http.request(method, "/mcp", headers=LEGACY)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@both_revisions
async def test_an_error_is_a_tool_error_with_its_code(gateway: RunningGateway, revision: str) -> None:
    async with gateway.mcp(revision) as client:
        gateway.service.paused = {"test client"}
        paused = await client.call_tool("add_memories", {"text": "Likes tea"})
        gateway.service.paused = set()
        gateway.service.fail = Unavailable("the writer does not answer")
        down = await client.call_tool("search_memory", {"query": "tea"})
    assert (paused.is_error, text_of(paused)) == (True, "the app 'test client' is paused")
    assert (paused.meta or {})[CODE_META_KEY] == "app_paused"
    assert paused.structured_content is None
    assert (down.is_error, (down.meta or {})[CODE_META_KEY]) == (True, "unavailable")


@both_revisions
async def test_an_unforeseen_failure_is_a_tool_error_that_tells_nothing_of_the_inside(
    gateway: RunningGateway, revision: str
) -> None:
    gateway.service.fail = KeyError("secret internals")
    async with gateway.mcp(revision) as client:
        result = await client.call_tool("list_memories", {})
    assert (result.is_error, (result.meta or {})[CODE_META_KEY]) == (True, "internal")
    assert "secret" not in result.model_dump_json()


@both_revisions
async def test_the_trace_context_of_a_message_reaches_the_service(gateway: RunningGateway, revision: str) -> None:
    seen: list[str] = []
    gateway.service.on_call = lambda: seen.append(_current_trace_id())
    async with gateway.mcp(revision) as client:
        await client.call_tool("list_memories", {}, meta=cast("Any", {"traceparent": TRACEPARENT}))
    assert seen == [TRACE_ID]


async def test_the_trace_context_of_a_request_reaches_the_service(
    gateway: RunningGateway, http: httpx.AsyncClient
) -> None:
    seen: list[str] = []
    gateway.service.on_call = lambda: seen.append(_current_trace_id())
    await http.get("/api/v1/stats", headers={"traceparent": TRACEPARENT})
    await http.get("/api/v1/stats", headers={"traceparent": "nonsense"})
    await http.get("/api/v1/stats")
    assert seen == [TRACE_ID, "0" * 32, "0" * 32]


@both_revisions
async def test_concurrent_clients_are_not_mixed_up(gateway: RunningGateway, revision: str) -> None:
    async def one(number: int) -> None:
        async with gateway.mcp(revision, f"/mcp/app{number}/http/user{number}") as client:
            for _ in range(5):
                added = body_of(await client.call_tool("add_memories", {"text": f"of user {number}"}))
                assert added["results"][0]["memory"] == f"of user {number}"
            listed = body_of(await client.call_tool("list_memories", {}))
            assert [row["source_app"] for row in listed["results"]] == [f"app{number}"]

    async with asyncio.timeout(60):
        await asyncio.gather(*(one(number) for number in range(8)))


def _current_trace_id() -> str:
    return format(trace.get_current_span().get_span_context().trace_id, "032x")
