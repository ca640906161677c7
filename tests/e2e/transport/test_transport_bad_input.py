"""Every kind of bad input, over REST and both MCP wires: a clear 4xx or tool error, and the service is not called."""

import json
import uuid
from typing import Any

import httpx
import pytest
from gateway.errors import CODE_META_KEY
from mcp_types import TextContent
from support.running_gateway import WIRES, RunningGateway

ID = str(uuid.uuid4())
BIG = "x" * (256 * 1024 + 1)
HUGE = "x" * (5 * 1024 * 1024)


def nested(levels: int) -> Any:
    return [nested(levels - 1)] if levels else 1


CREATE: dict[str, tuple[dict[str, Any], int, str]] = {
    "empty text": ({"text": ""}, 422, "text: must not be empty"),
    "blank text": ({"text": " \n\t "}, 422, "text: must not be empty"),
    "no text": ({}, 422, "text: is missing"),
    "text of another type": ({"text": 5}, 422, "text: Input should be a valid string"),
    "text is null": ({"text": None}, 422, "text: Input should be a valid string"),
    "text over the limit": ({"text": BIG}, 413, "text: has 262145 bytes"),
    "text over the limit in UTF-8 only": ({"text": "é" * (128 * 1024 + 1)}, 413, "text: has 262146 bytes"),
    "5 MB of text": ({"text": HUGE}, 413, "over the limit of 1048576 bytes"),
    "NUL in text": ({"text": "a\x00b"}, 422, "text: must not contain the NUL character"),
    "lone surrogate": ({"text": "a\ud800b"}, 422, "text: holds a lone surrogate"),
    "unknown field": ({"text": "a", "nonsense": 1}, 422, "nonsense: is unknown here"),
    "unknown field that is no Unicode": ({"text": "a", "\ud800": 1}, 422, "holds a lone surrogate"),
    "infer of another type": ({"text": "a", "infer": "yes"}, 422, "infer: Input should be a valid boolean"),
    "metadata of another type": ({"text": "a", "metadata": [1]}, 422, "metadata: "),
    "NUL in metadata": ({"text": "a", "metadata": {"k": ["\x00"]}}, 422, "metadata: must not contain the NUL"),
    "NUL in a metadata key": ({"text": "a", "metadata": {"\x00": 1}}, 422, "metadata: must not contain the NUL"),
    "lone surrogate in metadata": ({"text": "a", "metadata": {"k": "\udfff"}}, 422, "metadata"),
    "metadata too deep": ({"text": "a", "metadata": {"k": nested(40)}}, 422, "metadata: is nested more than 16"),
    "categories of another type": ({"text": "a", "categories": "b"}, 422, "categories: "),
    "an empty category": ({"text": "a", "categories": [""]}, 422, "categories.0: must have 1 to 256"),
    "an unknown wait": ({"text": "a", "wait": "forever"}, 422, "wait: Input should be 'accepted', 'stored' or"),
    "a key that is too long": ({"text": "a", "idempotency_key": "k" * 257}, 422, "idempotency_key: must have 1 to"),
}
FROM_CLIENT = [kind for kind in CREATE if "5 MB" not in kind and "surrogate" not in kind and "Unicode" not in kind]
"""What the SDK's client can send: no lone surrogates, which have tests of their own, as has a body over the limit."""
REST_ONLY: dict[str, tuple[str, str, Any, int, str]] = {
    "user of another type": ("POST", "/api/v1/memories", {"text": "a", "user_id": 1}, 422, "user_id: "),
    "blank user": ("POST", "/api/v1/memories", {"text": "a", "user_id": " "}, 422, "user_id: must have"),
    "user with a line feed": ("POST", "/api/v1/memories", {"text": "a", "user_id": "a\nb"}, 422, "user_id: must have"),
    "a body that is a list": ("POST", "/api/v1/memories", [1], 422, "the body: "),
    "an id that is none": ("GET", "/api/v1/memories/nonsense", None, 422, "'nonsense' is not a valid memory id"),
    "an unknown parameter": ("GET", "/api/v1/memories?nonsense=1", None, 422, "nonsense: is unknown here"),
    "a page of zero": ("GET", "/api/v1/memories?page=0", None, 422, "page: "),
    "a size over 100": ("GET", "/api/v1/memories?size=101", None, 422, "size: "),
    "a column that is none": ("GET", "/api/v1/memories?sort_column=hash", None, 422, "sort_column: "),
    "a date after all dates": ("GET", "/api/v1/memories?to_date=67026031457960816", None, 422, "to_date: "),
    "a date that is none": ("GET", "/api/v1/memories?from_date=monday", None, 422, "from_date: "),
    "an app id that is none": ("GET", "/api/v1/memories?app_id=1", None, 422, "not a valid app id"),
    "NUL in a query parameter": ("GET", "/api/v1/memories?search_query=%00", None, 422, "search_query: "),
    "a search for nothing": ("GET", "/api/v1/search?query=", None, 422, "query: must not be empty"),
    "a search without a query": ("GET", "/api/v1/search", None, 422, "query: is missing"),
    "a score over one": ("GET", "/api/v1/search?query=a&min_score=2", None, 422, "min_score: "),
    "a score that is no number": ("GET", "/api/v1/search?query=a&min_score=nan", None, 422, "min_score: "),
    "an update without text": ("PUT", f"/api/v1/memories/{ID}", {}, 422, "memory_content: is missing"),
    "an update with blank text": ("PUT", f"/api/v1/memories/{ID}", {"memory_content": " "}, 422, "memory_content: "),
    "deleting nothing": ("DELETE", "/api/v1/memories", {"memory_ids": []}, 422, "memory_ids: "),
    "deleting too much": ("DELETE", "/api/v1/memories", {"memory_ids": [ID] * 501}, 422, "memory_ids: "),
    "deleting without a body": ("DELETE", "/api/v1/memories", None, 422, "the body: is missing"),
    "deleting what is no id": ("DELETE", "/api/v1/memories", {"memory_ids": ["x"]}, 422, "not a valid memory id"),
    "an app that is none": ("PUT", "/api/v1/apps/x?is_active=true", None, 422, "not a valid app id"),
    "pausing without saying so": ("PUT", f"/api/v1/apps/{ID}", None, 422, "is_active: is missing"),
    "an operation that is none": ("GET", "/api/v1/operations/x", None, 422, "not a valid operation id"),
    "a route that is none": ("GET", "/api/v1/nonsense", None, 404, "there is no such route"),
    "a method that is none": ("PATCH", "/api/v1/memories", None, 405, "PATCH is not allowed"),
}  # fmt: skip
RAW: dict[str, tuple[bytes, str, int, str]] = {
    "broken JSON": (b'{"text": "a"', "application/json", 400, "invalid_json"),
    "not UTF-8": (b'{"text": "\xff\xfe"}', "application/json", 400, "invalid_json"),
    "UTF-16": ('{"text": "a"}'.encode("utf-16"), "application/json", 400, "invalid_json"),
    "not a number": (b'{"text": "a", "metadata": {"n": NaN}}', "application/json", 400, "invalid_json"),
    "an endless number": (b'{"metadata": {"n": ' + b"9" * 5000 + b"}}", "application/json", 400, "invalid_json"),
    "an infinite number": (b'{"text": "a", "metadata": {"n": 1e999}}', "application/json", 422, "invalid_input"),
    "endless nesting": (b'{"metadata": ' + b"[" * 100_000, "application/json", 400, "invalid_json"),
    "an empty body": (b"", "application/json", 422, "invalid_input"),
    "another content type": (b'{"text": "a"}', "text/plain", 415, "unsupported_media_type"),
    "a form": (b"text=a", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
}  # fmt: skip
TOOLS: dict[str, tuple[str, dict[str, Any], str]] = {
    "an empty query": ("search_memory", {"query": " "}, "query: must not be empty"),
    "a limit of another type": ("search_memory", {"query": "a", "limit": "10"}, "limit: Input should be"),
    "a limit of zero": ("search_memory", {"query": "a", "limit": 0}, "limit: "),
    "an unknown argument": ("list_memories", {"user_id": "ada"}, "user_id: is unknown here"),
    "an argument where there is none": ("delete_all_memories", {"really": True}, "really: is unknown here"),
    "an id that is none": ("update_memory", {"memory_id": "x", "text": "a"}, "'x' is not a valid memory id"),
    "an id of another type": ("get_memory_history", {"memory_id": 5}, "memory_id: Input should be a valid string"),
    "an id for a list": ("delete_memories", {"memory_ids": ID}, "memory_ids: "),
    "no ids": ("delete_memories", {"memory_ids": []}, "memory_ids: "),
}  # fmt: skip


def refused(answer: httpx.Response, status: int, says: str, gateway: RunningGateway) -> dict[str, Any]:
    problem = answer.json()
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert {"type", "title", "status", "detail", "code"} <= set(problem)
    assert says in problem["detail"]
    assert "Traceback" not in answer.text
    assert len(answer.text) < 5000
    assert gateway.service.calls == []
    return problem


@pytest.mark.parametrize("kind", list(CREATE))
async def test_rest_refuses_to_create_from(http: httpx.AsyncClient, gateway: RunningGateway, kind: str) -> None:
    body, status, says = CREATE[kind]
    answer = await http.post(
        "/api/v1/memories/", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    refused(answer, status, says, gateway)


@pytest.mark.parametrize("kind", list(REST_ONLY))
async def test_rest_refuses(http: httpx.AsyncClient, gateway: RunningGateway, kind: str) -> None:
    method, path, body, status, says = REST_ONLY[kind]
    refused(await http.request(method, path, json=body), status, says, gateway)


@pytest.mark.parametrize("kind", list(RAW))
async def test_rest_refuses_a_body_that_is(http: httpx.AsyncClient, gateway: RunningGateway, kind: str) -> None:
    body, content_type, status, code = RAW[kind]
    answer = await http.post("/api/v1/memories/", content=body, headers={"content-type": content_type})
    assert refused(answer, status, "", gateway)["code"] == code


@pytest.mark.parametrize("revision", list(WIRES))
@pytest.mark.parametrize("kind", FROM_CLIENT)
async def test_add_memories_refuses(gateway: RunningGateway, kind: str, revision: str) -> None:
    arguments, status, says = CREATE[kind]
    await _tool_refuses(gateway, revision, "add_memories", arguments, says, status)


@pytest.mark.parametrize("revision", list(WIRES))
@pytest.mark.parametrize("kind", list(TOOLS))
async def test_a_tool_refuses(gateway: RunningGateway, kind: str, revision: str) -> None:
    tool, arguments, says = TOOLS[kind]
    await _tool_refuses(gateway, revision, tool, arguments, says, 422)


async def _tool_refuses(
    gateway: RunningGateway, revision: str, tool: str, arguments: dict[str, Any], says: str, status: int
) -> None:
    async with gateway.mcp(revision) as client:
        result = await client.session.call_tool(tool, arguments)
    assert result.is_error
    assert isinstance(result.content[0], TextContent)
    assert says in result.content[0].text
    assert (result.meta or {})[CODE_META_KEY] == ("payload_too_large" if status == 413 else "invalid_input")
    assert gateway.service.calls == []


HEADERS = {
    "2026-07-28": {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "add_memories"},
    "2025-11-25": {"mcp-protocol-version": "2025-11-25"},
}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


async def post_mcp(http: httpx.AsyncClient, revision: str, body: bytes) -> httpx.Response:
    headers = {"accept": "application/json, text/event-stream", "content-type": "application/json", **HEADERS[revision]}
    return await http.post("/mcp", content=body, headers=headers)


def call(text: Any, revision: str) -> bytes:
    params: dict[str, Any] = {"name": "add_memories", "arguments": {"text": text}}
    if revision == "2026-07-28":
        params["_meta"] = META
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()


@pytest.mark.parametrize("revision", list(WIRES))
async def test_a_raw_call_as_these_tests_make_it_is_served(
    http: httpx.AsyncClient, gateway: RunningGateway, revision: str
) -> None:
    answer = await post_mcp(http, revision, call("Likes tea", revision))
    assert answer.json()["result"]["isError"] is False
    assert len(gateway.service.calls) == 1


@pytest.mark.parametrize("revision", list(WIRES))
async def test_mcp_refuses_what_is_no_unicode(http: httpx.AsyncClient, gateway: RunningGateway, revision: str) -> None:
    answer = await post_mcp(http, revision, call("a\ud800b", revision))
    message = answer.json()
    assert "error" in message or message["result"]["isError"]
    assert "Traceback" not in answer.text
    assert gateway.service.calls == []


@pytest.mark.parametrize("revision", list(WIRES))
@pytest.mark.parametrize("kind", ["broken", "not UTF-8", "a batch", "a number", "empty", "endless nesting"])
async def test_mcp_refuses_a_body_that_is(
    http: httpx.AsyncClient, gateway: RunningGateway, revision: str, kind: str
) -> None:
    good = call("a", revision)
    body = {
        "broken": good[:-3], "not UTF-8": good.replace(b'"a"', b'"\xff"'), "a batch": b"[" + good + b"]",
        "a number": b"5", "empty": b"", "endless nesting": b"[" * 100_000,
    }[kind]  # fmt: skip
    answer = await post_mcp(http, revision, body)
    assert answer.status_code == 400
    assert "error" in answer.json()
    assert "Traceback" not in answer.text
    assert gateway.service.calls == []


@pytest.mark.parametrize("revision", list(WIRES))
async def test_mcp_refuses_5_mb_of_text(http: httpx.AsyncClient, gateway: RunningGateway, revision: str) -> None:
    answer = await post_mcp(http, revision, call(HUGE, revision))
    assert refused(answer, 413, "over the limit", gateway)["code"] == "payload_too_large"


@pytest.mark.parametrize("revision", list(WIRES))
async def test_an_unknown_tool_is_a_protocol_error_that_names_the_known_ones(
    http: httpx.AsyncClient, gateway: RunningGateway, revision: str
) -> None:
    body = call("a", revision).replace(b'"add_memories"', b'"nonsense"')
    headers = {"mcp-name": "nonsense"} if revision == "2026-07-28" else {}
    answer = await http.post(
        "/mcp", content=body,
        headers={
            "accept": "application/json, text/event-stream", "content-type": "application/json",
            **HEADERS[revision], **headers,
        },
    )  # fmt: skip
    error = answer.json()["error"]
    assert (error["code"], "search_memory" in error["message"]) == (-32602, True)
    assert gateway.service.calls == []
