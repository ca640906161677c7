import uuid
from typing import Any

import httpx
import pytest
from contracts.errors import Unavailable
from gateway.service import OWNER_APP, Caller
from support.running_gateway import RunningGateway

OWNER = Caller("default", OWNER_APP, "rest")


async def create(http: httpx.AsyncClient, text: str, **more: Any) -> dict[str, Any]:
    answer = await http.post("/api/v1/memories/", json={"text": text, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_creating_answers_with_the_memory_in_openmemorys_shape_and_what_became_of_it(
    http: httpx.AsyncClient, gateway: RunningGateway
) -> None:
    made = await create(http, "Likes tea", user_id="ada", metadata={"source": ["a", 1, None]}, app="cursor")
    assert set(made) == {
        "id", "content", "created_at", "state", "app_id", "app_name", "categories", "metadata_", "event",
    }  # fmt: skip
    assert (made["content"], made["app_name"], made["metadata_"]) == ("Likes tea", "cursor", {"source": ["a", 1, None]})
    assert gateway.service.calls[0] == ("add", Caller("ada", "cursor", "rest"))


async def test_creating_names_openmemory_and_the_default_user_when_nothing_else_is_said(
    http: httpx.AsyncClient, gateway: RunningGateway
) -> None:
    await create(http, "Likes tea")
    assert gateway.service.calls[0] == ("add", Caller("default", "openmemory", "rest"))


async def test_creating_the_same_text_again_answers_with_the_memory_that_exists(http: httpx.AsyncClient) -> None:
    first = await create(http, "Likes tea")
    assert first["event"] == "ADD"
    assert await create(http, "Likes tea") == {**first, "event": "NONE"}


async def test_a_write_that_is_not_done_in_time_is_202_with_its_operation(
    http: httpx.AsyncClient, gateway: RunningGateway
) -> None:
    gateway.service.unfinished = True
    answer = await http.post("/api/v1/memories/", json={"text": "Likes tea", "wait": "accepted"})
    assert answer.status_code == 202
    assert answer.json()["state"] == "accepted"
    operation = await http.get(answer.headers["Location"])
    assert operation.json()["operation_id"] == answer.json()["operation_id"]


async def test_the_idempotency_key_comes_from_the_header_or_the_body_but_not_two_different_ones(
    http: httpx.AsyncClient, gateway: RunningGateway
) -> None:
    await http.post("/api/v1/memories/", json={"text": "a"}, headers={"Idempotency-Key": "k1"})
    await http.post("/api/v1/memories/", json={"text": "b", "idempotency_key": "k2"})
    both = await http.post(
        "/api/v1/memories/", json={"text": "c", "idempotency_key": "k2"}, headers={"Idempotency-Key": "k1"}
    )
    assert gateway.service.keys == ["k1", "k2"]
    assert (both.status_code, both.json()["code"]) == (422, "invalid_input")


@pytest.mark.parametrize("slash", ["", "/"])
async def test_every_route_answers_with_and_without_a_trailing_slash(http: httpx.AsyncClient, slash: str) -> None:
    made = await http.post(f"/api/v1/memories{slash}", json={"text": "Likes tea"})
    memory_id, app_id = made.json()["id"], made.json()["app_id"]
    get = [
        "/api/v1/memories", f"/api/v1/memories/{memory_id}", "/api/v1/apps", "/api/v1/stats", "/api/v1/health",
        f"/api/v1/operations/{uuid.uuid4()}", "/livez", "/readyz", "/docs", "/openapi.json",
    ]  # fmt: skip
    for path in get:
        assert (await http.get(f"{path}{slash}")).status_code == 200, path
    assert (await http.get(f"/api/v1/search{slash}", params={"query": "tea"})).status_code == 200
    change = {"memory_content": "Likes green tea"}
    assert (await http.put(f"/api/v1/memories/{memory_id}{slash}", json=change)).status_code == 200
    assert (await http.put(f"/api/v1/apps/{app_id}{slash}", params={"is_active": "false"})).status_code == 200
    gone = await http.request("DELETE", f"/api/v1/memories{slash}", json={"memory_ids": [memory_id]})
    assert gone.json() == {"message": "Successfully deleted 1 memories"}


async def test_the_list_is_a_page_whose_totals_agree_with_its_rows(http: httpx.AsyncClient) -> None:
    for number in range(3):
        await create(http, f"Memory {number}")
    answer = await http.get("/api/v1/memories/", params={"size": 2, "page": 2, "search_query": "memory"})
    page = answer.json()
    assert (page["total"], page["page"], page["size"], page["pages"], len(page["items"])) == (3, 2, 2, 2, 1)


async def test_one_memory_is_given_with_its_text(http: httpx.AsyncClient) -> None:
    made = await create(http, "Likes tea")
    got = (await http.get(f"/api/v1/memories/{made['id']}")).json()
    assert (got["text"], got["state"], got["version"]) == ("Likes tea", "active", 1)


async def test_an_update_answers_with_the_revised_memory(http: httpx.AsyncClient) -> None:
    made = await create(http, "Likes tea")
    answer = await http.put(f"/api/v1/memories/{made['id']}", json={"memory_content": "Likes coffee"})
    assert (answer.json()["id"], answer.json()["content"]) == (made["id"], "Likes coffee")


async def test_another_users_memory_looks_like_an_unknown_one(http: httpx.AsyncClient) -> None:
    made = await create(http, "Likes tea", user_id="ada")
    theirs = await http.get(f"/api/v1/memories/{made['id']}", params={"user_id": "bob"})
    assert (theirs.status_code, theirs.json()["code"]) == (404, "not_found")


async def test_deleting_is_all_or_nothing_and_names_the_unknown(http: httpx.AsyncClient) -> None:
    made, unknown = await create(http, "Likes tea"), str(uuid.uuid4())
    answer = await http.request("DELETE", "/api/v1/memories/", json={"memory_ids": [made["id"], unknown]})
    assert answer.status_code == 404
    assert unknown in answer.json()["detail"]
    assert (await http.get(f"/api/v1/memories/{made['id']}")).status_code == 200


async def test_a_paused_app_is_refused_with_the_reason(http: httpx.AsyncClient, gateway: RunningGateway) -> None:
    made = await create(http, "Likes tea", app="cursor")
    paused = await http.put(f"/api/v1/apps/{made['app_id']}", params={"is_active": False})
    assert paused.json()["is_active"] is False
    answer = await http.post("/api/v1/memories/", json={"text": "More", "app": "cursor"})
    assert (answer.status_code, answer.json()["code"]) == (403, "app_paused")


async def test_search_is_the_owners_own_unless_an_app_is_named(
    http: httpx.AsyncClient, gateway: RunningGateway
) -> None:
    await create(http, "Likes tea")
    found = await http.get("/api/v1/search", params={"query": "tea", "limit": 3, "min_score": 0.1, "categories": "a,b"})
    assert [row["memory"] for row in found.json()["results"]] == ["Likes tea"]
    await http.get("/api/v1/search", params={"query": "tea", "app": "cursor"})
    assert [caller.app for method, caller in gateway.service.calls if method == "search"] == [OWNER_APP, "cursor"]


async def test_readiness_names_the_parts_that_are_down_and_liveness_does_not_ask_them(
    http: httpx.AsyncClient, gateway: RunningGateway
) -> None:
    assert (await http.get("/readyz")).json() == {"status": "ready"}
    gateway.service.down = {"postgres": "connection refused"}
    answer = await http.get("/readyz")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json()["detail"] == "postgres: connection refused"
    assert (await http.get("/livez")).status_code == 200
    assert (await http.get("/api/v1/health")).json()["status"] == "degraded"


async def test_a_part_that_does_not_answer_is_503_with_when_to_try_again(
    http: httpx.AsyncClient, gateway: RunningGateway
) -> None:
    gateway.service.fail = Unavailable("the writer does not answer")
    answer = await http.post("/api/v1/memories/", json={"text": "Likes tea"})
    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "unavailable", "1")


async def test_an_unforeseen_failure_tells_nothing_of_the_inside(
    http: httpx.AsyncClient, gateway: RunningGateway
) -> None:
    gateway.service.fail = KeyError("secret internals")
    answer = await http.get("/api/v1/stats")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


async def test_the_documentation_says_that_errors_are_problems(http: httpx.AsyncClient) -> None:
    schema = (await http.get("/openapi.json")).json()
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            refused = operation["responses"]["4XX"]["content"]
            assert set(refused) == {"application/problem+json"}, path
            assert refused["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}, path
            assert "422" not in operation["responses"], (path, method)


async def test_each_answer_carries_a_request_id_the_callers_own_if_it_is_one(http: httpx.AsyncClient) -> None:
    assert (await http.get("/livez", headers={"X-Request-ID": "abc-1"})).headers["x-request-id"] == "abc-1"
    assert len((await http.get("/livez", headers={"X-Request-ID": "a b"})).headers["x-request-id"]) == 32
