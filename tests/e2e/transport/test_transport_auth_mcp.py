"""Who speaks over MCP is who the token says, and a tool is called by those alone who may: on every transport, and in
both revisions."""

import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import httpx2
import pytest
import pytest_asyncio
from gateway.auth.middleware import AuthOptions
from gateway.mcp.tools import ToolSpec, tools
from gateway.service import Caller, Scope
from mcp import Client, MCPError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from support.fake_authenticator import EVERYTHING, FakeAuthenticator
from support.routes import ID
from support.running_gateway import WIRES, RunningGateway, serve_gateway
from support.sse_stream import open_stream_with, tool_call

HTTP = ("/mcp", "/mcp/cursor/http/ada")
SSE = ("/mcp/cursor/sse/ada", "/mcp/sse/cursor/ada")
MESSAGES = ("/mcp/messages", "/mcp/cursor/sse/ada/messages")
ARGUMENTS: dict[str, dict[str, Any]] = {
    "add_memories": {"text": "Likes tea"},
    "search_memory": {"query": "tea"},
    "list_memories": {},
    "update_memory": {"memory_id": ID, "text": "Likes mate"},
    "delete_memories": {"memory_ids": [ID]},
    "delete_all_memories": {},
    "get_memory_history": {"memory_id": ID},
}
READS = (
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "prompts/list",
    "prompts/get",
    "completion/complete",
)
FOR_ALL = ("ping", "tools/list", "initialize")
ADA = ("ada", "cursor")
each_tool = pytest.mark.parametrize("tool", tools(), ids=lambda tool: tool.name)
both_revisions = pytest.mark.parametrize("revision", sorted(WIRES))

pytestmark = [pytest.mark.guarantee("G8"), pytest.mark.guarantee("G9")]


@pytest.fixture(scope="module")
def tokens() -> FakeAuthenticator:
    return FakeAuthenticator()


@pytest_asyncio.fixture(scope="module")
async def guarded(tokens: FakeAuthenticator) -> AsyncGenerator[RunningGateway]:
    auth = AuthOptions(failure_limit="off", scope_prefix="memlog:")
    async with serve_gateway(authenticators=(tokens,), auth=auth) as gateway:
        yield gateway


@pytest_asyncio.fixture
async def http(guarded: RunningGateway) -> AsyncGenerator[httpx.AsyncClient]:
    guarded.service.reset()
    async with httpx.AsyncClient(base_url=guarded.url, timeout=60) as client:
        yield client


def told(revision: str, message: dict[str, Any], token: dict[str, str]) -> dict[str, str]:
    """The headers of a message on this revision's wire."""
    headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": revision, **token}
    if revision == "2026-07-28":
        headers |= {"mcp-method": message["method"], "mcp-name": message.get("params", {}).get("name", "")}
    return headers


def message_for(tool: ToolSpec) -> dict[str, Any]:
    return tool_call(1, tool.name, **ARGUMENTS[tool.name])


def lacks(answer: httpx.Response, *scopes: Scope) -> bool:
    """Whether it was refused as MCP has it: 403, and which scopes would do."""
    named = " ".join(f"memlog:{scope}" for scope in sorted(scopes))
    begin = f'Bearer error="insufficient_scope", scope="{named}", resource_metadata="http'
    return answer.status_code == 403 and answer.headers.get("www-authenticate", "").startswith(begin)


@asynccontextmanager
async def connected(
    guarded: RunningGateway, over: str, revision: str, token: dict[str, str], path: str | None = None
) -> AsyncGenerator[Client]:
    """The SDK's client with a token, by Streamable HTTP or HTTP+SSE."""
    async with AsyncExitStack() as stack:
        if over == "http":
            http = await stack.enter_async_context(httpx2.AsyncClient(headers=token, timeout=60))
            transport = streamable_http_client(f"{guarded.url}{path or HTTP[0]}", http_client=http)
        else:
            transport = sse_client(f"{guarded.url}{path or SSE[0]}", headers=token)
        yield await stack.enter_async_context(Client(transport, mode=WIRES[revision], read_timeout_seconds=60))


@each_tool
@both_revisions
async def test_over_http_a_tool_is_not_reached_without_its_scope(
    guarded: RunningGateway, http: httpx.AsyncClient, tokens: FakeAuthenticator, tool: ToolSpec, revision: str
) -> None:
    lacking = tokens.issue(*ADA, scopes=EVERYTHING - {tool.scope})
    message = message_for(tool)
    for path in HTTP:
        for progress in (False, True):  # answered as JSON, or as a stream
            params = message["params"] | ({"_meta": {"progressToken": 1}} if progress else {})
            sent = {**message, "params": params}
            assert lacks(await http.post(path, json=sent, headers=told(revision, sent, lacking)), tool.scope), path
    assert guarded.service.calls == []


@each_tool
async def test_over_sse_a_tool_is_not_reached_without_its_scope(
    guarded: RunningGateway, http: httpx.AsyncClient, tokens: FakeAuthenticator, tool: ToolSpec
) -> None:
    http.headers.update(tokens.issue(*ADA, scopes=EVERYTHING - {tool.scope}))
    for opening in SSE:
        async with open_stream_with(http, opening) as stream:
            await stream.initialize()
            for base in MESSAGES:
                answer = await stream.post(message_for(tool), f"{base}?session_id={stream.session_id}")
                assert lacks(answer, tool.scope), (opening, base)
                assert (await stream.message())["error"]["data"] == {"code": "insufficient_scope"}
    assert guarded.service.calls == []


@both_revisions
@pytest.mark.parametrize("over", ["http", "sse"])
async def test_who_may_all_uses_all_tools_as_the_tokens_user_and_app(
    guarded: RunningGateway, http: httpx.AsyncClient, tokens: FakeAuthenticator, over: str, revision: str
) -> None:
    token = tokens.issue(*ADA)
    credential = next(reversed(tokens.identities.values())).credential
    async with connected(guarded, over, revision, token) as client:
        for tool in tools():
            assert await client.call_tool(tool.name, ARGUMENTS[tool.name])
    assert {caller for _, caller in guarded.service.calls} == {Caller("ada", "cursor", credential)}
    assert len(guarded.service.calls) == len(tools())


@both_revisions
@pytest.mark.parametrize("over", ["http", "sse"])
async def test_a_client_that_may_read_alone_reads_and_can_not_write(
    guarded: RunningGateway, http: httpx.AsyncClient, tokens: FakeAuthenticator, over: str, revision: str
) -> None:
    reader = tokens.issue(*ADA, scopes=[Scope.READ])
    for tool in tools():
        async with connected(guarded, over, revision, reader) as client:
            if tool.scope is Scope.READ:
                await client.call_tool(tool.name, ARGUMENTS[tool.name])
            else:
                with pytest.raises((MCPError, httpx2.HTTPStatusError, ExceptionGroup)):
                    await client.call_tool(tool.name, ARGUMENTS[tool.name])
    assert {method for method, _ in guarded.service.calls} <= {"search", "list_for_app", "history"}


@pytest.mark.parametrize("method", READS)
async def test_resources_prompts_and_completions_want_the_scope_read(
    guarded: RunningGateway, http: httpx.AsyncClient, tokens: FakeAuthenticator, method: str
) -> None:
    lacking = tokens.issue(*ADA, scopes=EVERYTHING - {Scope.READ})
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}
    for revision in sorted(WIRES):
        assert lacks(await http.post("/mcp", json=message, headers=told(revision, message, lacking)), Scope.READ)
    assert guarded.service.calls == []


@pytest.mark.parametrize("method", FOR_ALL)
async def test_what_tells_nothing_of_anybody_wants_a_token_of_any_scope(
    http: httpx.AsyncClient, tokens: FakeAuthenticator, method: str
) -> None:
    params: dict[str, Any] = {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"},
    }  # fmt: skip
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params if method == "initialize" else {}}
    answer = await http.post("/mcp", json=message, headers=told("2025-11-25", message, tokens.issue(scopes=[])))
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        '{"jsonrpc":"2.0","id":1,"method":"tools\\u002fcall","params":{"name":"delete_all\\u005fmemories"}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"delete_all_memories"}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_memories","name":"delete_all_memories"}}',
        '[{"jsonrpc":"2.0","id":1,"method":"ping"},'
        '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"delete_all_memories"}}]',
    ],
    ids=["escapes", "two methods", "two names", "a batch"],
)
async def test_no_way_to_write_it_gets_a_call_past_its_scope(
    guarded: RunningGateway, http: httpx.AsyncClient, tokens: FakeAuthenticator, body: str
) -> None:
    reader = tokens.issue(*ADA, scopes=[Scope.READ])
    headers = {**told("2025-11-25", json.loads(body) if body[0] == "{" else {}, reader)}
    for path in HTTP:
        answer = await http.post(path, content=body, headers={**headers, "content-type": "application/json"})
        assert lacks(answer, Scope.DELETE), path
    assert guarded.service.calls == []


async def test_what_a_batch_needs_is_told_at_once(http: httpx.AsyncClient, tokens: FakeAuthenticator) -> None:
    batch = [message_for(tool) for tool in tools()]
    answer = await http.post("/mcp", json=batch, headers=told("2025-11-25", batch[0], tokens.issue(scopes=[])))
    assert lacks(answer, Scope.READ, Scope.WRITE, Scope.DELETE)


@pytest.mark.parametrize("name", sorted({tool.name for tool in tools() if tool.scope is not Scope.READ}))
async def test_a_tool_asks_for_its_scope_itself_whatever_let_the_call_in(
    guarded: RunningGateway,
    http: httpx.AsyncClient,
    tokens: FakeAuthenticator,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    def none(_: bytes) -> frozenset[Scope]:
        return frozenset()

    monkeypatch.setattr("gateway.mcp.endpoint.needed", none)
    message = tool_call(1, name, **ARGUMENTS[name])
    reader = tokens.issue(*ADA, scopes=[Scope.READ])
    answer = (await http.post("/mcp", json=message, headers=told("2025-11-25", message, reader))).json()["result"]
    assert (answer["isError"], answer["_meta"]["memlog/code"]) == (True, "insufficient_scope")
    assert guarded.service.calls == []


@pytest.mark.parametrize(
    ("client", "user", "code"),
    [("cursor", "mallory", "another_user"), ("cline", "ada", "another_app"), ("dashboard", "ada", "invalid_input")],
)
async def test_a_path_that_names_another_user_or_client_is_refused(
    guarded: RunningGateway, http: httpx.AsyncClient, tokens: FakeAuthenticator, client: str, user: str, code: str
) -> None:
    token = tokens.issue(*ADA)
    message = tool_call(1, "list_memories")
    answers = [
        await http.post(f"/mcp/{client}/http/{user}", json=message, headers=told("2025-11-25", message, token)),
        await http.get(f"/mcp/{client}/sse/{user}", headers=token),
        await http.get(f"/mcp/sse/{client}/{user}", headers=token),
        await http.post(f"/mcp/{client}/sse/{user}/messages?session_id=0", json=message, headers=token),
    ]
    for answer in answers:
        assert answer.json()["code"] == code
        assert answer.status_code == (422 if code == "invalid_input" else 403)
    assert guarded.service.calls == []


async def test_the_persons_token_is_for_no_mcp_client(
    guarded: RunningGateway, http: httpx.AsyncClient, tokens: FakeAuthenticator
) -> None:
    owner = tokens.owner(operator=True)
    message = tool_call(1, "list_memories")
    for path in HTTP:
        answer = await http.post(path, json=message, headers=told("2025-11-25", message, owner))
        assert (answer.status_code, answer.json()["code"]) == (403, "apps_only")
    for path in SSE:
        assert (await http.get(path, headers=owner)).json()["code"] == "apps_only"
    assert guarded.service.calls == []


async def test_what_a_client_says_of_itself_does_not_change_who_it_is(
    guarded: RunningGateway, http: httpx.AsyncClient, tokens: FakeAuthenticator
) -> None:
    message = tool_call(1, "list_memories")
    message["params"]["_meta"] = {"io.modelcontextprotocol/clientInfo": {"name": "cline", "version": "1"}}
    session = {"mcp-session-id": "0.Y2xpbmU"}
    headers = {**told("2025-11-25", message, tokens.issue(*ADA)), **session}
    assert (await http.post("/mcp", json=message, headers=headers)).status_code == 200
    assert [(caller.user, caller.app) for _, caller in guarded.service.calls] == [ADA]


async def test_a_session_over_sse_takes_messages_of_its_openers_token_alone(
    guarded: RunningGateway, http: httpx.AsyncClient, tokens: FakeAuthenticator
) -> None:
    opener = tokens.issue(*ADA)
    message = tool_call(1, "list_memories")
    others = [tokens.issue("mallory", "cursor"), tokens.issue("ada", "cline"), tokens.issue(*ADA)]
    http.headers.update(opener)
    async with open_stream_with(http, SSE[0]) as stream:
        await stream.initialize()
        for other in others:
            answer = await stream.post(message, f"{MESSAGES[0]}?session_id={stream.session_id}", **other)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert guarded.service.calls == []
        assert (await stream.post(message)).status_code == 202
        assert (await stream.message())["result"]["isError"] is False
    assert [(caller.user, caller.app) for _, caller in guarded.service.calls] == [ADA]


async def test_who_may_write_only_is_told_no_earlier_text(
    guarded: RunningGateway, http: httpx.AsyncClient, tokens: FakeAuthenticator
) -> None:
    add = tool_call(1, "add_memories", text="Likes rum")
    added = await http.post("/mcp", json=add, headers=told("2025-11-25", add, tokens.issue(*ADA)))
    memory_id = added.json()["result"]["structuredContent"]["results"][0]["id"]
    revise = tool_call(2, "update_memory", memory_id=memory_id, text="Likes gin")
    writer = tokens.issue(*ADA, scopes=[Scope.WRITE])
    revised = await http.post("/mcp", json=revise, headers=told("2025-11-25", revise, writer))
    assert revised.json()["result"]["structuredContent"]["results"] == [{"id": memory_id, "event": "UPDATE"}]
    assert "Likes" not in revised.text
