"""What MCP clients offer to people rather than to models: memories as resources, the prompt `recall`, progress."""

import uuid
from typing import Any

import httpx
import pytest
from contracts.api import Progress
from contracts.errors import Unavailable
from gateway.service import Caller
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, PromptReference, TextContent, TextResourceContents
from support.running_gateway import WIRES, RunningGateway
from support.stdio_bridge import over_stdio

pytestmark = pytest.mark.parametrize("revision", list(WIRES))
NOT_FOUND = {"2026-07-28": INVALID_PARAMS, "2025-11-25": -32002}


def ada(gateway: RunningGateway, revision: str) -> Client:
    return gateway.mcp(revision, "/mcp/cursor/http/ada")


async def add(client: Client, text: str) -> str:
    result = await client.call_tool("add_memories", {"text": text})
    assert result.structured_content is not None
    return result.structured_content["results"][0]["id"]


async def refused(reading: Any) -> tuple[int, dict[str, str]]:
    with pytest.raises(MCPError) as raised:
        await reading
    return raised.value.code, raised.value.data


async def test_memories_are_resources_newest_first_a_page_at_a_time(gateway: RunningGateway, revision: str) -> None:
    async with ada(gateway, revision) as client:
        first = await add(client, "Likes tea\nand " + "very " * 40 + "strong coffee")
        for number in range(100):
            await add(client, f"Memory {number}")
        page = await client.list_resources()
        assert [row.title for row in page.resources] == [f"Memory {number}" for number in range(99, -1, -1)]
        assert page.next_cursor is not None
        last = await client.list_resources(cursor=page.next_cursor)
        assert last.next_cursor is None
        (oldest,) = last.resources
        assert (oldest.uri, oldest.name, oldest.mime_type) == (f"memory://{first}", first, "text/plain")
        assert oldest.title is not None and oldest.title.startswith("Likes tea and very") and oldest.title.endswith("…")
        assert len(oldest.title) <= 80
        assert oldest.size == len("Likes tea\nand " + "very " * 40 + "strong coffee")
        assert oldest.annotations is not None and oldest.annotations.last_modified is not None
        (template,) = (await client.list_resource_templates()).resource_templates
        assert template.uri_template == "memory://{id}"
        assert set(gateway.service.calls[-2:]) == {("list_for_app", Caller("ada", "cursor", "mcp"))}


async def test_a_resource_is_the_text_of_a_memory_and_what_is_known_of_it(
    gateway: RunningGateway, revision: str
) -> None:
    async with ada(gateway, revision) as client:
        memory_id = await add(client, "Likes tea")
        (contents,) = (await client.read_resource(f"memory://{memory_id}")).contents
        assert isinstance(contents, TextResourceContents)
        assert (contents.uri, contents.mime_type, contents.text) == (f"memory://{memory_id}", "text/plain", "Likes tea")
        known = (contents.meta or {})["memlog/memory"]
        assert (known["id"], known["source_app"]) == (memory_id, "cursor")
        assert gateway.service.calls[-1] == ("get_for_app", Caller("ada", "cursor", "mcp"))


async def test_another_users_memory_an_unknown_one_and_no_memory_at_all_are_not_found_alike(
    gateway: RunningGateway, revision: str
) -> None:
    async with ada(gateway, revision) as client:
        async with gateway.mcp(revision, "/mcp/cursor/http/bob") as bob:
            theirs = await add(bob, "Bob's secret")
        uris = [f"memory://{theirs}", f"memory://{uuid.uuid4()}", "memory://nonsense", "file:///etc/passwd"]
        for uri in uris:
            answer = await refused(client.read_resource(uri))
            assert answer == (NOT_FOUND[revision], {"uri": uri, "code": "not_found"})


async def test_what_fails_is_an_error_with_its_code_that_tells_nothing_of_the_inside(
    gateway: RunningGateway, revision: str
) -> None:
    async with ada(gateway, revision) as client:
        for fail, code in ((Unavailable("the log does not answer"), "unavailable"), (KeyError("secret"), "internal")):
            gateway.service.fail = fail
            for reading in (
                client.list_resources(),
                client.read_resource(f"memory://{uuid.uuid4()}"),
                client.get_prompt("recall", {"topic": "tea"}),
            ):
                with pytest.raises(MCPError) as raised:
                    await reading
                assert (raised.value.code, raised.value.data) == (INTERNAL_ERROR, {"code": code})
                assert "secret" not in str(raised.value)


async def test_the_prompt_recall_puts_what_is_remembered_of_a_topic_before_the_user(
    gateway: RunningGateway, revision: str
) -> None:
    async with ada(gateway, revision) as client:
        (prompt,) = (await client.list_prompts()).prompts
        assert prompt.name == "recall" and prompt.arguments is not None
        assert [(argument.name, argument.required) for argument in prompt.arguments] == [("topic", True)]
        memory_id = await add(client, "Likes tea\nin the morning")
        await add(client, "Owns a boat")
        (message,) = (await client.get_prompt("recall", {"topic": "tea"})).messages
        assert isinstance(message.content, TextContent) and message.role == "user"
        assert "about: tea" in message.content.text and f"memory://{memory_id}" in message.content.text
        assert "- Likes tea\n  in the morning\n" in message.content.text and "boat" not in message.content.text
        assert gateway.service.calls[-1] == ("search", Caller("ada", "cursor", "mcp"))
        (nothing,) = (await client.get_prompt("recall", {"topic": "zebras"})).messages
        assert isinstance(nothing.content, TextContent)
        assert nothing.content.text == "Nothing is remembered about: zebras"


async def test_a_prompt_that_is_not_there_and_wrong_arguments_are_refused(
    gateway: RunningGateway, revision: str
) -> None:
    async with ada(gateway, revision) as client:
        for name, arguments in (("forget", {"topic": "tea"}), ("recall", {}), ("recall", {"topic": " "})):
            code, _ = await refused(client.get_prompt(name, arguments))
            assert code == INVALID_PARAMS
        assert gateway.service.calls == []


async def test_topics_are_completed_without_telling_what_is_remembered(gateway: RunningGateway, revision: str) -> None:
    async with ada(gateway, revision) as client:
        ref = PromptReference(type="ref/prompt", name="recall")
        found = await client.complete(ref, {"name": "topic", "value": "PR"})
        assert found.completion.values == ["preferences", "projects", "product feedback"]
        assert gateway.service.calls == []


@pytest.mark.parametrize(
    ("transport", "tool"),
    [("http", "add_memories"), ("http", "delete_all_memories"), ("sse", "add_memories"), ("stdio", "add_memories")],
)
async def test_a_long_write_tells_its_progress_to_a_client_that_asks(
    gateway: RunningGateway, revision: str, transport: str, tool: str
) -> None:
    gateway.service.progress = [None, *(Progress(done=n, total=900) for n in (300, 200, 600)), None]
    connect = {
        "http": lambda: gateway.mcp(revision, "/mcp/cursor/http/ada"),
        "sse": lambda: gateway.over_sse(revision, "/mcp/cursor/sse/ada"),
        "stdio": lambda: over_stdio(revision, "--client", "cursor", "--user", "ada", "--url", gateway.url),
    }[transport]
    told: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    arguments = {"text": "Likes tea"} if tool == "add_memories" else {}
    async with connect() as client:
        result = await client.call_tool(tool, arguments, progress_callback=hear)
        assert not result.is_error and result.structured_content is not None
        assert (await client.call_tool(tool, arguments)).is_error is False
    assert told[-2:] == [(300, 900, "300 of 900 memories"), (600, 900, "600 of 900 memories")]
    assert [value for value, _, _ in told] == sorted({value for value, _, _ in told}), "it only grows"


async def test_only_a_client_that_takes_a_stream_is_answered_with_one(
    gateway: RunningGateway, http: httpx.AsyncClient, revision: str
) -> None:
    gateway.service.progress = [Progress(done=1, total=2)]
    meta: dict[str, Any] = {"progressToken": "t"}
    headers = {"mcp-protocol-version": revision}
    if revision == "2026-07-28":
        meta["io.modelcontextprotocol/protocolVersion"] = revision
        meta["io.modelcontextprotocol/clientCapabilities"] = {}
        headers |= {"mcp-method": "tools/call", "mcp-name": "delete_all_memories"}
    params = {"name": "delete_all_memories", "arguments": {}, "_meta": meta}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    for accept, kind in (
        ("application/json, text/event-stream", "text/event-stream"),
        ("application/json", "application/json"),
    ):
        answer = await http.post("/mcp", json=call, headers={**headers, "accept": accept})
        assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, kind), answer.text
        assert '"isError":false' in answer.text.replace(" ", "")
