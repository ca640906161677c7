"""Each service starts alone from environment settings; two of one share the work or stand by, and take over."""

import asyncio
import time
import uuid
from pathlib import Path

import httpx
import pytest
from support.fleet import Fleet, running_fleet
from support.stack import eventually

_TAKE_OVER = 10.0


async def _round_trip(fleet: Fleet, who: str) -> bool:
    """A write through one gateway is found through another."""
    text = f"probe {uuid.uuid4()}"
    async with httpx.AsyncClient(timeout=20.0) as http:
        body = {"user_id": who, "text": text}
        answer = await http.post(f"{fleet.url(0)}/api/v1/memories", json=body)
        if answer.status_code != 200:
            return False
        found = await http.get(f"{fleet.url(-1)}/api/v1/search", params={"user_id": who, "query": text, "limit": 1})
        return found.status_code == 200 and found.json()["results"][0]["memory"] == text


async def _owner(fleet: Fleet, module: str, who: str) -> str:
    """Which of two instances works (the other stands by): it has used more of the processor for a few writes."""
    names = [f"{module}-0", f"{module}-1"]

    def used() -> dict[str, float]:
        return {name: sum(fleet.process(name).cpu_times()[:2]) for name in names}

    before = used()

    async def told_apart() -> str | None:
        assert await _round_trip(fleet, who)
        spent = {name: after - before[name] for name, after in used().items()}
        busy, idle = max(spent, key=lambda n: spent[n]), min(spent, key=lambda n: spent[n])
        return busy if spent[busy] - spent[idle] > 0.05 else None

    return await eventually(told_apart, timeout=30.0)


@pytest.mark.guarantee("G3")
@pytest.mark.timeout(400)
async def test_a_standby_takes_over_and_an_owner_that_slept_past_its_lease_does_no_harm_when_it_wakes(
    tmp_path: Path,
) -> None:
    copies = {"memory_writer": 2, "audit": 2, "gateway": 2}
    async with running_fleet(tmp_path, copies, MEMLOG_LEASE_TTL="4") as fleet:
        who = "zombie"
        assert await _round_trip(fleet, who)
        async with httpx.AsyncClient(base_url=fleet.url(), timeout=30.0) as http:
            created = (await http.post("/api/v1/memories", json={"user_id": who, "text": "version 0"})).json()
            doomed = (await http.post("/api/v1/memories", json={"user_id": who, "text": "to be deleted"})).json()["id"]
            path = f"/api/v1/memories/{created['id']}"
            expected = ["version 0"]
            for turn in range(2):
                for module in ("memory_writer", "audit"):
                    sleeper = fleet.process(await _owner(fleet, module, who))
                    sleeper.suspend()
                    began = time.monotonic()
                    try:
                        # Commands that arrive while the owner sleeps: some are already in its hands.
                        texts = [f"{module} {turn} {n}" for n in range(5)]
                        answers = await asyncio.gather(
                            *(http.put(path, json={"user_id": who, "memory_content": text}) for text in texts)
                        )
                        assert {answer.status_code for answer in answers} <= {200, 202}, [a.text for a in answers]
                        await eventually(lambda: _round_trip(fleet, who), timeout=30.0)
                        assert time.monotonic() - began < _TAKE_OVER + 10.0
                    finally:
                        sleeper.resume()
                    expected += texts
                    assert await _round_trip(fleet, who)
            gone = await http.request("DELETE", "/api/v1/memories", json={"user_id": who, "memory_ids": [doomed]})
            assert gone.status_code == 200
            assert await _round_trip(fleet, who)
            assert (await http.get(f"/api/v1/memories/{doomed}", params={"user_id": who})).status_code == 404
            entries = (await http.get(f"{path}/history", params={"user_id": who})).json()["entries"]
            entries = [entry for entry in entries if entry["event"] != "MemoryCategorized"]
            now = (await http.get(path, params={"user_id": who})).json()
        assert [entry["version"] for entry in entries] == list(range(1, len(expected) + 1)), "no inversion, no gap"
        assert sorted(entry["text"] for entry in entries) == sorted(expected), "each revision once"
        assert now["text"] == entries[-1]["text"], "and what the log says last is what is read"

        began = time.monotonic()
        fleet.process(await _owner(fleet, "memory_writer", who)).kill()
        await eventually(lambda: _round_trip(fleet, who), timeout=30.0)
        statuses = await fleet.stop()
        assert {name: code for name, code in statuses.items() if code not in (0, -9)} == {}
        assert time.monotonic() - began < 60


async def test_a_service_that_misses_a_setting_says_which_and_ends_with_78(tmp_path: Path) -> None:
    async with running_fleet(tmp_path, {}) as fleet:
        await fleet.start("indexer", 7, MEMLOG_INDEX_PATH="", MEMLOG_MASTER_KEY_FILE=str(tmp_path / "no.key"))
        assert await fleet.instances["indexer-7"].wait() == 78
        assert "master key" in (fleet.logs / "indexer-7.log").read_text()
        del fleet.instances["indexer-7"]
        await fleet.start("gateway", 8, MEMLOG_HOST="0.0.0.0")
        assert await fleet.instances["gateway-8"].wait() == 78
        assert "without authentication" in (fleet.logs / "gateway-8.log").read_text()
        fleet.ports.pop()
        await fleet.start("audit", 9, MEMLOG_NATS_URL="nats://127.0.0.1:1")
        assert await fleet.instances["audit-9"].wait() == 1
        assert "start it, or set MEMLOG_NATS_URL" in (fleet.logs / "audit-9.log").read_text()
