"""What a user's memories were at a position, as a plain fold of the log says, and as the routes say."""

import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import httpx

MEMORIES = "/api/v1/memories"
Json = dict[str, Any]


def user(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


# -- what the log says, in the plainest form ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Then:
    """A memory at some position."""

    text: str
    state: str
    categories: tuple[str, ...]
    metadata: str
    app: str
    version: int
    updated_at: int


Past = dict[str, Then]
_STATES = {
    "MemoryPaused": "paused",
    "MemoryArchived": "archived",
    "MemoryDeleted": "deleted",
    "MemoryResumed": "active",
    "MemoryUnarchived": "active",
    "MemoryRestored": "active",
}


def after(past: Past, event: Json) -> Past:
    data, kind = event["data"], event["type"]
    if event["aggregate"]["kind"] != "memory":
        return past
    id_: str = event["aggregate"]["id"]
    at = int(datetime.fromisoformat(event["occurred_at"]).timestamp())
    if kind == "MemoryAdded":
        categories, metadata = tuple(data["categories"]), str(data["metadata"])
        then = Then(data["text"], "active", categories, metadata, event["app_name"], version=1, updated_at=at)
    elif kind == "MemoryRevised":
        then = replace(past[id_], text=data["text"], categories=tuple(data["categories"]), version=data["version"])
        then = replace(then, updated_at=at)
    elif kind == "MemoryCategorized":
        then = replace(past[id_], categories=tuple(data["categories"]))
    else:
        then = replace(past[id_], state=_STATES[kind], updated_at=at)
    return {**past, id_: then}


async def log_of(http: httpx.AsyncClient, who: str) -> list[Json]:
    answer = await http.get("/api/v1/events", params={"user_id": who, "limit": 500})
    return answer.raise_for_status().json()["events"]


# -- what Memlog says ------------------------------------------------------------------------------------------------


async def listed(http: httpx.AsyncClient, who: str, as_of: str, **where: Any) -> Past:
    page = (await http.get(MEMORIES, params={"user_id": who, "size": 100, "as_of": as_of, **where})).json()
    assert page["total"] == len(page["items"])
    return {item["id"]: then(item, item["content"], 0, 0) for item in page["items"]}


def then(item: Json, text: str, version: int, updated_at: int) -> Then:
    categories, metadata = tuple(item["categories"]), str(item["metadata_"])
    return Then(text, item["state"], categories, metadata, item["app_name"], version, updated_at)


async def one(http: httpx.AsyncClient, who: str, id_: str, as_of: str) -> Then | None:
    answer = await http.get(f"{MEMORIES}/{id_}", params={"user_id": who, "as_of": as_of})
    if answer.status_code == 404:
        return None
    item = answer.raise_for_status().json()
    return then(item, item["text"], item["version"], item["updated_at"])


async def searched(http: httpx.AsyncClient, who: str, as_of: str, **where: Any) -> dict[str, str]:
    """Text by id; every search finds all that it may."""
    params = {"user_id": who, "query": "what do I drink", "limit": 100, "as_of": as_of, **where}
    found = (await http.get("/api/v1/search", params=params)).raise_for_status().json()["results"]
    assert len({item["id"] for item in found}) == len(found)
    return {item["id"]: item["memory"] for item in found}


async def differing(http: httpx.AsyncClient, who: str, **moments: str) -> dict[str, Json]:
    """What differs, by id, page by page and kind by kind."""
    asked = {"user_id": who, "size": 2, **moments}
    found: list[Json] = []
    while True:
        params = {**asked, "page": len(found) // 2 + 1}
        page = (await http.get(f"{MEMORIES}/changes", params=params)).raise_for_status().json()
        found += page["items"]
        if len(found) == page["total"]:
            break
    for kind, number in page["counts"].items():
        answer = await http.get(f"{MEMORIES}/changes", params={**asked, "size": 100, "kind": kind})
        assert [item["id"] for item in answer.json()["items"]] == [i["id"] for i in found if i["kind"] == kind]
        assert answer.json()["total"] == number
    return {item["id"]: item for item in found}


def differences(before: Past, after: Past) -> dict[str, str]:
    kinds: dict[str, str] = {}
    for id_ in {**before, **after}:
        match before.get(id_), after.get(id_):
            case None, _:
                kinds[id_] = "added"
            case _, None:
                kinds[id_] = "deleted"
            case Then() as then, Then() as now if then.text != now.text:
                kinds[id_] = "revised"
            case Then() as then, Then() as now if then.state != now.state:
                kinds[id_] = "state"
            case Then() as then, Then() as now if {*then.categories} != {*now.categories}:
                kinds[id_] = "categories"
            case _:
                pass
    return kinds
