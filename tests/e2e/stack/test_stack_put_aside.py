"""A write that a projection could not apply is stored, and nobody is told that reads see it (G4)."""

import pytest
from support.inside import Inside
from support.poison import DEAD, add, letters, refused_by_postgresql, user

pytestmark = pytest.mark.guarantee("G4")
_HARMLESS = "text NOT LIKE '%poison%'"


async def heal(memlog: Inside) -> None:
    healed = (await memlog.http.post(f"{DEAD}/redrive")).json()["results"]
    assert {result["status"] for result in healed} == {"healed"}
    assert await letters(memlog) == []


async def test_a_write_whose_own_event_was_put_aside_is_not_called_searchable_until_it_is_healed(
    memlog: Inside,
) -> None:
    ada = user("ada")
    await add(memlog, ada, "An ordinary memory")
    body = {"user_id": ada, "text": "a poison text", "idempotency_key": "once"}
    async with refused_by_postgresql(memlog, "memory_texts", _HARMLESS):
        answer = await memlog.http.post("/api/v1/memories", json=body)
        said = answer.json()
        assert (answer.status_code, said["state"]) == (202, "stored"), said
        assert "read-models could not apply it" in said["reason"]
        assert "memlog dead list" in said["reason"]
        memory_id = said["results"][0]["id"]
        assert said["results"][0]["event"] == "ADD"

        # Asked again, by key or by operation, the answer is the same: the read models will never know of it.
        again = await memlog.http.post("/api/v1/memories", json=body)
        assert (again.status_code, again.json()) == (202, said)
        operation = (
            await memlog.http.get(f"/api/v1/operations/{said['operation_id']}", params={"user_id": ada})
        ).json()
        assert (operation["status"], operation["code"]) == ("done", "quarantined")
        assert (operation["results"][0]["id"], operation["position"]) == (memory_id, said["position"])
        assert operation["reason"] == said["reason"]

        # What is known already, and cannot be read: its own event could be applied, its memory's could not.
        known = await memlog.http.post("/api/v1/memories", json={"user_id": ada, "text": "a  poison text"})
        assert (known.status_code, known.json()["results"][0]["event"]) == (202, "NONE")
        assert known.json()["reason"] == said["reason"]

        # Of the same user, of another memory, and of nobody else's.
        assert (await add(memlog, ada, "Another memory of Ada"))["id"] != memory_id
    await heal(memlog)
    healed = await memlog.http.post("/api/v1/memories", json=body)
    assert (healed.status_code, healed.json()["id"]) == (200, memory_id)
    operation = (await memlog.http.get(f"/api/v1/operations/{said['operation_id']}", params={"user_id": ada})).json()
    assert (operation["status"], operation["code"], operation["reason"]) == ("done", None, None)


async def test_later_writes_of_a_memory_that_was_put_aside_say_that_reads_do_not_show_them(memlog: Inside) -> None:
    ada = user("ada")
    memory_id, other = (await add(memlog, ada, "version 1"))["id"], (await add(memlog, ada, "another"))["id"]
    path, who = f"/api/v1/memories/{memory_id}", {"user_id": ada}
    async with refused_by_postgresql(memlog, "memory_texts", _HARMLESS):
        poisoned = await memlog.http.put(path, json={**who, "memory_content": "a poison text"})
        harmless = await memlog.http.put(path, json={**who, "memory_content": "version 3"})
        labelled = await memlog.http.put(f"{path}/categories", json={**who, "categories": ["mine"]})
        paused = await memlog.http.post(
            "/api/v1/memories/actions/pause", json={**who, "memory_ids": [memory_id, other]}
        )
        gone = await memlog.http.request("DELETE", "/api/v1/memories", json={**who, "memory_ids": [memory_id]})
        for answer in (poisoned, harmless, labelled, paused, gone):
            assert (answer.status_code, answer.json()["state"]) == (202, "stored"), answer.text
            assert "read-models could not apply it" in answer.json()["reason"]
        assert (await memlog.http.get(path, params=who)).json()["text"] == "version 1", "reads show what they showed"
        operation = f"/api/v1/operations/{gone.json()['operation_id']}"
        assert (await memlog.http.get(operation, params=who)).json()["code"] == "quarantined"
    await heal(memlog)
    assert (await memlog.http.get(path, params=who)).status_code == 404
    assert (await memlog.http.get(f"/api/v1/memories/{other}", params=who)).json()["state"] == "paused"
    assert (await memlog.http.get(operation, params=who)).json()["code"] is None


async def test_an_app_whose_registration_was_put_aside_writes_all_the_same_and_reads_nothing(memlog: Inside) -> None:
    ada = user("ada")
    await add(memlog, ada, "An ordinary memory")
    async with refused_by_postgresql(memlog, "apps", "name <> 'unlucky'"):
        for text in ("by an unlucky app", "and once more"):
            answer = await memlog.http.post("/api/v1/memories", json={"user_id": ada, "text": text, "app": "unlucky"})
            assert answer.status_code == 200, answer.text
        found = await memlog.http.get("/api/v1/search", params={"user_id": ada, "query": "ordinary", "app": "unlucky"})
        assert found.json()["code"] == "unavailable"
    await heal(memlog)
    found = await memlog.http.get("/api/v1/search", params={"user_id": ada, "query": "ordinary", "app": "unlucky"})
    assert len(found.json()["results"]) == 3


async def test_of_several_bad_texts_of_a_memory_the_one_that_is_dropped_goes_and_the_next_waits(memlog: Inside) -> None:
    ada = user("ada")
    memory_id = (await add(memlog, ada, "version 1"))["id"]
    path, who = f"/api/v1/memories/{memory_id}", {"user_id": ada}
    async with refused_by_postgresql(memlog, "memory_texts", _HARMLESS):
        for text in ("poison in version 2", "version 3", "poison in version 4"):
            assert (await memlog.http.put(path, json={**who, "memory_content": text})).status_code == 202
        waiting = [x for x in await letters(memlog) if x["aggregate"]["id"] == memory_id]
        first, last = waiting[0], waiting[-1]
        dropped = (await memlog.http.delete(f"{DEAD}/{first['id']}")).json()
        assert dropped["status"] == "dropped"
        assert dropped["error"].startswith("dead letter ")
        assert "CheckViolation" in dropped["error"]
        assert (await memlog.http.get(path, params=who)).json()["text"] == "version 3"
        left = await letters(memlog)
        assert left[0]["id"] > first["id"]
        assert left[0]["subject"] == last["subject"]
    await heal(memlog)
    detail = (await memlog.http.get(path, params=who)).json()
    assert (detail["text"], detail["version"]) == ("poison in version 4", 4)
    history = (await memlog.http.get(f"{path}/history", params=who)).json()["entries"]
    assert [entry["version"] for entry in history if entry["text"]] == [1, 3, 4]
