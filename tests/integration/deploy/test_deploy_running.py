"""Services started from the command, environment and user that their images and compose.yaml declare, work together."""

import httpx
import psutil
import pytest
from support.composed import SERVICES, Composed
from support.stack import eventually


def client(running: Composed, token: str | None = None) -> httpx.AsyncClient:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=running.url, headers=headers, timeout=30.0)


async def test_a_memory_is_added_and_found_with_the_admin_token(running: Composed) -> None:
    async with client(running, running.admin_token) as http:
        added = await http.post("/api/v1/memories", json={"text": "The kettle is descaled on Fridays", "infer": False})
        assert added.status_code == 200, added.text
        found = await http.get("/api/v1/search", params={"query": "kettle"})
        assert [each["memory"] for each in found.json()["results"]] == ["The kettle is descaled on Fridays"]
        id_ = added.json()["id"]

        async def categorized() -> bool:
            return bool((await http.get(f"/api/v1/memories/{id_}")).json()["categories"])

        await eventually(categorized, timeout=60.0)


async def test_nobody_is_let_in_without_a_token(running: Composed) -> None:
    async with client(running) as http:
        assert (await http.get("/api/v1/memories")).status_code == 401
        assert (await http.get("/readyz")).status_code == 401
        assert (await http.get("/livez")).status_code == 200


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_runs_as_its_images_user_if_anybody_can_become_one(running: Composed, service: str) -> None:
    process = psutil.Process(running.processes[service].pid)
    declared = running.images[service].user
    assert declared.split(":")[0] != "0"
    if psutil.Process().uids().real == 0:
        assert f"{process.uids().real}:{process.gids().real}" == declared


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_writes_nowhere_but_into_its_volume(running: Composed, service: str) -> None:
    """What it keeps open for writing; what it may write at all, its user says."""
    process = psutil.Process(running.processes[service].pid)
    state, log = running.folder / "state" / service, running.folder / "logs"
    written = [file.path for file in process.open_files() if file.mode != "r"]
    assert [path for path in written if not path.startswith((str(state), str(log)))] == []
    if not running.images[service].volumes:
        assert [*state.rglob("*")] == []


async def test_a_service_never_asks_for_what_it_may_not(running: Composed) -> None:
    async with client(running, running.admin_token) as http:
        for read in ("health", "projections", "events", "verification", "anchors", "dead-letters", "apps", "stats"):
            answer = await http.get(f"/api/v1/{read}")
            assert answer.status_code in (200, 404), (read, answer.text)
    assert "Violation" not in (running.folder / "nats.log").read_text()
