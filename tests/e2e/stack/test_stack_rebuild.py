"""Rebuilds of a whole Memlog that is in use: no reader and no writer notices."""

import asyncio
import random
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.stack import Stack, eventually, running_stack

_PATH = "/api/v1/projections"
_READS_A_SECOND = 50
_KILLS = 2


async def projection(http: httpx.AsyncClient, name: str = "read-models", **params: Any) -> dict[str, Any]:
    return (await http.get(f"{_PATH}/{name}", params=params)).raise_for_status().json()


async def order(http: httpx.AsyncClient, action: str, name: str = "read-models", **body: Any) -> dict[str, Any]:
    answer = await http.post(f"{_PATH}/{name}/{action}", json=body)
    assert answer.is_success, answer.text
    return answer.json()


async def finished(http: httpx.AsyncClient, name: str = "read-models") -> int:
    """Until no generation is unfinished; the number of the one that serves."""

    async def done() -> int | None:
        generations = (await projection(http, name))["generations"]
        assert [each for each in generations if each["failure"]] == []
        if any(each["state"] in ("building", "following", "paused") for each in generations):
            return None
        return next(each["number"] for each in generations if each["state"] == "serving")

    return await eventually(done, timeout=60)


@dataclass
class Traffic:
    """One user who adds memories one after the other, and many readers. A read must show all that was called
    searchable before it was asked, and nothing that was not sent before it was answered."""

    stack: Stack
    who: str
    searchable: int = 0
    sent: int = 0
    reads: int = 0
    wrong: list[str] = field(default_factory=list[str])

    async def write(self) -> None:
        async with self.stack.http() as http:
            while True:
                self.sent += 1
                text = f"Fact {self.sent} {uuid.uuid4()}"
                answer = await http.post("/api/v1/memories/", json={"user_id": self.who, "text": text})
                if answer.status_code != 200:
                    self.wrong.append(f"write: {answer.status_code} {answer.text}")
                    continue
                self.searchable += 1
                found = await http.get("/api/v1/memories/", params={"user_id": self.who, "search_query": text})
                if found.status_code != 200 or [item["content"] for item in found.json()["items"]] != [text]:
                    self.wrong.append(f"own write: {found.status_code} {found.text}")
                found = await http.get("/api/v1/search", params={"user_id": self.who, "query": text})
                if found.status_code != 200 or text not in [each["memory"] for each in found.json()["results"]]:
                    self.wrong.append(f"own search: {found.status_code} {found.text}")

    async def read(self) -> None:
        async with self.stack.http() as http, asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._read(http))
                await asyncio.sleep(1 / _READS_A_SECOND)  # the rate is the point

    async def _read(self, http: httpx.AsyncClient) -> None:
        least = self.searchable
        answer = await http.get("/api/v1/memories/", params={"user_id": self.who, "size": 1})
        self.reads += 1
        if answer.status_code != 200:
            self.wrong.append(f"read: {answer.status_code} {answer.text}")
        elif not least <= answer.json()["total"] <= self.sent:
            self.wrong.append(f"read: {answer.json()['total']} memories, not {least} to {self.sent}")


@pytest.mark.guarantee("G4", "G5")
async def test_no_read_fails_or_is_wrong_through_rebuild_switch_and_rollback(stack: Stack) -> None:
    traffic = Traffic(stack, f"rebuild-{uuid.uuid4()}")
    async with stack.http() as http:
        assert (await http.post("/api/v1/memories/", json={"user_id": traffic.who, "text": "First"})).is_success
        traffic.sent = traffic.searchable = 1
        before = {name: await finished(http, name) for name in ("read-models", "access-log", "index")}
        work = [asyncio.create_task(traffic.write()), asyncio.create_task(traffic.read())]
        try:
            for name in before:
                await order(http, "rebuild", name)
            for name, number in before.items():
                assert await finished(http, name) == number + 1
            for name in before:
                await order(http, "rollback", name)
            assert {name: await finished(http, name) for name in before} == before
            await order(http, "rollback")  # and forth

            async def enough() -> bool:
                assert not any(task.done() for task in work)
                return traffic.searchable > 10 and traffic.reads > _READS_A_SECOND

            await eventually(enough)
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
        assert traffic.wrong == []


@pytest.mark.guarantee("G1", "G5")
async def test_a_rebuild_survives_kill_9_of_everything_at_any_moment_and_what_serves_is_untouched(
    tmp_path: Path,
) -> None:
    chance = random.Random(4)
    count = 60
    async with running_stack(tmp_path / "home") as stack:
        async with stack.http() as http:
            for number in range(count):
                body = {"user_id": "ada", "text": f"Note {number}"}
                assert (await http.post("/api/v1/memories/", json=body)).is_success
            first = await finished(http)
        for _ in range(_KILLS):
            async with stack.http() as http:
                await finished(http)
                await order(http, "rebuild", hold=False)
                await asyncio.sleep(chance.uniform(0.1, 3.0))  # the moment of the crash is the point
            await stack.kill()
            await stack.start()
            async with stack.http() as http:
                page = (await http.get("/api/v1/memories/", params={"user_id": "ada"})).raise_for_status().json()
                assert page["total"] == count
        async with stack.http() as http:
            assert await finished(http) == first + _KILLS

            async def one_before_is_kept() -> bool:
                found = [(each["state"], each["parity"]) for each in (await projection(http))["generations"]]
                return found == [("retired", "equal"), ("serving", "equal")]

            # What served before that is removed once it has been switched.
            await eventually(one_before_is_kept)
