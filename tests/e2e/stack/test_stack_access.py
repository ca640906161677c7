"""Access fails closed: a paused app writes nothing and reads nothing, on every transport, once the pause returned."""

import uuid

import httpx
import pytest
from support.stack import Stack, call, eventually

REVISIONS = ["2026-07-28", "2025-11-25"]


async def _app_id(http: httpx.AsyncClient, who: str, name: str) -> str:
    apps = (await http.get("/api/v1/apps/", params={"user_id": who, "name": name})).json()["apps"]
    return apps[0]["id"]


async def _set_active(http: httpx.AsyncClient, who: str, app_id: str, active: bool) -> None:
    params = {"user_id": who, "is_active": active}
    answer = await http.put(f"/api/v1/apps/{app_id}", params=params)
    assert answer.status_code == 200, answer.text
    assert answer.json()["is_active"] is active


@pytest.mark.guarantee("G8")
@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_paused_app_gets_an_error_on_write_and_nothing_on_read_as_soon_as_the_pause_has_returned(
    sharded: Stack, revision: str
) -> None:
    who = f"pause-{uuid.uuid4().hex[:8]}"
    async with sharded.mcp(revision, f"/mcp/cursor/http/{who}") as client, sharded.http() as http:
        memory_id = (await call(client, "add_memories", text="The safe opens with 4711"))["results"][0]["id"]
        app_id = await _app_id(http, who, "cursor")
        for _ in range(5):
            await _set_active(http, who, app_id, False)
            for tool, arguments in (
                ("add_memories", {"text": f"another {uuid.uuid4()}"}),
                ("update_memory", {"memory_id": memory_id, "text": "changed"}),
                ("delete_memories", {"memory_ids": [memory_id]}),
                ("delete_all_memories", {}),
            ):
                refused = await client.call_tool(tool, arguments)
                assert refused.is_error, tool
                assert "paused" in str(refused.content[0])
            body = {"user_id": who, "text": "by REST", "app": "cursor"}
            posted = await http.post("/api/v1/memories/", json=body)
            assert (posted.status_code, posted.json()["code"]) == (403, "app_paused")

            assert (await call(client, "search_memory", query="how does the safe open"))["results"] == []
            assert (await call(client, "list_memories"))["results"] == []
            assert (await client.call_tool("get_memory_history", {"memory_id": memory_id})).is_error
            params = {"user_id": who, "query": "safe", "app": "cursor"}
            assert (await http.get("/api/v1/search", params=params)).json()["results"] == []

            await _set_active(http, who, app_id, True)
            found = (await call(client, "search_memory", query="how does the safe open"))["results"]
            assert [item["memory"] for item in found] == ["The safe opens with 4711"]


@pytest.mark.guarantee("G8")
async def test_one_user_never_sees_or_changes_what_another_one_stored(sharded: Stack) -> None:
    ana, ben = f"ana-{uuid.uuid4().hex[:8]}", f"ben-{uuid.uuid4().hex[:8]}"
    async with (
        sharded.mcp(path=f"/mcp/cursor/http/{ana}") as anas,
        sharded.mcp(path=f"/mcp/cursor/http/{ben}") as bens,
        sharded.http() as http,
    ):
        secret = (await call(anas, "add_memories", text="My PIN is 8020"))["results"][0]["id"]
        await call(bens, "add_memories", text="My bicycle is blue")
        assert "My PIN is 8020" not in {
            found["memory"] for found in (await call(bens, "search_memory", query="My PIN is 8020"))["results"]
        }
        assert (await bens.call_tool("get_memory_history", {"memory_id": secret})).is_error
        assert (await bens.call_tool("update_memory", {"memory_id": secret, "text": "mine now"})).is_error
        assert (await call(bens, "delete_memories", memory_ids=[secret]))["not_accessible"] == [secret]
        for user in (ben, "nobody"):
            answer = await http.get(f"/api/v1/memories/{secret}", params={"user_id": user})
            unknown = await http.get(f"/api/v1/memories/{uuid.uuid4()}", params={"user_id": user})
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
            assert answer.json().keys() == unknown.json().keys()
        assert (await http.get(f"/api/v1/memories/{secret}", params={"user_id": ana})).json()[
            "text"
        ] == "My PIN is 8020"


async def test_the_same_text_of_two_users_is_two_memories_with_unrelated_ids(stack: Stack) -> None:
    users = [f"same-{uuid.uuid4().hex[:8]}" for _ in range(2)]
    ids: list[str] = []
    async with stack.http() as http:
        for user in users:
            body = {"user_id": user, "text": "I like tea"}
            ids.append((await http.post("/api/v1/memories/", json=body)).json()["id"])
    assert ids[0] != ids[1]


@pytest.mark.guarantee("G2", "G7", "G8")
async def test_a_repeated_add_is_told_what_it_said_itself_and_an_update_counts_as_a_read(stack: Stack) -> None:
    who = f"echo-{uuid.uuid4().hex[:8]}"
    body = {"user_id": who, "text": "The gate code is 1234", "app": "notes", "idempotency_key": "gate"}
    async with stack.mcp(path=f"/mcp/cursor/http/{who}") as cursor, stack.http() as http:
        first = (await http.post("/api/v1/memories/", json=body)).json()
        revised = await call(cursor, "update_memory", memory_id=first["id"], text="The gate code is 9876")
        assert revised["results"][0]["previous_memory"] == "The gate code is 1234"

        async def counted() -> bool:
            apps = (await http.get("/api/v1/apps/", params={"user_id": who, "name": "cursor"})).json()["apps"]
            return apps[0]["total_memories_accessed"] == 1

        assert await eventually(counted), "the answer told what the memory said before"
        await _set_active(http, who, await _app_id(http, who, "notes"), False)
        again = (await http.post("/api/v1/memories/", json=body)).json()
        assert again["id"] == first["id"]
        assert "9876" not in str(again), "what another app wrote is not this one's to learn"
