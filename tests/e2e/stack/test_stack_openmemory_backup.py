"""Backups in OpenMemory's format: out and in again."""

import gzip
import io
import json
import uuid
import zipfile
from typing import Any

import httpx
import pytest
from support.openmemory_zip import ARCHIVED, EXPORT, KEYS, MEMORY, foreign, imported, page, user, zipped
from support.stack import Stack, call, eventually


async def exported(http: httpx.AsyncClient, who: str, **body: Any) -> dict[str, Any]:
    answer = (await http.post(EXPORT, json={"user_id": who, **body})).raise_for_status()
    assert answer.headers["content-type"] == "application/zip"
    assert f"memories_export_{who}.zip" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None and archive.namelist() == ["memories.json", "memories.jsonl.gz"]
        document = json.loads(archive.read("memories.json"))
        lines = gzip.decompress(archive.read("memories.jsonl.gz")).decode().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [row["id"] for row in document["memories"]]
    return document


async def test_openmemorys_own_zip_comes_in_with_app_state_categories_times_and_rules(stack: Stack) -> None:
    who = user("foreign")
    async with stack.http() as http:
        done = await imported(http, who, zipped(foreign()))
        assert done.status_code == 200, done.text
        answer = done.json()
        assert answer["message"] == f'Import completed into user "{who}"'
        assert (answer["counts"], answer["memories"]) == ({"ADD": 2}, 2)
        allergic, porto = await page(http, who)
        assert (allergic["id"], porto["id"]) == (str(uuid.UUID(MEMORY)), ARCHIVED)
        assert (allergic["content"], allergic["state"], allergic["app_name"]) == (
            "I am allergic to penicillin", "active", "cursor",
        )  # fmt: skip
        assert (allergic["categories"], allergic["metadata_"], allergic["created_at"]) == (["health"], {}, 1740816000)
        assert (porto["state"], porto["app_name"], porto["metadata_"]) == ("archived", "claude", {"k": [1]})
        detail = (await http.get(f"/api/v1/memories/{ARCHIVED}", params={"user_id": who})).json()
        assert (detail["created_at"], detail["updated_at"]) == (1740902400, 1740988800)
        apps = (await http.get("/api/v1/apps", params={"user_id": who})).json()["apps"]
        assert {app["name"]: app["is_active"] for app in apps} == {
            "cursor": True, "claude": False, "openmemory": True,
        }  # fmt: skip
        # An app that was allowed one memory saw no other.
        rules = (await http.get("/api/v1/access-rules", params={"user_id": who})).json()["items"]
        assert {(rule["app_name"], rule["effect"], rule["memory_id"]) for rule in rules} == {
            ("cursor", "allow", ARCHIVED), ("cursor", "deny", None),
        }  # fmt: skip
        found = (await http.get("/api/v1/search", params={"user_id": who, "query": "allergies"})).json()["results"]
        assert [each["id"] for each in found] == [allergic["id"]]
        entries = (await http.get(f"/api/v1/memories/{ARCHIVED}/history", params={"user_id": who})).json()["entries"]
        first, *later = [(e["event"], e["state"], e["app_name"], e["actor"]) for e in entries]
        assert first == ("MemoryAdded", "archived", "claude", "rest")
        assert {event for event, *_ in later} <= {"MemoryCategorized"}, "which comes by itself, sooner or later"
    async with stack.mcp(path=f"/mcp/cursor/http/{who}") as cursor:
        assert (await call(cursor, "search_memory", query="allergic to penicillin"))["results"] == []


async def test_a_round_trip_keeps_content_states_categories_times_and_rules(stack: Stack) -> None:
    one, other = user("from"), user("to")
    async with stack.http() as http:

        async def add(text: str, **given: Any) -> str:
            body = {"user_id": one, "text": text, "infer": False, **given}
            return (await http.post("/api/v1/memories/", json=body)).raise_for_status().json()["id"]

        ids = [
            await add(f"Memory {n} says ünïcödé", app=f"app-{n % 2}", metadata={"n": n}, categories=["Tea", f"c{n}"])
            for n in range(4)
        ]
        pause = {"user_id": one, "memory_ids": [ids[1]], "state": "paused"}
        (await http.post("/api/v1/memories/actions/pause", json=pause)).raise_for_status()
        (await http.post("/api/v1/memories/actions/archive", params={"user_id": one}, json=[ids[2]])).raise_for_status()
        body = {"memory_ids": [ids[3]], "user_id": one}
        (await http.request("DELETE", "/api/v1/memories/", json=body)).raise_for_status()
        apps = {a["name"]: a["id"] for a in (await http.get("/api/v1/apps", params={"user_id": one})).json()["apps"]}
        rule = {"user_id": one, "app_id": apps["app-0"], "effect": "deny", "category": "tea"}
        (await http.put("/api/v1/access-rules", json=rule)).raise_for_status()
        rule = {"user_id": one, "app_id": apps["app-1"], "effect": "allow", "memory_id": ids[0]}
        (await http.put("/api/v1/access-rules", json=rule)).raise_for_status()
        (await http.put("/api/v1/access-rules/default", json={"user_id": one, "policy": "own"})).raise_for_status()
        (
            await http.put(f"/api/v1/apps/{apps['app-1']}", params={"user_id": one, "is_active": False})
        ).raise_for_status()
        own = {"user_id": one, "name": "Tea", "description": "All about tea"}
        (await http.post("/api/v1/memories/categories", json=own)).raise_for_status()
        before = await exported(http, one)
        assert set(before) == KEYS
        assert {row["new_state"] for row in before["status_history"]} == {"active", "paused", "archived", "deleted"}
        file = (await http.post(EXPORT, json={"user_id": one})).content
        done = (await imported(http, other, file)).raise_for_status().json()
        assert done["counts"] == {"ADD": 4}
        after = await exported(http, other)
        assert comparable(after) == comparable(before)
        # Ids are a user's own: both have these, in one Memlog, and neither's is in the other's way.
        assert {row["id"] for row in after["memories"]} == set(ids)
        (
            await http.request("DELETE", "/api/v1/memories/", json={"memory_ids": [ids[0]], "user_id": one})
        ).raise_for_status()
        for who, found in ((one, set[str]()), (other, {ids[0]})):
            params = {"user_id": who, "query": "ünïcödé memory"}
            results = (await http.get("/api/v1/search", params=params)).json()["results"]
            assert {each["id"] for each in results} == found
        again = (await imported(http, other, file)).raise_for_status().json()
        assert again["counts"] == {"NONE": 4}
        assert comparable(await exported(http, other)) == comparable(before)


def comparable(document: dict[str, Any]) -> dict[str, Any]:
    """What a backup says, without ids."""
    apps = {row["id"]: row["name"] for row in document["apps"]}
    categories = {row["id"]: row["name"] for row in document["categories"]}
    texts = {row["id"]: row["content"] for row in document["memories"]}
    times = ("created_at", "updated_at", "archived_at", "deleted_at")
    return {
        "apps": {(row["name"], row["is_active"]) for row in document["apps"]}
        - {("openmemory", True), ("dashboard", True)},
        "categories": {(row["name"], row["description"]) for row in document["categories"]},
        "memories": sorted(
            (
                row["content"], row["state"], apps[row["app_id"]], json.dumps(row["metadata"]),
                sorted(categories[id_] for id_ in row["category_ids"]), [row[time] for time in times],
            )
            for row in document["memories"]
        ),
        "links": sorted((texts[r["memory_id"]], categories[r["category_id"]]) for r in document["memory_categories"]),
        "rules": {
            (apps[row["subject_id"]], row["object_type"], row["effect"],
             texts.get(row["object_id"], categories.get(row["object_id"])))
            for row in document["access_controls"]
        },
        "default": document["export_meta"]["default_access"],
    }  # fmt: skip


async def test_skip_leaves_what_is_there_and_overwrite_replaces_it(stack: Stack) -> None:
    who = user("modes")
    async with stack.http() as http:
        backup = foreign()
        (await imported(http, who, zipped(backup))).raise_for_status()
        changed = json.loads(json.dumps(backup))
        changed["memories"][0] |= {"content": "I am allergic to nuts", "metadata": {"x": 1}, "state": "paused"}
        skipped = (await imported(http, who, zipped(changed), mode="skip")).raise_for_status().json()
        assert skipped["counts"] == {"NONE": 2}
        assert (await page(http, who))[0]["content"] == "I am allergic to penicillin"
        written = (await imported(http, who, zipped(changed), mode="overwrite")).raise_for_status().json()
        assert written["counts"] == {"UPDATE": 1, "NONE": 1}
        first = (await page(http, who))[0]
        assert (first["content"], first["state"], first["metadata_"], first["categories"]) == (
            "I am allergic to nuts", "paused", {"x": 1}, ["health"],
        )  # fmt: skip
        assert first["created_at"] == 1740816000
        found = (await http.get("/api/v1/search", params={"user_id": who, "query": "nuts"})).json()["results"]
        assert found == []  # paused: not even by its new text
        wrong = await imported(http, who, zipped(changed), mode="merge")
        assert (wrong.status_code, wrong.json()["code"]) == (400, "bad_request")


async def test_an_imported_id_is_kept_beside_a_memory_of_the_same_text(stack: Stack) -> None:
    who = user("same")
    async with stack.http() as http:
        body = {"user_id": who, "text": "I am allergic to penicillin", "infer": False}
        mine = (await http.post("/api/v1/memories/", json=body)).raise_for_status().json()["id"]
        backup = foreign()
        answer = (await imported(http, who, zipped(backup))).raise_for_status().json()
        assert answer["counts"] == {"ADD": 2}
        assert {item["id"] for item in await page(http, who)} == {mine, str(uuid.UUID(MEMORY)), ARCHIVED}


@pytest.mark.guarantee("G7")
async def test_an_export_is_audited_with_all_that_left(stack: Stack) -> None:
    who = user("audit")
    async with stack.http() as http:
        (await imported(http, who, zipped(foreign()))).raise_for_status()
        document = await exported(http, who)
        id_ = document["memories"][0]["id"]

        async def told() -> bool:
            log = (await http.get(f"/api/v1/memories/{id_}/access-log", params={"user_id": who})).json()
            return [(e["app_name"], e["access_type"]) for e in log["logs"]] == [("dashboard", "export")]

        assert await eventually(told)


async def test_an_export_can_be_of_one_app_or_of_a_time(stack: Stack) -> None:
    who = user("part")
    async with stack.http() as http:
        (await imported(http, who, zipped(foreign()))).raise_for_status()
        apps = {a["name"]: a["id"] for a in (await http.get("/api/v1/apps", params={"user_id": who})).json()["apps"]}
        for asked, texts in (
            ({"app_id": apps["claude"]}, ["I lived in Porto"]),
            ({"to_date": 1740816000}, ["I am allergic to penicillin"]),
            ({"from_date": 1740816001, "include_vectors": False}, ["I lived in Porto"]),
            ({"from_date": 1750000000}, []),
        ):
            document = await exported(http, who, **asked)
            assert [row["content"] for row in document["memories"]] == texts
        unknown = await http.post(EXPORT, json={"user_id": who, "app_id": str(uuid.uuid4())})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


async def test_many_memories_come_in_as_one_operation_that_can_be_asked_for(stack: Stack) -> None:
    who = user("many")
    row = foreign()["memories"][0]
    rows = [{**row, "id": str(uuid.uuid4()), "content": f"Fact {n}: {'x' * 600}"} for n in range(3_000)]
    async with stack.http() as http:
        answer = await imported(http, who, zipped(foreign(memories=rows, memory_categories=[], access_controls=[])))
        assert answer.status_code in (200, 202), answer.text
        operation = f"/api/v1/operations/{answer.json()['operation_id']}"

        async def done() -> dict[str, Any] | None:
            found = (await http.get(operation, params={"user_id": who})).raise_for_status().json()
            return found if found["status"] == "done" else None

        ended = await eventually(done, 90)
        assert (ended["type"], ended["counts"]) == ("ImportMemories", {"ADD": 3_000})

        async def shown() -> bool:
            return (await http.get("/api/v1/stats", params={"user_id": who})).json()["total_memories"] == 3_000

        assert await eventually(shown, 60)
