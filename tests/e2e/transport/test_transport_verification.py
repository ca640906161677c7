"""Proofs over REST: starting a verification, looking at it, heads of the audit chains."""

import httpx
from support.running_gateway import RunningGateway

PATH = "/api/v1/verification"
HEAD = {"stream": "MEMLOG_EVENTS_0", "shard": 0, "incarnation": "a", "sequence": 1, "head": "0" * 64}


async def test_a_verification_is_started_with_or_without_a_fold_of_the_stores(
    http: httpx.AsyncClient, gateway: RunningGateway
) -> None:
    answer = await http.post(PATH)
    assert (answer.status_code, answer.json()["state"]) == (202, "running")
    assert (await http.post(PATH, json={"stores": False})).status_code == 202
    assert gateway.service.verified == [True, False]
    assert (await http.post(PATH, json={"store": False})).status_code == 422


async def test_what_a_verification_found_is_shown(http: httpx.AsyncClient) -> None:
    found = (await http.get(PATH)).json()
    assert (found["result"], found["checks"][0]) == ("equal", {"name": "log", "state": "ok", "done": 0, "of": 0})


async def test_heads_are_exported_and_compared(http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/v1/anchors")).json()["heads"] == []
    answer = await http.post("/api/v1/anchors/check", json={"heads": [HEAD, HEAD]})
    assert answer.json() == {"checked": 2}
    for wrong in ({**HEAD, "head": "short"}, {**HEAD, "sequence": -1}, {"stream": "x"}):
        assert (await http.post("/api/v1/anchors/check", json={"heads": [wrong]})).status_code == 422
    assert (await http.post("/api/v1/anchors/check", json={"heads": [HEAD] * 1001})).status_code == 422
