"""`as_of`: lists, reads and searches of the past, against a plain fold of the log."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mcp import Client
from support.inside import Inside
from support.past import MEMORIES, Past, after, differences, differing, listed, log_of, one, searched, user
from support.stack import Stack, call

# -- random histories --------------------------------------------------------------------------------------------------

Kind = Literal["add", "revise", "categorize", "paused", "archived", "active", "delete", "restore"]
_TEXTS = ("I drink green tea", "Coffee, black", "My dog is called Biscuit", "The train leaves at ten", "Tea again")
_CATEGORIES = ("food", "Home")


_KINDS: tuple[Kind, ...] = (
    *("add", "add", "add", "revise", "revise", "categorize"),
    *("paused", "archived", "active", "delete", "delete", "restore"),
)


@dataclass(frozen=True, slots=True)
class Step:
    kind: Kind
    memory: int
    text: str
    categories: tuple[str, ...]
    app: str


_STEPS = st.builds(
    Step,
    st.sampled_from(_KINDS),
    st.integers(0, 3),
    st.sampled_from(_TEXTS),
    st.lists(st.sampled_from(_CATEGORIES), unique=True).map(tuple),
    st.sampled_from(("notes", "chat")),
)  # fmt: skip


async def carry_out(http: httpx.AsyncClient, who: str, steps: Sequence[Step]) -> None:
    """What a memory's state does not allow is refused, and leaves no change."""
    ids: list[str] = []
    for step in steps:
        chosen = {"user_id": who, "memory_ids": ids[step.memory % len(ids) :][:1]} if ids else {}
        target = f"{MEMORIES}/{chosen['memory_ids'][0]}" if chosen else ""
        if step.kind == "add":
            body = {"user_id": who, "text": step.text, "app": step.app, "metadata": {"n": len(ids)}}
            answer = await http.post(MEMORIES, json={**body, "infer": False, "categories": step.categories})
            ids += [id_ for id_ in (answer.json()["id"],) if id_ not in ids]
        elif not chosen:
            continue
        elif step.kind == "revise":
            answer = await http.put(target, json={"user_id": who, "memory_content": f"{step.text}, {step.memory}"})
        elif step.kind == "categorize":
            answer = await http.put(f"{target}/categories", json={"user_id": who, "categories": [*step.categories]})
        elif step.kind == "delete":
            answer = await http.request("DELETE", MEMORIES, json=chosen)
        elif step.kind == "restore":
            answer = await http.post(f"{MEMORIES}/actions/restore", params={"user_id": who}, json=chosen["memory_ids"])
        else:
            answer = await http.post(f"{MEMORIES}/actions/pause", json={**chosen, "state": step.kind})
        assert answer.status_code in (200, 404, 409), answer.text


@pytest.mark.guarantee("G14")
@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.generate],
)
@given(steps=st.lists(_STEPS, min_size=4, max_size=14))
async def test_the_past_is_what_the_log_says_at_every_position_and_time(memlog: Inside, steps: list[Step]) -> None:
    who, http = user("past"), memlog.http
    await carry_out(http, who, steps)
    events = await log_of(http, who)
    past: Past = {}
    pasts = [past := after(past, event) for event in events]
    shown = [{id_: m for id_, m in past.items() if m.state != "deleted"} for past in pasts]
    hidden_now = {
        id_ for id_, m in pasts[-1].items() if m.state in ("paused", "archived") or _hidden_when_deleted(id_, pasts)
    }
    for event, past, there in zip(events, pasts, shown, strict=True):
        position = event["position"]
        active = {id_: m.text for id_, m in past.items() if m.state == "active"}
        assert await listed(http, who, position) == _unversioned(there)
        food = {id_: m for id_, m in there.items() if "food" in m.categories}
        assert await listed(http, who, position, categories="FOOD") == _unversioned(food)
        tea = {id_: m for id_, m in there.items() if "tea" in m.text.lower()}
        assert await listed(http, who, position, search_query="TEA") == _unversioned(tea)
        for id_ in pasts[-1]:
            assert await one(http, who, id_, position) == there.get(id_)
        assert await searched(http, who, position) == active
        in_home = {id_: text for id_, text in active.items() if "Home" in past[id_].categories}
        assert await searched(http, who, position, categories="home") == in_home
        by_chat = {id_: text for id_, text in active.items() if past[id_].app == "chat"}
        assert await searched(http, who, position, apps="chat") == by_chat
        to_apps = {id_: text for id_, text in active.items() if id_ not in hidden_now}
        assert await searched(http, who, position, app="notes") == to_apps
        to_apps_in_home = {id_: text for id_, text in in_home.items() if id_ in to_apps}
        assert await searched(http, who, position, app="notes", categories="home") == to_apps_in_home
    for event in events:
        time = event["recorded_at"]
        until = [past for past, other in zip(shown, events, strict=True) if other["recorded_at"] <= time][-1]
        assert await listed(http, who, time) == _unversioned(until)
    middle = len(events) // 2
    for earlier, later in ((0, middle), (middle, len(events) - 1), (0, len(events) - 1)):
        moments = {"since": events[earlier]["position"], "until": events[later]["position"]}
        expected = differences(shown[earlier], shown[later])
        assert {id_: item["kind"] for id_, item in (await differing(http, who, **moments)).items()} == expected


def _unversioned(past: Past) -> Past:
    """Lists tell no versions, and not when a memory changed."""
    return {id_: replace(memory, version=0, updated_at=0) for id_, memory in past.items()}


def _hidden_when_deleted(id_: str, pasts: Sequence[Past]) -> bool:
    before = [past[id_].state for past in pasts if id_ in past and past[id_].state != "deleted"]
    return before[-1] != "active"


# -- single cases ------------------------------------------------------------------------------------------------------


async def remember(http: httpx.AsyncClient, who: str, text: str, **more: Any) -> str:
    body = {"user_id": who, "text": text, "infer": False, **more}
    return (await http.post(MEMORIES, json=body)).raise_for_status().json()["id"]


async def test_an_mcp_client_finds_and_lists_what_was_revised_and_deleted_since(sharded: Stack) -> None:
    who = user("mcp")
    async with sharded.mcp(path=f"/mcp/cursor/http/{who}") as client, sharded.http() as http:
        added = await call(client, "add_memories", text="I live in Lisbon", infer=False)
        id_ = added["results"][0]["id"]
        first = added["position"]
        revised = await call(client, "update_memory", memory_id=id_, text="I live in Porto")
        second = revised["position"]
        await call(client, "delete_memories", memory_ids=[id_])

        async def texts(**arguments: Any) -> list[list[str]]:
            found = await call(client, "search_memory", query="where do I live", **arguments)
            listed = await call(client, "list_memories", **arguments)
            return [[item["memory"] for item in answer["results"]] for answer in (found, listed)]

        assert await texts() == [[], []]
        assert await texts(as_of=first) == [["I live in Lisbon"]] * 2
        assert await texts(as_of=second) == [["I live in Porto"]] * 2
        entries = (await http.get(f"{MEMORIES}/{id_}/history", params={"user_id": who})).json()["entries"]
        history = [entry for entry in entries if entry["text"] is not None]  # it may be categorized in between
        assert await texts(as_of=history[0]["recorded_at"]) == [["I live in Lisbon"]] * 2
        assert await texts(as_of=history[1]["recorded_at"]) == [["I live in Porto"]] * 2
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        assert await texts(as_of=tomorrow.isoformat()) == await texts(as_of=str(int(tomorrow.timestamp()))) == [[], []]
        assert await texts(as_of="2020-01-01") == await texts(as_of="0") == [[], []]


@pytest.mark.guarantee("G8")
async def test_what_is_hidden_from_apps_now_is_hidden_in_the_past_too(memlog: Inside) -> None:
    who, http = user("hidden"), memlog.http
    texts = [f"I drink {what}" for what in ("tea", "mate", "ale", "milk")]
    ids = [await remember(http, who, text, app="notes", categories=["food"]) for text in texts]
    paused, archived, gone, kept = ids
    before = (await log_of(http, who))[-1]["position"]
    for id_, state in ((paused, "paused"), (archived, "archived"), (gone, "paused")):
        body = {"user_id": who, "memory_ids": [id_], "state": state}
        (await http.post(f"{MEMORIES}/actions/pause", json=body)).raise_for_status()
    (await http.request("DELETE", MEMORIES, json={"user_id": who, "memory_ids": [gone, kept]})).raise_for_status()
    assert set(await searched(http, who, before)) == {paused, archived, gone, kept}
    assert set(await searched(http, who, before, app="notes")) == {kept}
    apps = (await http.get("/api/v1/apps", params={"user_id": who})).json()["apps"]
    notes = next(app["id"] for app in apps if app["name"] == "notes")
    pause = {"user_id": who, "is_active": False}
    (await http.put(f"/api/v1/apps/{notes}", params=pause)).raise_for_status()
    assert await searched(http, who, before, app="notes") == {}
    assert set(await searched(http, who, before)) == {paused, archived, gone, kept}


@pytest.mark.guarantee("G8")
async def test_rules_are_about_the_categories_of_now(memlog: Inside) -> None:
    """Else what was put into a category because of its rule could still be read as of before."""
    who, http = user("rules"), memlog.http
    ids = [await remember(http, who, f"Note {n}", app="notes", categories=[c]) for n, c in enumerate("xy")]
    before = (await log_of(http, who))[-1]["position"]
    for id_, category in zip(ids, "yx", strict=True):
        body = {"user_id": who, "categories": [category]}
        (await http.put(f"{MEMORIES}/{id_}/categories", json=body)).raise_for_status()
    apps = (await http.get("/api/v1/apps", params={"user_id": who})).json()["apps"]
    rule = {"user_id": who, "app_id": apps[0]["id"], "effect": "deny", "category": "y"}
    (await http.put("/api/v1/access-rules", json=rule)).raise_for_status()
    assert set(await searched(http, who, before, app="notes")) == {ids[1]}
    assert set(await searched(http, who, before, app="notes", categories="y")) == {ids[1]}
    async with Client(f"{memlog.url}/mcp/notes/http/{who}") as client:
        listed_to_app = await call(client, "list_memories", as_of=before)
        assert [(item["id"], item["categories"]) for item in listed_to_app["results"]] == [(ids[1], ["y"])]


@pytest.mark.guarantee("G14")
async def test_what_is_in_no_store_any_more_is_in_no_past(memlog: Inside) -> None:
    """Erasing removes a memory's rows and points."""
    who, http = user("erased"), memlog.http
    erased = await remember(http, who, "I drink tea", categories=["food"])
    kept = await remember(http, who, "I drink coffee", categories=["food"])
    position = (await log_of(http, who))[-1]["position"]
    for table in ("memories", "memory_texts", "history"):
        await memlog.sql(f"DELETE FROM {await serving(memlog)}.{table} WHERE memory_id = $1", erased)
    assert set(await listed(http, who, position)) == {kept}
    assert set(await searched(http, who, position)) == {kept}
    assert await one(http, who, erased, position) is None


async def serving(memlog: Inside) -> str:
    """The schema of the read models."""
    statement = "SELECT schema FROM memlog.generations WHERE state = 'serving' AND projection = 'read-models'"
    [(schema,)] = await memlog.sql(statement)
    return str(schema)


async def test_a_clock_that_steps_back_shows_nothing_early(memlog: Inside) -> None:
    """Until the log's clock is past the time again, what was recorded after it is not known."""
    who, http = user("clock"), memlog.http
    ids = [await remember(http, who, f"Note number {number}", categories=["notes"]) for number in range(4)]
    schema = await serving(memlog)
    times = [datetime(2026, 5, 1, hour, tzinfo=UTC) for hour in (8, 11, 9, 12)]
    for id_, time in zip(ids, times, strict=True):
        set_clock = f"UPDATE {schema}.history SET recorded_at = $2 WHERE memory_id = $1 AND event = 'MemoryAdded'"
        await memlog.sql(set_clock, id_, time)
    for hour, known in ((7, 0), (8, 1), (9, 1), (10, 1), (11, 3), (12, 4)):
        shown = await listed(http, who, f"2026-05-01T{hour:02}:00:00Z")
        assert set(shown) == set(ids[:known]), hour


async def test_a_difference_tells_both_sides_and_its_search_finds_either(memlog: Inside) -> None:
    who, http = user("difference"), memlog.http
    kept = await remember(http, who, "I live in Lisbon", categories=["home"])
    gone = await remember(http, who, "I own a bicycle")
    before = (await log_of(http, who))[-1]["position"]
    body = {"user_id": who, "memory_content": "I live in Porto"}
    (await http.put(f"{MEMORIES}/{kept}", json=body)).raise_for_status()
    (await http.request("DELETE", MEMORIES, json={"user_id": who, "memory_ids": [gone]})).raise_for_status()
    passing = await remember(http, who, "I am here for a moment")
    (await http.request("DELETE", MEMORIES, json={"user_id": who, "memory_ids": [passing]})).raise_for_status()
    new = await remember(http, who, "I own a boat")
    found = await differing(http, who, since=before)
    assert {id_: item["kind"] for id_, item in found.items()} == {new: "added", gone: "deleted", kept: "revised"}
    assert [found[kept][side]["content"] for side in ("before", "after")] == ["I live in Lisbon", "I live in Porto"]
    assert found[new]["before"] is None and found[gone]["after"] is None
    assert set(await differing(http, who, since=before, search_query="lisbon")) == {kept}
    assert set(await differing(http, who, since=before, search_query="OWN A")) == {gone, new}
    params = {"user_id": who, "since": (await log_of(http, who))[-1]["position"], "until": before}
    answer = await http.get(f"{MEMORIES}/changes", params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), answer.text


async def test_a_timeline_counts_every_change_from_the_first_one_on(memlog: Inside) -> None:
    who, http = user("timeline"), memlog.http
    path, nobody = f"{MEMORIES}/timeline", {"user_id": user("nobody")}
    empty = (await http.get(path, params=nobody)).raise_for_status().json()
    assert (empty["first"], empty["changes"]) == (None, [])
    for number in range(3):
        await remember(http, who, f"Note number {number}", categories=["notes"])
    changes = [event for event in await log_of(http, who) if event["aggregate"]["kind"] == "memory"]
    line = (await http.get(path, params={"user_id": who, "parts": 7})).raise_for_status().json()
    assert line["first"] == changes[0]["recorded_at"] and line["now"] >= changes[-1]["recorded_at"]
    assert len(line["changes"]) == 7 and sum(line["changes"]) == len(changes) and line["changes"][0] > 0


async def test_a_read_shows_what_is_in_the_log_up_to_the_position_that_it_asks_for(memlog: Inside) -> None:
    who, http = user("after"), memlog.http
    position, behind = "", dict[str, str]()
    for number in range(10):
        body = {"user_id": who, "text": f"Written down, not yet shown {number}", "infer": False, "wait": "stored"}
        position = (await http.post(MEMORIES, json=body)).json()["position"]
        behind = {"memlog-min-position": position}
        page = (await http.get(MEMORIES, params={"user_id": who}, headers=behind)).raise_for_status().json()
        assert page["total"] == number + 1
    found = await http.get("/api/v1/search", params={"user_id": who, "query": "written down"}, headers=behind)
    assert len(found.json()["results"]) == 10
    for wrong in ("yesterday", f"{position.split('-')[0]}-999999999", "9999-1"):
        answer = await http.get(MEMORIES, params={"user_id": who}, headers={"memlog-min-position": wrong})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), answer.text
    assert (await http.get("/api/v1/projections", headers={"memlog-min-position": "9999-1"})).status_code == 200


@pytest.mark.parametrize(
    "moment",
    ["yesterday", "", "2026-13-01", "1e9", "-1", "1-2-3", "99999999999999999999", "0-99999999999", "7-1", "٣-1"],
)
async def test_what_is_no_time_and_no_position_of_this_log_is_refused(memlog: Inside, moment: str) -> None:
    who, http = user("bad"), memlog.http
    id_ = await remember(http, who, "I drink tea")
    for path in (MEMORIES, f"{MEMORIES}/{id_}", "/api/v1/search?query=tea"):
        answer = await http.get(
            path, params={**httpx.QueryParams(path.partition("?")[2]), "user_id": who, "as_of": moment}
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), answer.text
        assert "as_of" in answer.json()["detail"]


async def test_the_history_shows_each_kind_of_change_with_who_when_and_through_which_app(memlog: Inside) -> None:
    who, http = user("history"), memlog.http
    id_ = await remember(http, who, "I drink tea", app="notes", categories=["food"])
    target, chosen = f"{MEMORIES}/{id_}", {"user_id": who, "memory_ids": [id_]}

    async def set_state(state: str) -> None:
        (await http.post(f"{MEMORIES}/actions/pause", json={**chosen, "state": state})).raise_for_status()

    (await http.put(target, json={"user_id": who, "memory_content": "I drink coffee"})).raise_for_status()
    body = {"user_id": who, "categories": ["drinks"]}
    (await http.put(f"{target}/categories", json=body)).raise_for_status()
    for state in ("paused", "active", "archived", "active"):
        await set_state(state)
    (await http.request("DELETE", MEMORIES, json=chosen)).raise_for_status()
    (await http.post(f"{MEMORIES}/actions/restore", params={"user_id": who}, json=[id_])).raise_for_status()
    entries = (await http.get(f"{target}/history", params={"user_id": who})).json()["entries"]
    assert [(e["event"], e["version"], e["state"], e["text"], e["categories"]) for e in entries] == [
        ("MemoryAdded", 1, "active", "I drink tea", ["food"]),
        ("MemoryRevised", 2, "active", "I drink coffee", ["food"]),
        ("MemoryCategorized", 2, "active", None, ["drinks"]),
        ("MemoryPaused", 2, "paused", None, None),
        ("MemoryResumed", 2, "active", None, None),
        ("MemoryArchived", 2, "archived", None, None),
        ("MemoryUnarchived", 2, "active", None, None),
        ("MemoryDeleted", 2, "deleted", None, None),
        ("MemoryRestored", 2, "active", None, None),
    ]
    assert {entry["actor"] for entry in entries} == {"rest"}
    assert [entry["app_name"] for entry in entries] == ["notes"] + ["dashboard"] * 8
    times = [(entry["at"], entry["recorded_at"]) for entry in entries]
    assert times == sorted(times) and all(at[:10] == recorded[:10] for at, recorded in times)
