"""The routes of access rules: what they take, what they refuse, what they answer."""

import uuid
from typing import Any

import httpx
import pytest
from gateway.service import OWNER_APP, Caller
from support.running_gateway import RunningGateway

RULES = "/api/v1/access-rules"
APP, MEMORY = str(uuid.uuid4()), str(uuid.uuid4())
ADA = Caller("ada", OWNER_APP, "rest")


async def test_a_rule_is_set_listed_and_removed(http: httpx.AsyncClient, gateway: RunningGateway) -> None:
    body = {"user_id": "ada", "app_id": APP.upper(), "effect": "deny", "category": "health"}
    rule = (await http.put(RULES, json=body)).raise_for_status().json()
    assert gateway.service.asked == [(ADA, APP, "deny", None, "health")]
    assert rule == {
        "id": rule["id"],
        "app_id": APP,
        "app_name": "cursor",
        "effect": "deny",
        "memory_id": None,
        "category": "health",
        "updated_at": 1,
    }
    for path in (RULES, f"{RULES}/"):
        listed = (await http.get(path, params={"user_id": "ada", "app_id": APP, "size": 10})).json()
        assert listed == {"items": [rule], "total": 1, "page": 1, "size": 10, "pages": 1}
    assert (await http.get(RULES, params={"app_id": str(uuid.uuid4())})).json()["total"] == 0
    removed = await http.delete(f"{RULES}/{rule['id']}", params={"user_id": "ada"})
    assert removed.json() == {"message": "Successfully removed the access rule"}
    again = await http.delete(f"{RULES}/{rule['id']}")
    assert (again.status_code, again.json()["code"]) == (404, "not_found")


async def test_the_default_is_read_and_changed(http: httpx.AsyncClient) -> None:
    assert (await http.get(f"{RULES}/default")).json() == {"policy": "allow"}
    assert (await http.put(f"{RULES}/default", json={"policy": "own"})).json() == {"policy": "own"}
    assert (await http.get(f"{RULES}/default/")).json() == {"policy": "own"}


async def test_a_preview_is_a_page_of_what_one_app_may_read(http: httpx.AsyncClient, gateway: RunningGateway) -> None:
    params: dict[str, Any] = {"user_id": "ada", "app_id": APP, "page": 2, "size": 5}
    answer = await http.get(f"{RULES}/preview", params=params)
    assert answer.json() == {"items": [], "total": 0, "page": 2, "size": 5, "pages": 0}
    assert gateway.service.asked == [(ADA, APP, 2, 5)]


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("PUT", "", {"effect": "deny"}, "app_id: is missing"),
        ("PUT", "", {"app_id": "nonsense", "effect": "deny"}, "not a valid app id"),
        ("PUT", "", {"app_id": APP, "effect": "perhaps"}, "effect: "),
        ("PUT", "", {"app_id": APP, "effect": "deny", "memory_id": MEMORY, "category": "health"}, "name one of them"),
        ("PUT", "", {"app_id": APP, "effect": "deny", "category": " "}, "category: must have 1 to 256"),
        ("PUT", "", {"app_id": APP, "effect": "deny", "nonsense": 1}, "nonsense: is unknown here"),
        ("PUT", "/default", {"policy": "deny"}, "policy: "),
        ("GET", "/preview", None, "app_id: is missing"),
        ("GET", "?size=101", None, "size: "),
        ("DELETE", "/nonsense", None, "not a valid rule id"),
    ],
)
async def test_what_is_no_rule_is_refused(
    http: httpx.AsyncClient, gateway: RunningGateway, method: str, path: str, body: Any, words: str
) -> None:
    answer = await http.request(method, RULES + path, json=body)
    assert answer.status_code == 422, answer.text
    assert words in answer.text
    assert gateway.service.asked == []
