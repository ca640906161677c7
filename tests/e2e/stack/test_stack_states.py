"""Pause, archive, delete and restore, one by one and by selection; categories: over REST, seen by MCP clients."""

import uuid
from typing import Any

import httpx
import pytest
from support.stack import Stack, call

MEMORIES = "/api/v1/memories"
TEXTS = {
    "tea": "I drink green tea every afternoon",
    "dog": "My dog Biscuit is afraid of thunder",
    "train": "The night train to Vienna leaves at ten",
}


def user(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


async def remember(http: httpx.AsyncClient, who: str, text: str, app: str = "notes", **more: Any) -> str:
    body = {"user_id": who, "text": text, "app": app, **more}
    return (await http.post(MEMORIES, json=body)).raise_for_status().json()["id"]


async def three(http: httpx.AsyncClient, who: str, **more: Any) -> dict[str, str]:
    return {name: await remember(http, who, text, **more) for name, text in TEXTS.items()}


async def seen_by_apps(stack: Stack, who: str, query: str) -> tuple[set[str], set[str]]:
    """What an MCP client finds, and lists."""
    async with stack.mcp(path=f"/mcp/reader/http/{who}") as client:
        found = await call(client, "search_memory", query=query)
        listed = await call(client, "list_memories")
    return {item["id"] for item in found["results"]}, {item["id"] for item in listed["results"]}


async def states(http: httpx.AsyncClient, who: str) -> dict[str, str]:
    """State by id of all that its owner lists."""
    page = (await http.get(MEMORIES, params={"user_id": who, "size": 100})).raise_for_status().json()
    assert page["total"] == len(page["items"])
    return {item["id"]: item["state"] for item in page["items"]}


async def act(http: httpx.AsyncClient, who: str, **body: Any) -> str:
    answer = await http.post(f"{MEMORIES}/actions/pause", json={"user_id": who, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()["message"]


async def category_id(http: httpx.AsyncClient, who: str, name: str) -> str:
    listed = (await http.get(f"{MEMORIES}/categories", params={"user_id": who})).raise_for_status().json()
    assert listed["total"] == len(listed["categories"])
    return next(c["id"] for c in listed["categories"] if c["name"] == name)


@pytest.mark.guarantee("G4", "G8")
async def test_a_paused_memory_is_hidden_from_apps_at_once_and_back_when_it_is_resumed(sharded: Stack) -> None:
    who = user("pause")
    async with sharded.http() as http:
        ids = await three(http, who)
        for _ in range(3):
            assert await act(http, who, memory_ids=[ids["dog"]]) == "Successfully paused 1 memories"
            found, listed = await seen_by_apps(sharded, who, "what frightens my puppy?")
            assert ids["dog"] not in found and listed == {ids["tea"], ids["train"]}
            assert (await states(http, who))[ids["dog"]] == "paused"
            detail = (await http.get(f"{MEMORIES}/{ids['dog']}", params={"user_id": who})).json()
            assert (detail["text"], detail["state"]) == (TEXTS["dog"], "paused")
            assert await act(http, who, memory_ids=[ids["dog"]], state="active") == "Successfully resumed 1 memories"
            found, listed = await seen_by_apps(sharded, who, "what frightens my puppy?")
            assert ids["dog"] in found and listed == set(ids.values())
        again = await act(http, who, memory_ids=[ids["dog"]], state="active")
        assert again == "Successfully resumed 0 memories", "it was active already"


async def test_an_archived_memory_is_put_away_until_it_is_activated(stack: Stack) -> None:
    who = user("archive")
    async with stack.http() as http:
        ids = await three(http, who)
        chosen = [ids["dog"], ids["tea"]]
        answer = await http.post(f"{MEMORIES}/actions/archive", params={"user_id": who}, json=chosen)
        assert answer.json() == {"message": "Successfully archived 2 memories"}
        found, listed = await seen_by_apps(stack, who, TEXTS["dog"])
        assert found == listed == {ids["train"]}
        shown = (await http.post(f"{MEMORIES}/filter", json={"user_id": who})).json()
        assert [item["id"] for item in shown["items"]] == [ids["train"]]
        shown = (await http.post(f"{MEMORIES}/filter", json={"user_id": who, "show_archived": True})).json()
        assert shown["total"] == 3
        assert await act(http, who, memory_ids=chosen, state="active") == "Successfully resumed 2 memories"
        found, listed = await seen_by_apps(stack, who, TEXTS["dog"])
        assert ids["dog"] in found and listed == set(ids.values())
        history = (await http.get(f"{MEMORIES}/{ids['dog']}/history", params={"user_id": who})).json()
        changes = [(entry["event"], entry["state"]) for entry in history["entries"]]
        assert [c for c in changes if c[0] != "MemoryCategorized"] == [
            ("MemoryAdded", "active"),
            ("MemoryArchived", "archived"),
            ("MemoryUnarchived", "active"),
        ]


async def test_a_deleted_memory_is_restored_as_it_was_and_found_by_meaning_with_its_categories(stack: Stack) -> None:
    who = user("restore")
    async with stack.http() as http:
        ids = await three(http, who)
        filed = {"user_id": who, "categories": ["pets"]}
        answer = await http.put(f"{MEMORIES}/{ids['dog']}/categories", json=filed)
        assert (answer.status_code, answer.json()["categories"]) == (200, ["pets"])
        revised = {"user_id": who, "memory_content": "My dog Biscuit is not afraid of thunder any more"}
        await http.put(f"{MEMORIES}/{ids['dog']}", json=revised)
        gone = await http.request("DELETE", MEMORIES, json={"user_id": who, "memory_ids": [ids["dog"]]})
        assert gone.json() == {"message": "Successfully deleted 1 memories"}
        assert ids["dog"] not in await states(http, who)
        assert ids["dog"] not in (await seen_by_apps(stack, who, "is my puppy still frightened?"))[0]
        assert (await http.get(f"{MEMORIES}/{ids['dog']}", params={"user_id": who})).status_code == 404

        back = await http.post(f"{MEMORIES}/actions/restore", params={"user_id": who}, json=[ids["dog"]])
        assert back.json() == {"message": "Successfully restored 1 memories"}
        async with stack.mcp(path=f"/mcp/reader/http/{who}") as client:
            found = await call(client, "search_memory", query="is my puppy still frightened?", categories=["pets"])
        assert [(item["id"], item["memory"], item["categories"]) for item in found["results"]] == [
            (ids["dog"], "My dog Biscuit is not afraid of thunder any more", ["pets"])
        ]
        again = await http.post(f"{MEMORIES}/actions/restore", params={"user_id": who}, json=[ids["dog"]])
        assert again.json() == {"message": "Successfully restored 0 memories"}


async def test_memories_are_paused_by_app_by_category_and_all_at_once(sharded: Stack) -> None:
    who = user("bulk")
    async with sharded.http() as http:
        await three(http, who, categories=["home"])
        cursor = await remember(http, who, "The build server is called Hephaestus", "cursor", categories=["work"])
        put_away = await remember(http, who, "Old office key code 4711", "cursor", categories=["work", "home"])
        await http.post(f"{MEMORIES}/actions/archive", params={"user_id": who}, json=[put_away])

        apps = (await http.get("/api/v1/apps", params={"user_id": who})).json()["apps"]
        app_id = next(app["id"] for app in apps if app["name"] == "cursor")
        assert await act(http, who, app_id=app_id, all_for_app=True) == "Successfully paused 1 memories"
        assert (await seen_by_apps(sharded, who, "Hephaestus"))[1].isdisjoint({cursor, put_away})
        assert await act(http, who, app_id=app_id, state="active") == "Successfully resumed 1 memories"

        home = await category_id(http, who, "home")
        assert await act(http, who, category_ids=[home]) == "Successfully paused 3 memories"
        assert (await seen_by_apps(sharded, who, "anything"))[1] == {cursor}
        filtered = {"user_id": who, "category_ids": [home], "show_archived": True, "sort_column": "memory"}
        page = (await http.post(f"{MEMORIES}/filter", json=filtered)).json()
        assert page["total"] == 4 and all("home" in item["categories"] for item in page["items"])
        contents = [item["content"].lower() for item in page["items"]]
        assert contents == sorted(contents, reverse=True)
        by_app = (await http.post(f"{MEMORIES}/filter", json={"user_id": who, "app_ids": [app_id]})).json()
        assert [item["id"] for item in by_app["items"]] == [cursor]

        assert await act(http, who, global_pause=True) == "Successfully paused 1 memories"
        assert await seen_by_apps(sharded, who, "anything") == (set(), set())
        assert sorted((await states(http, who)).values()) == ["archived", *["paused"] * 4]
        assert await act(http, who, global_pause=True, state="active") == "Successfully resumed 4 memories"
        assert (await states(http, who))[put_away] == "archived", "what is put away stays there until it is named"


@pytest.mark.guarantee("G9")
async def test_an_empty_selection_is_400_and_another_users_memories_are_untouched(stack: Stack) -> None:
    ann, bob = user("ann"), user("bob")
    async with stack.http() as http:
        hers, his = await three(http, ann, categories=["home"]), await three(http, bob)
        empty = await http.post(f"{MEMORIES}/actions/pause", json={"user_id": bob, "memory_ids": []})
        assert (empty.status_code, empty.json()["code"]) == (400, "bad_request")

        mixed = [his["tea"], hers["tea"]]
        params = {"user_id": bob}
        for answer in (
            await http.post(f"{MEMORIES}/actions/pause", json={"user_id": bob, "memory_ids": mixed}),
            await http.post(f"{MEMORIES}/actions/archive", params=params, json=mixed),
            await http.post(f"{MEMORIES}/actions/restore", params=params, json=mixed),
        ):
            assert answer.status_code == 404
            assert hers["tea"] in answer.json()["detail"] and his["tea"] not in answer.json()["detail"]
        filing = {"user_id": bob, "categories": ["stolen"]}
        assert (await http.put(f"{MEMORIES}/{hers['tea']}/categories", json=filing)).status_code == 404
        apps = (await http.get("/api/v1/apps", params={"user_id": ann})).json()["apps"]
        others_app = {"user_id": bob, "app_id": apps[0]["id"]}
        assert (await http.post(f"{MEMORIES}/actions/pause", json=others_app)).status_code == 404
        her_home = await category_id(http, ann, "home")
        assert await act(http, bob, category_ids=[her_home]) == "Successfully paused 0 memories"
        assert await act(http, bob, global_pause=True) == "Successfully paused 3 memories"
        assert set((await states(http, ann)).values()) == {"active"}


async def test_categories_are_those_of_memlog_ones_own_and_what_memories_have(stack: Stack) -> None:
    who = user("categories")
    async with stack.http() as http:
        at = f"{MEMORIES}/categories"
        seeds = (await http.get(at, params={"user_id": who})).json()
        assert seeds["total"] == 20 and all(c["description"] and not c["own"] for c in seeds["categories"])
        made = (await http.post(at, json={"user_id": who, "name": "Gliding", "description": "Flying"})).json()
        assert (made["name"], made["own"], made["memories"]) == ("Gliding", True, 0)
        anew = (await http.post(at, json={"user_id": who, "name": "gliding", "description": "No engine"})).json()
        assert (anew["id"], anew["name"], anew["description"]) == (made["id"], "gliding", "No engine")
        memory_id = await remember(http, who, "My first solo flight was in May", categories=["gliding", "firsts"])
        listed = (await http.get(at, params={"user_id": who})).json()
        counted = {c["name"]: c["memories"] for c in listed["categories"]}
        assert (listed["total"], counted["gliding"], counted["firsts"]) == (22, 1, 1)

        seed = next(c for c in listed["categories"] if c["name"] == "travel")
        kept = await http.delete(f"{at}/{seed['id']}", params={"user_id": who})
        assert (kept.status_code, kept.json()["code"]) == (409, "conflict")
        others = await http.delete(f"{at}/{made['id']}", params={"user_id": user("stranger")})
        assert others.status_code == 404
        removed = await http.delete(f"{at}/{made['id']}", params={"user_id": who})
        assert removed.json() == {"message": "Successfully removed the category 'gliding'"}
        page = (await http.get(MEMORIES, params={"user_id": who, "categories": "gliding"})).json()
        assert [item["id"] for item in page["items"]] == [memory_id], "memories keep it"
        still = {c["name"]: c["own"] for c in (await http.get(at, params={"user_id": who})).json()["categories"]}
        assert still["gliding"] is False
