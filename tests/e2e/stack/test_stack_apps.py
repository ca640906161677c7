"""The routes of apps, stats and the access log, as OpenMemory's dashboard called them."""

import uuid
from typing import Any

import httpx
import pytest
from support.stack import Stack, call, eventually

TEXTS = ["I drink tea in the morning", "I play chess on Fridays", "My dentist is in Lisbon"]


def user(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


async def get(http: httpx.AsyncClient, path: str, **params: Any) -> dict[str, Any]:
    return (await http.get(path, params=params)).raise_for_status().json()


async def add(http: httpx.AsyncClient, who: str, text: str, app: str = "openmemory", **given: Any) -> dict[str, Any]:
    body = {"user_id": who, "text": text, "app": app, "infer": False, **given}
    return (await http.post("/api/v1/memories/", json=body)).raise_for_status().json()


async def app_ids(http: httpx.AsyncClient, who: str) -> dict[str, str]:
    return {app["name"]: app["id"] for app in (await get(http, "/api/v1/apps/", user_id=who))["apps"]}


async def test_an_app_shows_what_it_wrote_and_what_it_read_and_all_counts_agree(stack: Stack) -> None:
    who = user("apps")
    async with stack.http() as http, stack.mcp(path=f"/mcp/cursor/http/{who}") as cursor:
        ids = [(await add(http, who, text))["id"] for text in TEXTS]
        for _ in range(2):
            await call(cursor, "search_memory", query="chess", limit=1)
        await call(cursor, "list_memories", limit=2)
        apps = await app_ids(http, who)
        assert set(apps) == {"cursor", "openmemory"}
        detail = f"/api/v1/apps/{apps['cursor']}"

        async def counted() -> dict[str, Any] | None:
            found = await get(http, detail, user_id=who)
            return found if found["total_memories_accessed"] == 2 else None

        shown = await eventually(counted)
        assert (shown["name"], shown["is_active"], shown["total_memories_created"]) == ("cursor", True, 0)
        assert shown["first_accessed"] <= shown["last_accessed"] and shown["first_accessed"].endswith("Z")

        async def listed() -> list[tuple[str, int]] | None:
            page = await get(http, f"{detail}/accessed", user_id=who)
            assert page["total"] == len(page["memories"])
            found = [(each["memory"]["content"], each["access_count"]) for each in page["memories"]]
            return found if sum(count for _, count in found) == 4 else None

        # Twice by search, once by the list of the newest two; the dentist by that list alone.
        assert await eventually(listed) == [(TEXTS[1], 3), (TEXTS[2], 1)]
        one = await get(http, f"{detail}/accessed/", user_id=who, page=2, page_size=1)
        assert (one["total"], one["page"], one["page_size"], len(one["memories"])) == (2, 2, 1, 1)
        wrote = await get(http, f"/api/v1/apps/{apps['openmemory']}/memories", user_id=who, page_size=2)
        assert wrote["total"] == 3 and [m["content"] for m in wrote["memories"]] == TEXTS[:0:-1]
        assert set(wrote["memories"][0]) >= {
            "id",
            "content",
            "created_at",
            "state",
            "app_id",
            "categories",
            "metadata_",
        }
        stats = await get(http, "/api/v1/stats/", user_id=who)
        assert (stats["total_memories"], stats["total_apps"]) == (3, 2)
        assert {app["name"]: app["total_memories_accessed"] for app in stats["apps"]} == {"cursor": 2, "openmemory": 0}
        await http.request("DELETE", "/api/v1/memories/", json={"memory_ids": [ids[1]], "user_id": who})
        gone = await get(http, f"{detail}/accessed", user_id=who)
        first = gone["memories"][0]["memory"]
        assert (first["id"], first["state"]) == (ids[1], "deleted")
        assert gone["total"] == (await get(http, detail, user_id=who))["total_memories_accessed"] == 2


async def test_an_app_is_paused_as_openmemorys_dashboard_did(stack: Stack) -> None:
    who = user("paused")
    async with stack.http() as http:
        await add(http, who, TEXTS[0])
        id_ = (await app_ids(http, who))["openmemory"]
        answer = (await http.put(f"/api/v1/apps/{id_}?is_active=false&user_id={who}")).raise_for_status().json()
        assert (answer["status"], answer["is_active"]) == ("success", False)
        body = {"user_id": who, "text": "more", "app": "openmemory"}
        refused = await http.post("/api/v1/memories/", json=body)
        assert (refused.status_code, refused.json()["code"]) == (403, "app_paused")
        only = await get(http, "/api/v1/apps", user_id=who, is_active=True)
        assert (only["total"], only["apps"]) == (0, [])


@pytest.mark.parametrize("path", ["", "/memories", "/accessed"])
async def test_an_unknown_app_and_another_users_look_alike(stack: Stack, path: str) -> None:
    who, other = user("mine"), user("other")
    async with stack.http() as http:
        await add(http, other, TEXTS[0])
        theirs = (await app_ids(http, other))["openmemory"]
        codes = [
            (await http.get(f"/api/v1/apps/{id_}{path}", params={"user_id": who})).status_code
            for id_ in (theirs, str(uuid.uuid4()))
        ]
        assert codes == [404, 404]
        assert (await http.get(f"/api/v1/apps/no-id{path}")).status_code == 422


@pytest.mark.guarantee("G7")
async def test_the_access_log_tells_who_read_a_memory_newest_first(stack: Stack) -> None:
    who = user("log")
    async with stack.http() as http, stack.mcp(path=f"/mcp/cursor/http/{who}") as cursor:
        id_ = (await add(http, who, TEXTS[1]))["id"]
        await call(cursor, "search_memory", query="chess")
        await get(http, f"/api/v1/memories/{id_}", user_id=who)
        app = (await app_ids(http, who))["openmemory"]
        await get(http, f"/api/v1/apps/{app}/memories", user_id=who)

        async def told() -> dict[str, Any] | None:
            found = await get(http, f"/api/v1/memories/{id_}/access-log", user_id=who, page=1, page_size=10)
            return found if found["total"] == 3 else None

        log = await eventually(told)
        assert (log["page"], log["page_size"]) == (1, 10)
        assert [(each["app_name"], each["access_type"]) for each in log["logs"]] == [
            ("dashboard", "list"),
            ("dashboard", "get"),
            ("cursor", "search"),
        ]
        assert len({each["id"] for each in log["logs"]}) == 3
        assert {each["memory_id"] for each in log["logs"]} == {id_}
        assert log["logs"][2]["metadata_"]["rank"] == 1 and log["logs"][2]["metadata_"]["score"] > 0
        second = await get(http, f"/api/v1/memories/{id_}/access-log/", user_id=who, page=3, page_size=1)
        assert [each["access_type"] for each in second["logs"]] == ["search"]
        other = {"user_id": user("stranger")}
        assert (await http.get(f"/api/v1/memories/{id_}/access-log", params=other)).status_code == 404
        too_many = {"user_id": who, "page_size": 101}
        assert (await http.get(f"/api/v1/memories/{id_}/access-log", params=too_many)).status_code == 422


async def test_what_apps_wrote_and_read_is_counted_by_day(stack: Stack) -> None:
    who = user("busy")
    async with stack.http() as http, stack.mcp(path=f"/mcp/cursor/http/{who}") as cursor:
        kept, deleted = [(await add(http, who, text))["id"] for text in TEXTS[:2]]
        body = {"memory_ids": [deleted], "user_id": who}
        (await http.request("DELETE", "/api/v1/memories", json=body)).raise_for_status()
        await call(cursor, "add_memories", text=TEXTS[2], infer=False)
        for _ in range(3):
            await call(cursor, "search_memory", query="tea", limit=2)
        await get(http, f"/api/v1/memories/{kept}", user_id=who)

        async def counted() -> dict[str, Any] | None:
            found = await get(http, "/api/v1/stats/activity", user_id=who, steps=7)
            return found if any(sum(app["reads"]) == 3 for app in found["apps"]) else None

        found = await eventually(counted)
        assert found["step"] == "day" and len(found["starts"]) == 7
        # By the end, or the last but one, should midnight have passed meanwhile. The owner's own read is not counted.
        totals = {app["name"]: (sum(app["added"][-2:]), sum(app["reads"][-2:])) for app in found["apps"]}
        assert totals == {"cursor": (1, 3), "openmemory": (1, 0)}
        assert all(len(app["added"]) == len(app["reads"]) == 7 for app in found["apps"])
        months = await get(http, "/api/v1/stats/activity", user_id=who, step="month", steps=2)
        assert {app["name"]: sum(app["added"]) for app in months["apps"]} == {"cursor": 1, "openmemory": 1}
        for wrong in ({"step": "hour"}, {"steps": 0}, {"steps": 367}):
            assert (await http.get("/api/v1/stats/activity", params={"user_id": who, **wrong})).status_code == 422
