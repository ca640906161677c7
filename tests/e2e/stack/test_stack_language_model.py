"""A Memlog with a language model, as its user meets it: which one it is, what it is asked, and that all goes on
when it is away."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from support.chat_model import Asked
from support.faults import status
from support.openai_server import OpenAIServer, openai_server
from support.stack import Stack, eventually, running_stack

ADA = "ada"
MANY = 1000


@pytest.fixture(scope="module")
async def model() -> AsyncGenerator[OpenAIServer]:
    async with openai_server() as server:
        yield server


@pytest.fixture(scope="module")
async def stack(model: OpenAIServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stack]:
    async with running_stack(
        tmp_path_factory.mktemp("memlog"), MEMLOG_LLM="talker", MEMLOG_LLM_BASE_URL=model.url
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def sound(model: OpenAIServer) -> None:
    model.chat.always = None
    model.chat.script = lambda _: {"categories": ["Beekeeping", "finance"]}
    model.chat.asked.clear()


async def add(http: httpx.AsyncClient, text: str, **more: Any) -> str:
    body = {"user_id": ADA, "text": text, "infer": False, "wait": "stored", **more}
    answer = (await http.post("/api/v1/memories", json=body)).raise_for_status().json()
    if more.get("wait") == "accepted":
        return answer["operation_id"]
    return answer["results"][0]["id"] if "results" in answer else answer["id"]


async def categorized(http: httpx.AsyncClient, memory_id: str) -> dict[str, Any]:
    """The last event of its history, once that says who categorized it."""

    async def there() -> dict[str, Any] | None:
        found = await http.get(f"/api/v1/memories/{memory_id}/history", params={"user_id": ADA})
        entries: list[dict[str, Any]] = found.json()["entries"] if found.is_success else []
        return entries[-1] if entries and entries[-1]["event"] == "MemoryCategorized" else None

    return await eventually(there)


def about(asked: Asked) -> str:
    return json.loads(asked.user)["memory"]


@pytest.mark.guarantee("G13")
async def test_the_model_is_named_and_gives_categories_of_the_users_own(stack: Stack, model: OpenAIServer) -> None:
    async with stack.http() as http:
        health = (await http.get("/api/v1/health")).json()
        assert (health["llm"], health["status"]) == (f"openai:talker@{model.url.split('/')[2]}", "ok")
        body = {"user_id": ADA, "name": "beekeeping", "description": "My bees and hives"}
        (await http.post("/api/v1/memories/categories", json=body)).raise_for_status()
        entry = await categorized(http, await add(http, "The second hive sold for 90 euros"))
        assert entry["categories"] == ["beekeeping", "finance"]
    [asked] = model.chat.asked
    assert about(asked) == "The second hive sold for 90 euros"
    assert "- beekeeping: My bees and hives" in asked.system


async def test_pausing_a_thousand_memories_makes_no_model_call(stack: Stack, model: OpenAIServer) -> None:
    async with stack.http() as http:
        asked = [await add(http, f"note {number}") for number in range(20)]
        for start in range(20, MANY, 98):  # these have their categories
            texts = (f"note {number}" for number in range(start, start + 98))
            await asyncio.gather(*(add(http, text, wait="accepted", categories=["mine"]) for text in texts))
        await asyncio.gather(*(categorized(http, memory_id) for memory_id in asked))
        assert len(model.chat.asked) == 20

        async def total() -> int:
            page = await http.post("/api/v1/memories/filter", json={"user_id": ADA, "page": 1, "size": 1})
            return page.raise_for_status().json()["total"]

        async def all_there() -> bool:
            return await total() >= MANY

        await eventually(all_there, 60)
        body = {"user_id": ADA, "global_pause": True, "state": "paused"}
        paused = (await http.post("/api/v1/memories/actions/pause", json=body)).raise_for_status().json()
        assert paused == {"message": f"Successfully paused {await total()} memories"}
        await categorized(http, await add(http, "one that comes after all of that"))
    assert [about(asked) for asked in model.chat.asked[20:]] == ["one that comes after all of that"]


@pytest.mark.guarantee("G12", "G13")
async def test_all_goes_on_while_the_model_is_away_and_health_says_that_it_is(
    stack: Stack, model: OpenAIServer
) -> None:
    model.chat.always = status(503)
    async with stack.http() as http:
        memory_id = await add(http, "I keep the spare key under the blue pot", wait="searchable")

        async def says_so() -> bool:
            health = (await http.get("/api/v1/health")).json()
            [part] = [each for each in health["services"] if each["service"] == "categorizer"]
            return health["status"] == "degraded" and part["ok"] and "HTTP 503" in (part["detail"] or "")

        await eventually(says_so)
        assert (await http.get("/readyz")).status_code == 200
        found = await http.get("/api/v1/search", params={"user_id": ADA, "query": "where is the spare key", "limit": 1})
        assert found.json()["results"][0]["id"] == memory_id
        model.chat.always = None
        assert (await categorized(http, memory_id))["categories"] == ["beekeeping", "finance"]

        async def well() -> bool:
            return (await http.get("/api/v1/health")).json()["status"] == "ok"

        await eventually(well)
