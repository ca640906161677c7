"""REST of the derived stores: what is asked for reaches who keeps them."""

from typing import Any

import httpx
import pytest
from contracts.generations import GenerationRequest
from support.running_gateway import RunningGateway

PATH = "/api/v1/projections"


async def test_projections_are_listed_and_shown_with_their_hash_on_request(http: httpx.AsyncClient) -> None:
    listed = (await http.get(PATH)).json()["projections"]
    assert [(each["name"], each["positions"], each["state_hash"]) for each in listed] == [
        ("read-models", {"0": 7}, None)
    ]
    shown = await http.get(f"{PATH}/index", params={"state_hash": "true"})
    assert (shown.json()["name"], shown.json()["state_hash"]) == ("index", "abc")
    assert (await http.get(PATH, params={"nonsense": "1"})).status_code == 422


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("rebuild", None),
        ("rebuild", {"from_scratch": True, "hold": True, "embedder": "minilm"}),
        ("pause", None),
        ("resume", {"number": 3}),
        ("cancel", {}),
        ("switch", {"number": 2, "force": True}),
        ("rollback", {"force": True}),
    ],
)
async def test_an_order_reaches_who_keeps_the_generations(
    http: httpx.AsyncClient, gateway: RunningGateway, action: Any, body: dict[str, Any] | None
) -> None:
    answer = await http.post(f"{PATH}/read-models/{action}", json=body)
    assert answer.status_code == (202 if action == "rebuild" else 200), answer.text
    assert gateway.service.orders == [("read-models", GenerationRequest(action=action, **(body or {})))]


async def test_a_generation_is_dropped_by_its_number(http: httpx.AsyncClient, gateway: RunningGateway) -> None:
    assert (await http.delete(f"{PATH}/index/generations/4")).status_code == 200
    assert gateway.service.orders == [("index", GenerationRequest(action="drop", number=4))]
    assert (await http.delete(f"{PATH}/index/generations/0")).status_code == 422


@pytest.mark.parametrize("body", [{"unknown": 1}, {"number": 0}, {"force": "maybe"}])
async def test_an_order_that_makes_no_sense_is_refused(
    http: httpx.AsyncClient, gateway: RunningGateway, body: dict[str, Any]
) -> None:
    assert (await http.post(f"{PATH}/read-models/switch", json=body)).status_code == 422
    assert gateway.service.orders == []
