"""The routes for states, categories and filters: what they take, what they refuse, what they answer."""

import uuid
from typing import Any

import httpx
import pytest
from gateway.service import OWNER_APP, Caller, Everything, InCategories, ListQuery, OfApp, These
from support.running_gateway import RunningGateway

MEMORIES = "/api/v1/memories"
ONE, OTHER = str(uuid.uuid4()), str(uuid.uuid4())


async def create(http: httpx.AsyncClient, text: str) -> str:
    answer = await http.post(f"{MEMORIES}/", json={"text": text, "user_id": "ada"})
    return answer.raise_for_status().json()["id"]


async def test_memories_are_archived_paused_resumed_and_restored_in_openmemorys_words(
    http: httpx.AsyncClient, gateway: RunningGateway
) -> None:
    ids = [await create(http, "Likes tea"), await create(http, "Likes coffee")]
    who = {"user_id": "ada"}
    archived = await http.post(f"{MEMORIES}/actions/archive/", params=who, json=ids)
    assert (archived.status_code, archived.json()) == (200, {"message": "Successfully archived 2 memories"})
    assert gateway.service.calls[-1] == ("set_state", Caller("ada", OWNER_APP, "rest"))
    for state, word in ((None, "paused"), ("paused", "paused"), ("active", "resumed"), ("archived", "archived")):
        body = {**who, "memory_ids": ids, "all_for_app": True, "state": state}  # as OpenMemory's dashboard sends it
        answer = await http.post(f"{MEMORIES}/actions/pause", json=body)
        assert answer.json() == {"message": f"Successfully {word} 2 memories"}
        detail = (await http.get(f"{MEMORIES}/{ids[0]}", params=who)).json()
        assert detail["state"] == (state or "paused")
    await http.request("DELETE", MEMORIES, json={**who, "memory_ids": ids[:1]})
    restored = await http.post(f"{MEMORIES}/actions/restore", params=who, json=ids[:1])
    assert restored.json() == {"message": "Successfully restored 1 memories"}


@pytest.mark.parametrize(
    ("body", "selection"),
    [
        ({"memory_ids": [ONE, OTHER, ONE.upper()]}, These((ONE, OTHER))),
        ({"memory_ids": [], "category_ids": [ONE, ONE]}, InCategories((ONE,))),
        ({"app_id": ONE.upper(), "all_for_app": True}, OfApp(ONE)),
        ({"global_pause": True}, Everything()),
    ],
)
async def test_a_selection_is_by_ids_categories_app_or_everything(
    http: httpx.AsyncClient, gateway: RunningGateway, body: dict[str, Any], selection: object
) -> None:
    await http.post(f"{MEMORIES}/actions/pause", json=body)
    assert gateway.service.queries == [selection]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"memory_ids": []},
        {"category_ids": [], "state": "active"},
        {"all_for_app": True},
        {"global_pause": True, "app_id": ONE},
        {"memory_ids": [ONE], "category_ids": [OTHER]},
    ],
)
async def test_an_empty_or_ambiguous_selection_is_400_and_changes_nothing(
    http: httpx.AsyncClient, gateway: RunningGateway, body: dict[str, Any]
) -> None:
    answer = await http.post(f"{MEMORIES}/actions/pause", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert gateway.service.calls == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("actions/pause", {"memory_ids": ["x"]}),
        ("actions/pause", {"memory_ids": [ONE], "state": "deleted"}),
        ("actions/pause", {"global_pause": "yes"}),
        ("actions/pause", {"memory_ids": [str(uuid.uuid4()) for _ in range(501)]}),
        ("actions/archive", []),
        ("actions/archive", {"memory_ids": [ONE]}),
        ("actions/restore", [ONE, "*"]),
        ("actions/restore", [str(uuid.uuid4()) for _ in range(501)]),
        ("categories", {"name": " "}),
        ("categories", {"name": "chess", "description": "x" * 2001}),
        ("filter", {"size": 101}),
        ("filter", {"page": 0}),
        ("filter", {"app_ids": ["x"]}),
        ("filter", {"unknown": 1}),
    ],
)
async def test_what_is_malformed_is_422_and_reaches_nothing(
    http: httpx.AsyncClient, gateway: RunningGateway, path: str, body: object
) -> None:
    answer = await http.post(f"{MEMORIES}/{path}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert gateway.service.calls == []


@pytest.mark.parametrize("path", ["actions/archive", "actions/restore"])
async def test_a_change_of_state_that_is_not_in_force_yet_is_202_with_its_operation(
    http: httpx.AsyncClient, gateway: RunningGateway, path: str
) -> None:
    gateway.service.unfinished = True
    answer = await http.post(f"{MEMORIES}/{path}", json=[ONE] if path.endswith("restore") else [await create_id(http)])
    assert (answer.status_code, answer.json()["state"]) == (202, "stored")
    assert answer.headers["Location"] == f"/api/v1/operations/{answer.json()['operation_id']}"


async def create_id(http: httpx.AsyncClient) -> str:
    await http.post(f"{MEMORIES}/", json={"text": "Likes tea"})
    return (await http.get(MEMORIES)).json()["items"][0]["id"]


async def test_a_filter_becomes_a_query_and_what_is_empty_restricts_nothing(
    http: httpx.AsyncClient, gateway: RunningGateway
) -> None:
    bare: dict[str, Any] = {
        "user_id": "ada",
        "app_ids": [],
        "category_ids": [],
        "search_query": "",
        "sort_column": None,
    }
    full: dict[str, Any] = {
        "page": 2, "size": 100, "search_query": "tea", "app_ids": [ONE], "category_ids": [OTHER],
        "sort_column": "app_name", "sort_direction": "asc", "from_date": 1, "to_date": 2, "show_archived": True,
    }  # fmt: skip
    for body in (bare, full):
        assert (await http.post(f"{MEMORIES}/filter/", json=body)).status_code == 200
    assert gateway.service.queries == [
        ListQuery(states=("active", "paused"), size=10),
        ListQuery(
            app_ids=(ONE,), from_date=1, to_date=2, category_ids=(OTHER,), search="tea",
            states=("active", "paused", "archived"), sort_column="app_name", sort_direction="asc", page=2, size=100,
        ),
    ]  # fmt: skip


@pytest.mark.parametrize("body", [{"sort_column": "text; drop"}, {"sort_direction": "sideways"}])
async def test_a_column_or_direction_that_is_not_there_is_400_and_named(
    http: httpx.AsyncClient, body: dict[str, str]
) -> None:
    answer = await http.post(f"{MEMORIES}/filter", json=body)
    [(field, value)] = body.items()
    assert answer.status_code == 400
    assert field in answer.json()["detail"] and value in answer.json()["detail"]


async def test_categories_are_defined_listed_and_removed(http: httpx.AsyncClient) -> None:
    made = (await http.post(f"{MEMORIES}/categories", json={"name": "chess", "description": "Openings"})).json()
    assert set(made) == {"id", "name", "description", "created_at", "updated_at", "own", "memories"}
    assert (await http.get(f"{MEMORIES}/categories/")).json() == {"categories": [made], "total": 1}
    removed = await http.delete(f"{MEMORIES}/categories/{made['id']}")
    assert removed.json() == {"message": "Successfully removed the category 'chess'"}
    assert (await http.delete(f"{MEMORIES}/categories/{made['id']}")).status_code == 404
    assert (await http.delete(f"{MEMORIES}/categories/x")).status_code == 422


async def test_a_person_files_a_memory_under_categories(http: httpx.AsyncClient, gateway: RunningGateway) -> None:
    memory_id = await create(http, "Likes tea")
    body = {"user_id": "ada", "categories": ["drinks", "preferences", "drinks"]}
    answer = await http.put(f"{MEMORIES}/{memory_id}/categories", json=body)
    assert (answer.status_code, answer.json()["categories"]) == (200, ["drinks", "preferences"])
    gateway.service.unfinished = True
    answer = await http.put(f"{MEMORIES}/{memory_id}/categories", json={"user_id": "ada", "categories": []})
    assert (answer.status_code, answer.json()["state"]) == (202, "accepted")
