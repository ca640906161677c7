"""The main job, end to end: a client says "remember that…" and finds it again by meaning."""

import asyncio
import uuid
from typing import Any

import pytest
from support.stack import Stack, call, eventually

REVISIONS = ["2026-07-28", "2025-11-25"]


def user(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def changes(history: dict[str, Any]) -> list[str]:
    """What happened to a memory, but for its categories: those come when they come."""
    return [entry["event"] for entry in history["entries"] if entry["event"] != "MemoryCategorized"]


async def rest_texts(stack: Stack, user_id: str) -> list[str]:
    async with stack.http() as http:
        page = (await http.get("/api/v1/memories/", params={"user_id": user_id})).raise_for_status().json()
    assert page["total"] == len(page["items"])
    return sorted(item["content"] for item in page["items"])


@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_client_adds_finds_by_paraphrase_lists_updates_and_deletes_and_rest_sees_the_same(
    sharded: Stack, revision: str
) -> None:
    who = user("ana")
    async with sharded.mcp(revision, f"/mcp/cursor/http/{who}") as client:
        added = await call(client, "add_memories", text="My daughter is allergic to peanuts", metadata={"from": "chat"})
        await call(client, "add_memories", text="The quarterly report is due on the first of March")
        await call(client, "add_memories", text="I cycle to work when it does not rain")
        assert added["state"] == "searchable"
        assert [item["event"] for item in added["results"]] == ["ADD"]
        memory_id = added["results"][0]["id"]

        found = await call(client, "search_memory", query="which foods must my child avoid?")
        assert found["results"][0]["id"] == memory_id
        assert found["results"][0]["source_app"] == "cursor"
        assert 0 < found["results"][0]["score"] <= 1
        assert await rest_texts(sharded, who) == [
            "I cycle to work when it does not rain",
            "My daughter is allergic to peanuts",
            "The quarterly report is due on the first of March",
        ]

        revised = await call(client, "update_memory", memory_id=memory_id, text="My daughter outgrew her allergy")
        assert revised["results"][0]["event"] == "UPDATE"
        assert revised["results"][0]["previous_memory"] == "My daughter is allergic to peanuts"
        assert "My daughter outgrew her allergy" in await rest_texts(sharded, who)
        found = await call(client, "search_memory", query="is the child still allergic?")
        assert found["results"][0]["memory"] == "My daughter outgrew her allergy"

        listed = await call(client, "list_memories")
        assert len(listed["results"]) == 3

        assert (await call(client, "delete_memories", memory_ids=[memory_id]))["deleted"] == 1
        found = await call(client, "search_memory", query="is the child still allergic?")
        assert memory_id not in {item["id"] for item in found["results"]}
        assert len(await rest_texts(sharded, who)) == 2

        gone = await client.call_tool("get_memory_history", {"memory_id": memory_id})
        assert gone.is_error, "what is deleted is its owner's to see, not an app's"
        async with sharded.http() as http:
            path = f"/api/v1/memories/{memory_id}/history"
            history = (await http.get(path, params={"user_id": who})).raise_for_status().json()
        assert changes(history) == ["MemoryAdded", "MemoryRevised", "MemoryDeleted"]

        assert (await call(client, "delete_all_memories"))["deleted"] == 2
        assert await rest_texts(sharded, who) == []


async def test_rest_creates_lists_gets_searches_updates_and_deletes(stack: Stack) -> None:
    who = user("rest")
    async with stack.http() as http:
        body = {"user_id": who, "text": "I take my coffee black", "metadata": {"k": 1}, "app": "notes"}
        created = (await http.post("/api/v1/memories/", json=body)).raise_for_status().json()
        assert created["content"] == "I take my coffee black"
        assert (created["app_name"], created["state"], created["metadata_"]) == ("notes", "active", {"k": 1})

        again = (await http.post("/api/v1/memories", json=body)).raise_for_status().json()
        assert again["id"] == created["id"], "an identical text is the same memory"

        found = await http.get("/api/v1/search", params={"user_id": who, "query": "how do I drink coffee"})
        assert found.json()["results"][0]["id"] == created["id"]

        path = f"/api/v1/memories/{created['id']}"
        detail = (await http.get(path, params={"user_id": who})).json()
        assert detail["text"] == "I take my coffee black"
        updated = await http.put(path, json={"user_id": who, "memory_content": "I take my coffee with milk"})
        assert updated.json()["content"] == "I take my coffee with milk"

        page = await http.get("/api/v1/memories/", params={"user_id": who, "search_query": "MILK"})
        assert page.json()["total"] == 1
        page = await http.get("/api/v1/memories/", params={"user_id": who, "search_query": "100%"})
        assert page.json() == {"items": [], "total": 0, "page": 1, "size": 50, "pages": 0}

        apps = (await http.get("/api/v1/apps/", params={"user_id": who})).json()
        assert [(a["name"], a["total_memories_created"]) for a in apps["apps"]] == [("notes", 1)]
        stats = (await http.get("/api/v1/stats", params={"user_id": who})).json()
        assert (stats["total_memories"], stats["total_apps"]) == (1, 1)

        missing = str(uuid.uuid4())
        both = {"user_id": who, "memory_ids": [created["id"], missing]}
        refused = await http.request("DELETE", "/api/v1/memories/", json=both)
        assert refused.status_code == 404
        assert missing in refused.json()["detail"]
        assert (await http.get(path, params={"user_id": who})).status_code == 200, "all or nothing"
        deleted = await http.request(
            "DELETE", "/api/v1/memories/", json={"user_id": who, "memory_ids": [created["id"]]}
        )
        assert deleted.json() == {"message": "Successfully deleted 1 memories"}
        assert (await http.get(path, params={"user_id": who})).status_code == 404


async def test_an_operation_can_be_asked_for_after_it_was_only_accepted(stack: Stack) -> None:
    who = user("op")
    async with stack.http() as http:
        body = {"user_id": who, "text": "The spare key is under the blue pot", "wait": "accepted"}
        answer = await http.post("/api/v1/memories/", json=body)
        assert answer.status_code == 202
        location = answer.headers["Location"]

        async def settled() -> dict[str, Any] | None:
            found = (await http.get(location, params={"user_id": who})).json()
            return None if found["status"] == "accepted" else found

        operation = await eventually(settled)
        assert operation["status"] == "done"
        assert operation["results"][0]["memory"] == "The spare key is under the blue pot"
        other = await http.get(location, params={"user_id": user("stranger")})
        assert other.status_code == 404, "another user's operation looks like an unknown one"


@pytest.mark.guarantee("G4")
async def test_two_hundred_writes_are_each_found_by_another_client_at_once(stack: Stack) -> None:
    who = user("ryw")
    topics = ["harbour", "violin", "glacier", "saffron", "lantern", "orchard", "compass", "marble", "thunder", "velvet"]

    async def pairs(number: int) -> list[str]:
        lost: list[str] = []
        writer_path, reader_path = f"/mcp/writer{number}/http/{who}", f"/mcp/reader{number}/http/{who}"
        async with stack.mcp(path=writer_path) as writer, stack.mcp(path=reader_path) as reader:
            for turn in range(25):
                text = f"Code word {uuid.uuid4().hex[:10]} belongs to the {topics[turn % 10]} of house {number}"
                added = await call(writer, "add_memories", text=text)
                assert added["state"] == "searchable"
                found = await call(reader, "search_memory", query=text, limit=3)
                if text not in {item["memory"] for item in found["results"]}:
                    lost.append(text)
        return lost

    lost = [text for texts in await asyncio.gather(*(pairs(number) for number in range(8))) for text in texts]
    assert lost == []


@pytest.mark.guarantee("G3")
async def test_a_thousand_concurrent_revisions_end_in_what_the_log_says_in_every_projection(sharded: Stack) -> None:
    who = user("rev")
    async with sharded.http() as http:
        created = (await http.post("/api/v1/memories/", json={"user_id": who, "text": "revision 0"})).json()
        memory_id = created["id"]

        async def revise(start: int) -> None:
            for number in range(start, 1001, 50):
                body = {"user_id": who, "memory_content": f"revision {number} about topic {number % 7}"}
                answer = await http.put(f"/api/v1/memories/{memory_id}", json=body)
                assert answer.status_code in (200, 202), answer.text

        await asyncio.gather(*(revise(start) for start in range(1, 51)))
        # A last one that waits: all of the others are before it in the log.
        body = {"user_id": who, "memory_content": "the last revision of all"}
        last = (await http.put(f"/api/v1/memories/{memory_id}", json=body)).json()
        assert last["content"] == "the last revision of all"
        detail = (await http.get(f"/api/v1/memories/{memory_id}", params={"user_id": who})).json()
        assert (detail["text"], detail["version"]) == ("the last revision of all", 1002)
        found = (await http.get("/api/v1/search", params={"user_id": who, "query": "the last revision of all"})).json()
        assert [item["memory"] for item in found["results"]] == ["the last revision of all"], "one memory, one version"
    async with sharded.mcp(path=f"/mcp/openmemory/http/{who}") as client:
        history = await call(client, "get_memory_history", memory_id=memory_id)
    versions = [entry["version"] for entry in history["entries"] if entry["event"] != "MemoryCategorized"]
    positions = [int(entry["position"].split("-")[1]) for entry in history["entries"]]
    assert versions == list(range(1, 1003))
    assert positions == sorted(positions)


@pytest.mark.guarantee("G7")
async def test_every_read_is_in_the_access_log_with_what_it_returned(stack: Stack) -> None:
    who = user("audit")
    async with stack.mcp(path=f"/mcp/reader/http/{who}") as client:
        added = await call(client, "add_memories", text="The boiler was serviced in October")
        assert added["results"][0]["event"] == "ADD"
        for _ in range(3):
            await call(client, "search_memory", query="boiler")
        await call(client, "list_memories")

    async def counted() -> bool:
        async with stack.http() as http:
            apps: dict[str, Any] = (await http.get("/api/v1/apps/", params={"user_id": who})).json()
        return apps["apps"][0]["total_memories_accessed"] == 1  # distinct memories returned to the app

    assert await eventually(counted)


async def test_what_is_known_already_is_told_to_whoever_adds_it_again_and_counts_as_read_where_it_is_shown(
    stack: Stack,
) -> None:
    who = user("again")
    async with stack.mcp(path=f"/mcp/cursor/http/{who}") as client, stack.http() as http:
        given = {"metadata": {"from": "chat"}, "categories": ["food"]}
        first = (await call(client, "add_memories", text="Likes tea", **given))["results"][0]
        again = await call(client, "add_memories", text="Likes  tea\n")
        assert (again["results"][0]["event"], again["results"][0]["id"]) == ("NONE", first["id"])
        assert again["state"] == "searchable"

        body = {"user_id": who, "text": "Likes tea", "app": "cli", "metadata": {"lost": True}}
        known = (await http.post("/api/v1/memories", json=body)).json()
        assert (known["event"], known["id"], known["app_name"]) == ("NONE", first["id"], "cursor")
        assert (known["metadata_"], known["categories"]) == ({"from": "chat"}, ["food"]), "as it is, not as it was said"
        new = (await http.post("/api/v1/memories", json={**body, "text": "Likes coffee"})).json()
        assert (new["event"], new["metadata_"]) == ("ADD", {"lost": True})

        async def accessed() -> dict[str, int]:
            apps = (await http.get("/api/v1/apps", params={"user_id": who})).json()["apps"]
            return {app["name"]: app["total_memories_accessed"] for app in apps}

        async def noted() -> bool:
            return await accessed() == {"cursor": 0, "cli": 1}

        assert await eventually(noted)
