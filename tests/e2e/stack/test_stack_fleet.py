"""Each service starts alone from environment settings; two of one share the work or stand by, and take over."""

import asyncio
import os
import signal
import uuid
from collections import Counter
from pathlib import Path

import httpx
import pytest
from contracts.codec import read_envelope
from contracts.commands import CategorizeMemory
from contracts.events import MemoryCategorized
from contracts.streams import LEASE_BUCKET, commands, events
from contracts.subjects import ROOT
from support.fleet import MODULES, Fleet, running_fleet
from support.servers import Log, opened
from support.stack import eventually


async def _round_trip(fleet: Fleet, who: str) -> bool:
    """A write through one gateway is found through another."""
    text = f"probe {uuid.uuid4()}"
    async with httpx.AsyncClient(timeout=60.0) as http:
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

    return await eventually(told_apart)


@pytest.mark.guarantee("G3")
async def test_a_standby_takes_over_and_an_owner_that_slept_past_its_lease_does_no_harm_when_it_wakes(
    tmp_path: Path,
) -> None:
    copies = {"memory_writer": 2, "audit": 2, "gateway": 2}
    async with running_fleet(tmp_path, copies, MEMLOG_LEASE_TTL="4") as fleet:
        who = "zombie"
        assert await _round_trip(fleet, who)
        async with httpx.AsyncClient(base_url=fleet.url(), timeout=60.0) as http:
            created = (await http.post("/api/v1/memories", json={"user_id": who, "text": "version 0"})).json()
            doomed = (await http.post("/api/v1/memories", json={"user_id": who, "text": "to be deleted"})).json()["id"]
            path = f"/api/v1/memories/{created['id']}"
            expected = ["version 0"]
            for turn in range(2):
                for module in ("memory_writer", "audit"):
                    sleeper = fleet.process(await _owner(fleet, module, who))
                    sleeper.suspend()
                    try:
                        # Commands that arrive while the owner sleeps: some are already in its hands.
                        texts = [f"{module} {turn} {n}" for n in range(5)]
                        answers = await asyncio.gather(
                            *(http.put(path, json={"user_id": who, "memory_content": text}) for text in texts)
                        )
                        assert {answer.status_code for answer in answers} <= {200, 202}, [a.text for a in answers]
                        await eventually(lambda: _round_trip(fleet, who))
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

        fleet.process(await _owner(fleet, "memory_writer", who)).kill()
        await eventually(lambda: _round_trip(fleet, who))
        statuses = await fleet.stop()
        assert {name: code for name, code in statuses.items() if code not in (0, -9)} == {}


async def _lease_holder(log: Log, lease: str) -> int:
    """The process that owns a lease, by what it wrote there."""
    entry = await (await log.js.key_value(LEASE_BUCKET)).get(lease)
    return int((entry.value or b"0").decode().split("#")[0].rpartition(":")[2])


async def _categorized(log: Log) -> Counter[str]:
    """How often each memory was categorized, by the log."""
    stored = await log.events.read_subject(events(0).name, f"{ROOT}.evt.0.*.memory.*")
    kinds = [(read_envelope(message.data)[1], message.subject.rsplit(".", 1)[-1]) for message in stored]
    return Counter(memory_id for kind, memory_id in kinds if kind == MemoryCategorized.type)


@pytest.mark.guarantee("G2", "G3")
async def test_a_second_categorizer_takes_over_and_each_text_is_categorized_once(tmp_path: Path) -> None:
    added: list[str] = []
    stopping = asyncio.Event()

    async def write(number: int) -> None:
        async with httpx.AsyncClient(base_url=fleet.url(), timeout=60.0) as http:
            while not stopping.is_set():
                text = f"I am allergic to penicillin, says note {number} of {len(added)}"
                body = {"user_id": f"writer-{number}", "text": text}
                answer = (await http.post("/api/v1/memories", json=body)).raise_for_status()
                added.append((answer.json().get("results") or [answer.json()])[0]["id"])
                await asyncio.sleep(0.2)

    async with running_fleet(tmp_path, {"categorizer": 2}) as fleet, opened(fleet.settings(), start=False) as log:
        writers = [asyncio.create_task(write(number)) for number in range(2)]
        try:
            active = await _lease_holder(log, "categorizer.0")
            standby = {fleet.process(name).pid for name in ("categorizer-0", "categorizer-1")} - {active}
            assert len(standby) == 1

            async def at_work() -> bool:
                return len(await _categorized(log)) > 20

            await eventually(at_work)
            os.kill(active, signal.SIGKILL)

            async def taken_over() -> bool:
                return {await _lease_holder(log, "categorizer.0")} == standby

            await eventually(taken_over)
            before = len(await _categorized(log))

            async def works() -> bool:
                return len(await _categorized(log)) > before

            await eventually(works)
        finally:
            stopping.set()
            await asyncio.gather(*writers)

        async def all_of_them() -> bool:
            return set(added) <= (await _categorized(log)).keys()

        await eventually(all_of_them)
        often = await _categorized(log)
        sent = await log.events.read_subject(commands(0).name, f"{ROOT}.cmd.0.>")
        asked = [read_envelope(message.data)[1] for message in sent].count(CategorizeMemory.type)
    assert {memory_id: times for memory_id, times in often.items() if times > 1} == {}
    assert set(often) == set(added)
    assert asked == len(added), "not asked for twice either"


async def test_a_service_that_misses_a_setting_says_which_and_ends_with_78(tmp_path: Path) -> None:
    async with running_fleet(tmp_path, dict.fromkeys(MODULES, 0)) as fleet:
        await fleet.start("indexer", 7, MEMLOG_INDEX_PATH="", MEMLOG_MASTER_KEY_FILE=str(tmp_path / "no.key"))
        await fleet.start("gateway", 8, MEMLOG_HOST="0.0.0.0")
        fleet.ports.pop()
        await fleet.start("audit", 9, MEMLOG_NATS_URL="nats://127.0.0.1:1")
        assert await fleet.instances["indexer-7"].wait() == 78
        assert "master key" in (fleet.logs / "indexer-7.log").read_text()
        assert await fleet.instances["gateway-8"].wait() == 78
        assert "without authentication" in (fleet.logs / "gateway-8.log").read_text()
        assert await fleet.instances["audit-9"].wait() == 1
        assert "start it, or set MEMLOG_NATS_URL" in (fleet.logs / "audit-9.log").read_text()
