"""Bad input is refused at the edge with a clear 4xx or tool error; nothing is stored, nothing leaks."""

import uuid
from typing import Any

import pytest
from support.stack import Stack

_JSON = {"content-type": "application/json"}


def _bodies() -> dict[str, bytes]:
    long = "x" * (5 * 1024 * 1024)
    return {
        "empty text": b'{"user_id": "USER", "text": ""}',
        "white space": b'{"user_id": "USER", "text": " \\n "}',
        "5 MB of text": f'{{"user_id": "USER", "text": "{long}"}}'.encode(),
        "wrong type": b'{"user_id": "USER", "text": 5}',
        "unknown field": b'{"user_id": "USER", "text": "hello", "colour": "red"}',
        "broken JSON": b'{"user_id": "USER", "text": ',
        "not UTF-8": b'{"user_id": "USER", "text": "caf\xe9"}',
        "lone surrogate": b'{"user_id": "USER", "text": "a \\ud800 b"}',
        "NUL": b'{"user_id": "USER", "text": "a \\u0000 b"}',
        "text missing": b'{"user_id": "USER"}',
        "an array": b'["USER"]',
    }


@pytest.mark.parametrize("kind", _bodies())
async def test_a_bad_body_is_refused_with_a_problem_and_stores_nothing(stack: Stack, kind: str) -> None:
    who = f"bad-{uuid.uuid4().hex[:8]}"
    body = _bodies()[kind].replace(b"USER", who.encode())
    async with stack.http() as http:
        answer = await http.post("/api/v1/memories/", content=body, headers=_JSON)
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"]
        assert "Traceback" not in answer.text
        page = (await http.get("/api/v1/memories/", params={"user_id": who})).json()
        assert page["total"] == 0


_CALLS: list[tuple[str, dict[str, Any]]] = [
    ("add_memories", {"text": ""}),
    ("add_memories", {"text": "x" * 300_000}),
    ("add_memories", {"text": 7}),
    ("add_memories", {"text": "hello", "colour": "red"}),
    ("add_memories", {}),
    ("search_memory", {"query": ""}),
    ("search_memory", {"query": "hello", "limit": 0}),
    ("update_memory", {"memory_id": str(uuid.UUID(int=7)), "text": "hello"}),
    ("update_memory", {"memory_id": "seven", "text": "hello"}),
    ("delete_memories", {"memory_ids": "all"}),
    ("list_memories", {"cursor": "abc"}),
    ("get_memory_history", {"memory_id": str(uuid.UUID(int=7))}),
]


@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
@pytest.mark.parametrize(("tool", "arguments"), _CALLS, ids=[f"{t} {list(a)}{n}" for n, (t, a) in enumerate(_CALLS)])
async def test_a_bad_call_is_a_tool_error_in_words_and_stores_nothing(
    stack: Stack, revision: str, tool: str, arguments: dict[str, Any]
) -> None:
    who = f"bad-{uuid.uuid4().hex[:8]}"
    async with stack.mcp(revision, f"/mcp/cursor/http/{who}") as client:
        refused = await client.call_tool(tool, arguments)
        assert refused.is_error
        said = str(refused.content[0])
        assert "Traceback" not in said and len(said) > 10
        listed = await client.call_tool("list_memories", {})
        assert listed.structured_content is not None and listed.structured_content["results"] == []


async def test_unknown_ids_and_routes_are_404_problems(stack: Stack) -> None:
    async with stack.http() as http:
        for path in (f"/api/v1/memories/{uuid.uuid4()}", f"/api/v1/operations/{uuid.uuid4()}", "/api/v1/nothing"):
            answer = await http.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("header", [{"host": "evil.example"}, {"origin": "https://evil.example"}])
@pytest.mark.parametrize("path", ["/api/v1/memories/", "/mcp", "/livez", "/docs", "/mcp/cursor/http/ana"])
async def test_a_foreign_host_or_origin_is_refused_on_every_route(
    stack: Stack, path: str, header: dict[str, str]
) -> None:
    async with stack.http() as http:
        for method in ("GET", "POST"):
            answer = await http.request(method, path, headers=header)
            assert (answer.status_code, answer.json()["code"]) == (403, "foreign_request")


@pytest.mark.parametrize("run", ["ffffffff-ffff-7fff-bfff-ffffffffffff", str(uuid.UUID(int=4, version=4))])
async def test_a_run_of_no_time_that_there_can_be_is_refused(stack: Stack, run: str) -> None:
    async with stack.http() as http:
        answer = await http.get(f"/api/v1/sources/reprocess/{run}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
