"""The log as its owner reads it, from a real one: complete, in order, theirs alone, and audited."""

import asyncio
import json
import uuid
from typing import Any

import pytest
from contracts.streams import events as events_stream
from runtime.event_store import recorded
from support.inside import Inside
from support.stack import eventually


def user(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


async def add(memlog: Inside, who: str, text: str) -> str:
    # Filed by a person: else events of the categorizer may come at any time.
    body = {"user_id": who, "text": text, "categories": ["notes"]}
    answer = await memlog.http.post("/api/v1/memories", json=body)
    return answer.raise_for_status().json()["id"]


async def pages(memlog: Inside, who: str, **params: Any) -> list[dict[str, Any]]:
    """All events, page by page."""
    found: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        asked = {"user_id": who, **params, **({} if after is None else {"after": after})}
        page = (await memlog.http.get("/api/v1/events", params=asked)).raise_for_status().json()
        found += page["events"]
        after = page.get("next")
        if after is None:
            return found


async def accesses(memlog: Inside, who: str, kind: str) -> list[int]:
    """How many memories each access event of this kind names, oldest first."""
    uid = await memlog.uid(who)
    shard = memlog.shard(uid)
    key = await memlog.log.keys.get(uid)
    stored = await memlog.log.events.read_subject(f"MEMLOG_ACCESS_{shard}", f"memlog.access.{shard}.{uid}.*")
    reads: list[Any] = [recorded(shard, message, key).payload for message in stored]
    return [len(read.items) for read in reads if read.kind == kind]


async def test_the_pages_are_the_users_log_in_its_order_with_content_and_nobody_elses(memlog: Inside) -> None:
    ada, bob = user("ada"), user("bob")
    texts = [f"Memory {number}" for number in range(12)]
    for text in texts:
        await add(memlog, ada, text)
        await add(memlog, bob, f"Bob's {text}")
    found = await pages(memlog, ada, limit=5)
    assert [e["data"]["text"] for e in found if e["type"] == "MemoryAdded"] == texts
    sequences = [int(event["position"].split("-")[1]) for event in found]
    assert sequences == sorted(set(sequences))
    assert {event["app_name"] for event in found if event["type"] == "MemoryAdded"} == {"openmemory"}
    added = await pages(memlog, ada, limit=5, type="MemoryAdded")
    assert added == [event for event in found if event["type"] == "MemoryAdded"]
    one = await pages(memlog, ada, memory_id=added[3]["aggregate"]["id"])
    assert one == [added[3]]
    foreign = await pages(memlog, bob, memory_id=added[3]["aggregate"]["id"])
    assert foreign == [], "another user's memory looks like none"


@pytest.mark.guarantee("G7")
async def test_a_page_is_an_export_in_the_access_log_with_the_memories_that_it_showed(memlog: Inside) -> None:
    ada = user("ada")
    await add(memlog, ada, "One")
    await add(memlog, ada, "Two")
    await memlog.http.get("/api/v1/events", params={"user_id": ada, "type": "MemoryAdded"})
    assert await accesses(memlog, ada, "export") == [2, 0]  # the second: where this test learns the uid


@pytest.mark.guarantee("G7")
async def test_a_stream_is_live_resumes_where_it_was_and_is_audited_each_hundred_events(memlog: Inside) -> None:
    ada = user("ada")
    await add(memlog, ada, "Before")
    seen: list[dict[str, Any]] = []
    position = asyncio.Event()

    async def follow(count: int, **headers: str) -> None:
        async with memlog.http.stream(
            "GET", "/api/v1/events/stream", params={"user_id": ada, "type": "MemoryAdded"}, headers=headers
        ) as response:
            async for line in response.aiter_lines():
                if line.startswith("event: position"):
                    position.set()
                elif line.startswith("data: {"):
                    seen.append(json.loads(line.removeprefix("data: ")))
                    if len(seen) == count:
                        return

    async with asyncio.timeout(60):
        first = asyncio.create_task(follow(105))
        await position.wait()
        await asyncio.gather(*(add(memlog, ada, f"Live {number}") for number in range(105)))
        await first
        assert await accesses(memlog, ada, "stream") == [0, 100]
        await add(memlog, ada, "While nobody looked")
        await follow(106, **{"Last-Event-ID": seen[-1]["position"]})
    assert [event["data"]["text"] for event in seen][-1] == "While nobody looked"
    assert len({event["event_id"] for event in seen}) == 106

    async def consumers_are_gone() -> bool:
        infos = await memlog.log.js.consumers_info(events_stream(0).name)
        return not any(info.config.filter_subject for info in infos)

    await eventually(consumers_are_gone)


async def test_a_stream_from_behind_the_end_of_the_log_begins_at_its_end_and_says_so(memlog: Inside) -> None:
    ada = user("ada")
    await add(memlog, ada, "Before")
    shard = memlog.shard(await memlog.uid(ada))
    begun: list[int] = []
    event: dict[str, Any] = {}
    async with (
        asyncio.timeout(60),
        memlog.http.stream(
            "GET", "/api/v1/events/stream", params={"user_id": ada}, headers={"Last-Event-ID": f"{shard}-999999999"}
        ) as response,
    ):
        async for line in response.aiter_lines():
            if line.startswith("id: ") and not begun:
                begun.append(int(line.rpartition("-")[2]))
                await add(memlog, ada, "After")
            elif line.startswith("data: {"):
                event = json.loads(line.removeprefix("data: "))
                if event["type"] == "MemoryAdded":
                    break
    assert event["data"]["text"] == "After"
    assert begun[0] < int(event["position"].rpartition("-")[2])


async def test_the_newest_events_are_the_last_of_the_log_in_its_order(memlog: Inside) -> None:
    ada, bob = user("ada"), user("bob")
    await add(memlog, ada, "The first")
    for number in range(12):
        await add(memlog, bob, f"Bob's {number}")
    await add(memlog, ada, "The last")
    found = await pages(memlog, ada)
    for limit in (1, 3, len(found), 500):
        asked = {"user_id": ada, "newest": True, "limit": limit}
        page = (await memlog.http.get("/api/v1/events", params=asked)).raise_for_status().json()
        assert page["events"] == found[-limit:]
    added = [event for event in found if event["type"] == "MemoryAdded"]
    asked = {"user_id": ada, "newest": True, "limit": 1, "type": "MemoryAdded"}
    page = (await memlog.http.get("/api/v1/events", params=asked)).raise_for_status().json()
    assert page["events"] == added[-1:]


@pytest.mark.parametrize("stored", [512, 2], ids=["a page of the store", "several of them"])
async def test_one_pages_back_from_the_newest_events_to_the_first_and_misses_none(
    memlog: Inside, monkeypatch: pytest.MonkeyPatch, stored: int
) -> None:
    monkeypatch.setattr("runtime.event_store._PAGE", stored)
    ada, bob = user("ada"), user("bob")
    for number in range(5):
        await add(memlog, ada, f"Memory {number}")
        await add(memlog, bob, f"Bob's {number}")
    found = await pages(memlog, ada)
    for limit in (1, 3, 4, len(found)):
        for type_ in (None, "MemoryAdded"):
            wanted = [event for event in found if type_ in (None, event["type"])]
            asked: dict[str, Any] = {"user_id": ada, "newest": True, "limit": limit}
            asked |= {} if type_ is None else {"type": type_}
            back: list[dict[str, Any]] = []
            before: dict[str, str] = {}
            while True:
                page = (await memlog.http.get("/api/v1/events", params=asked | before)).raise_for_status().json()
                assert len(page["events"]) == min(limit, len(wanted) - len(back))
                back = page["events"] + back
                if "previous" not in page:
                    break
                before = {"before": page["previous"]}
            assert back == wanted
    position = found[0]["position"]
    elsewhere = f"{int(position.split('-')[0]) + 1}-1"
    for bad in ({"newest": True, "after": position}, {"before": position}, {"newest": True, "before": elsewhere}):
        answer = await memlog.http.get("/api/v1/events", params={"user_id": ada, **bad})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), bad


async def test_the_audit_tells_who_read_and_wrote_what_newest_first(memlog: Inside) -> None:
    ada, bob = user("ada"), user("bob")
    green, black = await add(memlog, ada, "I drink green tea"), await add(memlog, ada, "I drink black coffee")
    await add(memlog, bob, "I drink water")
    found = await memlog.http.get("/api/v1/search", params={"user_id": ada, "query": "tea", "app": "cursor"})
    hits = found.raise_for_status().json()["results"]

    async def audited(who: str, **params: Any) -> list[dict[str, Any]]:
        page = (await memlog.http.get("/api/v1/audit", params={"user_id": who, **params})).raise_for_status().json()
        assert page["total"] >= len(page["items"])
        return page["items"]

    async def searched() -> list[dict[str, Any]]:
        return await audited(ada, action="read", kind="search")

    [search] = await eventually(searched, 30)
    assert (search["app_name"], search["memories"], search["actor"]) == ("cursor", len(hits), "rest")
    path = f"/api/v1/audit/{search['id']}"
    read = (await memlog.http.get(path, params={"user_id": ada})).raise_for_status().json()["memories"]
    assert [(m["memory_id"], m["rank"]) for m in read] == [(hit["id"], at + 1) for at, hit in enumerate(hits)]
    assert all(0 < m["score"] <= 1 for m in read)
    assert (await memlog.http.get(path, params={"user_id": bob})).status_code == 404
    writes = await audited(ada, action="write", kind="MemoryAdded")
    assert [entry["memory_id"] for entry in writes] == [black, green]
    everything = await audited(ada)
    assert {entry["action"] for entry in everything} == {"read", "write"}
    assert [entry["at"] for entry in everything] == sorted((entry["at"] for entry in everything), reverse=True)
    about = await audited(ada, memory_id=green)
    assert {entry["memory_id"] for entry in about if entry["action"] == "write"} == {green}
    assert search["id"] in {entry["id"] for entry in about}
    assert await audited(ada, app_id=search["app_id"], action="write", kind="MemoryAdded") == []
    assert await audited(ada, to_date=1) == []


async def test_the_audit_leaves_out_what_its_owner_read_when_asked_to_and_nothing_else(memlog: Inside) -> None:
    ada = user("ada")
    green = await add(memlog, ada, "I drink green tea")
    await memlog.http.get("/api/v1/search", params={"user_id": ada, "query": "tea", "app": "cursor"})
    (await memlog.http.post("/api/v1/memories/filter", json={"user_id": ada})).raise_for_status()
    revised = {"user_id": ada, "memory_content": "I drink white tea"}
    (await memlog.http.put(f"/api/v1/memories/{green}", json=revised)).raise_for_status()

    async def audited(**params: Any) -> list[tuple[str, str, str]]:
        page = (await memlog.http.get("/api/v1/audit", params={"user_id": ada, **params})).raise_for_status().json()
        assert page["total"] == len(page["items"])
        return [(entry["action"], entry["kind"], entry["app_name"]) for entry in page["items"]]

    assert await eventually(lambda: audited(action="read", kind="list"), 30) == [("read", "list", "dashboard")]
    everything = await audited()
    without = await audited(without_own_reads=True)
    assert without == [entry for entry in everything if (entry[0], entry[2]) != ("read", "dashboard")]
    assert {("read", "search", "cursor"), ("write", "MemoryRevised", "dashboard")} <= {*without}
    assert {entry for entry in everything if entry[2] == "dashboard"} == {*await audited(app_id="dashboard")}
    assert {action for action, _, _ in await audited(app_id="dashboard", without_own_reads=True)} == {"write"}
    wrong = {"user_id": ada, "without_own_reads": "perhaps"}
    assert (await memlog.http.get("/api/v1/audit", params=wrong)).status_code == 422


async def test_the_list_holds_those_of_the_memories_that_it_is_asked_for_which_are_there(memlog: Inside) -> None:
    ada, bob = user("ada"), user("bob")
    green, black, red = [await add(memlog, ada, f"I drink {kind} tea") for kind in ("green", "black", "red")]
    hers = await add(memlog, bob, "I drink water")
    deleted = {"user_id": ada, "memory_ids": [red]}
    (await memlog.http.request("DELETE", "/api/v1/memories", json=deleted)).raise_for_status()

    async def listed(*ids: str) -> list[str]:
        body = {"user_id": ada, "memory_ids": ids}
        page = (await memlog.http.post("/api/v1/memories/filter", json=body)).raise_for_status().json()
        return [memory["id"] for memory in page["items"]]

    assert await listed(green, red, hers, str(uuid.uuid4())) == [green]
    assert await listed() == [black, green]
    body = {"user_id": ada, "memory_ids": ["no id"]}
    assert (await memlog.http.post("/api/v1/memories/filter", json=body)).status_code == 422
