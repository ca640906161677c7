"""Categories as a user meets them: they come by themselves, can be searched by, described, and corrected."""

import uuid
from typing import Any

from mcp import Client
from support.stack import Stack, call, eventually

TEXTS = {
    "I am allergic to penicillin": "health",
    "We are flying to Lisbon on the 14th of May": "travel",
    "I ordered a standing desk, it should arrive on Tuesday": "shopping",
    "I work as a nurse at the university hospital": "work",
}


def user(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


async def add(client: Client, text: str, **given: Any) -> str:
    return (await call(client, "add_memories", text=text, **given))["results"][0]["id"]


async def listed(client: Client) -> dict[str, list[str]]:
    """Categories by text."""
    found = await call(client, "list_memories")
    return {item["memory"]: item["categories"] for item in found["results"]}


async def categories_of(client: Client, text: str, other_than: list[str] | None = None) -> list[str]:
    """The categories of this memory, once it has some (and others than these)."""

    async def there() -> list[str] | None:
        found = (await listed(client)).get(text)
        return found if found and found != other_than else None

    return await eventually(there)


async def searched(client: Client, category: str) -> set[str]:
    """What a search within a category finds, whatever the words."""
    found = await call(client, "search_memory", query="what do you know about me", categories=[category], limit=50)
    return {item["memory"] for item in found["results"]}


async def test_memories_are_categorized_by_themselves_and_can_be_searched_by_category(sharded: Stack) -> None:
    who = user("auto")
    async with sharded.mcp(path=f"/mcp/cursor/http/{who}") as client:
        for text in TEXTS:
            await add(client, text)
        for text, category in TEXTS.items():
            assert category in await categories_of(client, text)
        shown = await listed(client)
        for category in TEXTS.values():
            fitting = {text for text, categories in shown.items() if category in categories}

            async def found(category: str = category, fitting: set[str] = fitting) -> bool:
                return await searched(client, category) == fitting

            assert await eventually(found)
        assert await searched(client, "news") == set()
    async with sharded.http() as http:
        params = {"user_id": who, "categories": "travel"}
        page = (await http.get("/api/v1/memories/", params=params)).raise_for_status().json()
    assert [item["content"] for item in page["items"]] == ["We are flying to Lisbon on the 14th of May"]


async def test_a_revised_memory_is_categorized_anew(stack: Stack) -> None:
    async with stack.mcp(path=f"/mcp/cursor/http/{user('revised')}") as client:
        memory_id = await add(client, "I am allergic to penicillin")
        before = await categories_of(client, "I am allergic to penicillin")
        assert before == ["health"]
        text = "We are flying to Lisbon on the 14th of May"
        await call(client, "update_memory", memory_id=memory_id, text=text)
        assert await categories_of(client, text, other_than=before) == ["travel"]

        async def moved() -> bool:
            return await searched(client, "travel") == {text} and await searched(client, "health") == set()

        assert await eventually(moved)
        entries = (await call(client, "get_memory_history", memory_id=memory_id))["entries"]
    assert [(e["event"], e["categories"], e["app_name"], e["actor"]) for e in entries] == [
        ("MemoryAdded", [], "cursor", "mcp"),
        ("MemoryCategorized", ["health"], "memlog", "service"),
        ("MemoryRevised", [], "cursor", "mcp"),
        ("MemoryCategorized", ["travel"], "memlog", "service"),
    ]


async def test_what_a_caller_or_a_person_chose_is_not_overwritten(stack: Stack) -> None:
    who = user("person")
    async with stack.mcp(path=f"/mcp/cursor/http/{who}") as client, stack.http() as http:
        await add(client, "The doctor prescribed ibuprofen for my knee", categories=["old injuries"])
        memory_id = await add(client, "My sister lives in Vienna")
        path = f"/api/v1/memories/{memory_id}/categories"
        answer = await http.put(path, json={"user_id": who, "categories": ["austria"]})
        assert answer.status_code == 200, answer.text
        text = "My sister moved from Vienna to Graz"
        await call(client, "update_memory", memory_id=memory_id, text=text)
        # One that comes later in the log is categorized: those before it have had their turn.
        await add(client, "I have to file my tax return by the end of July")
        assert await categories_of(client, "I have to file my tax return by the end of July") == ["finance"]
        shown = await listed(client)
    assert shown[text] == ["austria"]
    assert shown["The doctor prescribed ibuprofen for my knee"] == ["old injuries"]


async def test_a_category_of_ones_own_is_used_from_then_on(stack: Stack) -> None:
    who = user("own")
    async with stack.mcp(path=f"/mcp/cursor/http/{who}") as client, stack.http() as http:
        await add(client, "I am allergic to penicillin")
        assert await categories_of(client, "I am allergic to penicillin") == ["health"]
        body = {"user_id": who, "name": "beekeeping", "description": "My bees, hives, honey harvest and mites"}
        defined = await http.post("/api/v1/memories/categories", json=body)
        assert defined.status_code == 200, defined.text
        await add(client, "The second hive has lost its queen bee")
        assert "beekeeping" in await categories_of(client, "The second hive has lost its queen bee")
        stranger = user("stranger")
    async with stack.mcp(path=f"/mcp/cursor/http/{stranger}") as other:
        await add(other, "The second hive has lost its queen bee")
        await add(other, "I am allergic to penicillin")
        assert await categories_of(other, "I am allergic to penicillin") == ["health"]
        assert "beekeeping" not in (await listed(other))["The second hive has lost its queen bee"]


async def test_case_does_not_tell_categories_apart_wherever_memories_are_chosen_by_them(stack: Stack) -> None:
    who = user("case")
    async with stack.mcp(path=f"/mcp/cursor/http/{who}") as client, stack.http() as http:
        first = await add(client, "My left knee hurts when it rains", categories=["Old  Injuries", "old injuries"])
        second = await add(client, "My wrist was broken in 2010", categories=["OLD INJURIES", "STRASSE"])
        texts = {"My left knee hurts when it rains", "My wrist was broken in 2010"}
        assert await listed(client) == {
            "My left knee hurts when it rains": ["Old  Injuries"],
            "My wrist was broken in 2010": ["OLD INJURIES", "STRASSE"],
        }, "memories show what was said, each category once"
        for name in ("old injuries", "Old Injuries"):
            assert await searched(client, name) == texts
            answer = await http.get("/api/v1/search", params={"user_id": who, "query": "pain", "categories": name})
            assert {item["memory"] for item in answer.json()["results"]} == texts
            page = (await http.get("/api/v1/memories", params={"user_id": who, "categories": f"news,{name}"})).json()
            assert {item["content"] for item in page["items"]} == texts
        assert await searched(client, "straße") == {"My wrist was broken in 2010"}
        categories = (await http.get("/api/v1/memories/categories", params={"user_id": who})).json()["categories"]
        [shown] = [category for category in categories if category["name"].casefold().startswith("old")]
        assert shown["memories"] == 2
        body = {"user_id": who, "category_ids": [shown["id"]]}
        assert (await http.post("/api/v1/memories/filter", json=body)).json()["total"] == 2
        paused = await http.post("/api/v1/memories/actions/pause", json=body)
        assert paused.json() == {"message": "Successfully paused 2 memories"}
        await http.put(f"/api/v1/memories/{first}/categories", json={"user_id": who, "categories": ["Knees"]})
        page = (await http.get("/api/v1/memories", params={"user_id": who, "categories": "old injuries"})).json()
        assert [item["id"] for item in page["items"]] == [second]


async def test_health_names_the_classifier(stack: Stack) -> None:
    async def named() -> str | None:
        async with stack.http() as http:
            health = (await http.get("/api/v1/health")).json()
        [part] = [service for service in health["services"] if service["service"] == "categorizer"]
        assert part["ok"], part
        return part["facts"]["classifier"]

    assert (await eventually(named)).startswith("zero-shot/minilm-l6-v2/")
