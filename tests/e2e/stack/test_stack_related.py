"""Related memories, filters, and the forms in which OpenMemory's clients asked."""

import uuid
from typing import Any

import httpx
import pytest
from support.stack import Stack


def user(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


async def add(http: httpx.AsyncClient, who: str, text: str, *categories: str) -> str:
    body = {"user_id": who, "text": text, "infer": False, "categories": list(categories), "app": "openmemory"}
    return (await http.post("/api/v1/memories/", json=body)).raise_for_status().json()["id"]


async def related(http: httpx.AsyncClient, who: str, id_: str, **params: Any) -> dict[str, Any]:
    answer = await http.get(f"/api/v1/memories/{id_}/related", params={"user_id": who, **params})
    return answer.raise_for_status().json()


async def test_related_shares_categories_first_and_then_is_similar_in_meaning(stack: Stack) -> None:
    who = user("related")
    async with stack.http() as http:
        tea = await add(http, who, "I drink green tea every morning", "food", "habits")
        both = await add(http, who, "Lunch is at noon", "Habits", "FOOD")
        one = await add(http, who, "The kitchen is blue", "food")
        similar = await add(http, who, "Green tea in the morning keeps me awake", "drinks")
        far = await add(http, who, "The bicycle has a flat tyre", "sports")
        page = await related(http, who, tea)
        assert [item["id"] for item in page["items"]] == [both, one, similar]
        assert (page["total"], page["page"], page["size"], page["pages"]) == (3, 1, 5, 1)
        second = await related(http, who, tea, page=2, size=2)
        assert ([item["id"] for item in second["items"]], second["total"]) == ([similar], 3)
        pause = {"user_id": who, "memory_ids": [both], "all_for_app": True, "state": "paused"}
        (await http.post("/api/v1/memories/actions/pause", json=pause)).raise_for_status()
        assert [item["id"] for item in (await related(http, who, tea))["items"]] == [one, similar]
        shown = await related(http, who, tea, include_inactive=True)
        assert [item["id"] for item in shown["items"]] == [both, one, similar]
        assert far not in [item["id"] for item in shown["items"]]
        stranger = await http.get(f"/api/v1/memories/{tea}/related", params={"user_id": user("stranger")})
        assert stranger.status_code == 404


async def test_the_dashboards_requests_work_unchanged(stack: Stack) -> None:
    who = user("dashboard")
    async with stack.http() as http:
        created = await http.post(
            "/api/v1/memories/", json={"user_id": who, "text": "I like Berlin", "infer": False, "app": "openmemory"}
        )
        memory = created.raise_for_status().json()
        assert {"id", "content", "created_at", "state", "app_id", "app_name", "categories", "metadata_"} <= set(memory)
        body = {"memory_id": memory["id"], "memory_content": "I love Berlin", "user_id": who}
        revised = (await http.put(f"/api/v1/memories/{memory['id']}", json=body)).raise_for_status().json()
        assert revised["content"] == "I love Berlin"
        wrong = await http.put(f"/api/v1/memories/{memory['id']}", json={**body, "memory_id": str(uuid.uuid4())})
        assert (wrong.status_code, wrong.json()["code"]) == (400, "bad_request")
        state = {"memory_ids": [memory["id"]], "all_for_app": True, "state": "archived", "user_id": who}
        assert (await http.post("/api/v1/memories/actions/pause", json=state)).status_code == 200
        filters: dict[str, Any] = {
            "user_id": who, "page": 1, "size": 10, "search_query": "", "app_ids": [], "category_ids": [],
            "sort_column": "created_at", "sort_direction": "desc",
        }  # fmt: skip
        for shown, total in ((False, 0), (True, 1)):
            page = (await http.post("/api/v1/memories/filter", json={**filters, "show_archived": shown})).json()
            assert (page["total"], len(page["items"])) == (total, total)
        deleted = await http.request("DELETE", "/api/v1/memories/", json={"memory_ids": [memory["id"]], "user_id": who})
        assert deleted.json() == {"message": "Successfully deleted 1 memories"}


@pytest.mark.parametrize("column", ["memory", "app_name", "created_at"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
async def test_totals_agree_with_rows_at_every_page_in_any_order(stack: Stack, column: str, direction: str) -> None:
    who = f"paging-{column}"
    async with stack.http() as http:
        texts = ["banana", "Apple", "cherry 100%", "date_1", "elder", "cherry 100 percent", "Fig"]
        for text in texts:
            await add(http, who, text, "fruit" if "cherry" in text else "other")
        ids = {
            c["name"]: c["id"]
            for c in (await http.get(f"/api/v1/memories/categories?user_id={who}")).json()["categories"]
        }
        for asked, wanted in (
            ({}, texts),
            ({"search_query": "CHERRY"}, ["cherry 100%", "cherry 100 percent"]),
            ({"search_query": "100%"}, ["cherry 100%"]),
            ({"category_ids": [ids["fruit"]]}, ["cherry 100%", "cherry 100 percent"]),
            ({"category_ids": [str(uuid.uuid4())]}, []),
            ({"category_ids": [ids["fruit"]], "search_query": "percent"}, ["cherry 100 percent"]),
            ({"from_date": 4_000_000_000}, []),
        ):
            found: list[str] = []
            for page in range(1, 6):
                body = {"user_id": who, "page": page, "size": 2, "sort_column": column, "sort_direction": direction}
                answer = (await http.post("/api/v1/memories/filter/", json={**body, **asked})).raise_for_status().json()
                assert (answer["total"], answer["pages"]) == (len(wanted), -(-len(wanted) // 2))
                found += [item["content"] for item in answer["items"]]
            expected = sorted(wanted, key=str.lower, reverse=direction == "desc") if column == "memory" else found
            assert found == expected and sorted(found) == sorted(wanted)


@pytest.mark.parametrize(
    ("given", "status"),
    [({"sort_column": "nothing"}, 400), ({"sort_direction": "up"}, 400), ({"size": 101}, 422), ({"page": 0}, 422)],
)
async def test_a_bad_filter_is_refused_by_name(stack: Stack, given: dict[str, Any], status: int) -> None:
    async with stack.http() as http:
        answer = await http.post("/api/v1/memories/filter", json=given)
        assert answer.status_code == status
        assert next(iter(given)) in answer.json()["detail"]
