"""Kill -9 of the whole tree, at random moments, under load: what was acknowledged is there, once."""

import asyncio
import random
import uuid
from collections import Counter
from pathlib import Path

import httpx
import psutil
import pytest
from support.stack import Stack, running_stack

_WRITERS = 8
_ROUNDS = 5


async def _all_texts(stack: Stack, who: str) -> list[str]:
    texts: list[str] = []
    async with stack.http() as http:
        page = 1
        while True:
            params = {"user_id": who, "page": page, "size": 100}
            answer = (await http.get("/api/v1/memories/", params=params)).raise_for_status().json()
            texts += [item["content"] for item in answer["items"]]
            if page >= answer["pages"]:
                return texts
            page += 1


@pytest.mark.guarantee("G1")
async def test_every_acknowledged_memory_survives_kill_9_of_everything_under_load_and_none_is_there_twice(
    tmp_path: Path,
) -> None:
    chance = random.Random(20261122)
    acknowledged: list[str] = []
    who = "crash"
    async with running_stack(tmp_path / "home") as stack:

        async def write(waits: str) -> None:
            async with stack.http() as http:
                while True:
                    text = f"fact {uuid.uuid4()}"
                    body = {"user_id": who, "text": text, "wait": waits, "app": f"app-{waits}"}
                    try:
                        answer = await http.post("/api/v1/memories/", json=body)
                    except httpx.TransportError:
                        return  # it was killed
                    if answer.status_code in (200, 202):
                        acknowledged.append(text)

        for number in range(_ROUNDS):
            waits = ["accepted", "stored", "searchable"]
            writers = [asyncio.create_task(write(waits[n % 3])) for n in range(_WRITERS)]
            await asyncio.sleep(chance.uniform(0.3, 2.5))  # the moment of the crash is the point
            await stack.kill()
            await asyncio.gather(*writers)
            await stack.start()
            # What was only accepted before the kill is decided after the restart: a last write waits behind it.
            async with stack.http() as http:
                body = {"user_id": who, "text": f"after round {number}", "app": "app-stored"}
                assert (await http.post("/api/v1/memories/", json=body)).status_code == 200
            acknowledged.append(f"after round {number}")

        found = Counter(await _all_texts(stack, who))
        missing = [text for text in acknowledged if found[text] == 0]
        assert len(acknowledged) > 50
        assert missing == [], f"{len(missing)} of {len(acknowledged)} acknowledged memories are lost"
        assert [text for text, count in found.items() if count > 1] == []

        async with stack.http() as http:  # and the index agrees
            for text in chance.sample(acknowledged, 20):
                params = {"user_id": who, "query": text, "limit": 3}
                hits = (await http.get("/api/v1/search", params=params)).json()["results"]
                assert text in {hit["memory"] for hit in hits}


@pytest.mark.guarantee("G2")
async def test_one_idempotency_key_has_one_effect_however_often_and_whenever_it_is_used(tmp_path: Path) -> None:
    who = "idem"
    body = {"user_id": who, "text": "The wifi password is on the fridge", "idempotency_key": "note-1", "app": "notes"}
    async with running_stack(tmp_path / "home") as stack:

        async def fifty_times() -> list[httpx.Response]:
            async with stack.http() as http:
                return await asyncio.gather(*(http.post("/api/v1/memories/", json=body) for _ in range(50)))

        answers = await fifty_times()
        await stack.kill()
        await stack.start()
        answers += await fifty_times()
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert await _all_texts(stack, who) == ["The wifi password is on the fridge"]

        async with stack.http() as http:
            other = await http.post("/api/v1/memories/", json={**body, "text": "The wifi password changed"})
            assert other.status_code == 409
            assert other.json()["code"] == "idempotency_key_reused"
            # The effect stays one after the memory is gone: a late retry does not bring it back.
            memory_id = answers[0].json()["id"]
            gone = await http.request("DELETE", "/api/v1/memories/", json={"user_id": who, "memory_ids": [memory_id]})
            assert gone.status_code == 200
            late = await http.post("/api/v1/memories/", json=body)
            assert late.status_code == 200
        assert await _all_texts(stack, who) == []


async def test_ctrl_c_stops_without_cutting_anything_off_and_leaves_no_process_and_no_file_that_disturbs(
    tmp_path: Path,
) -> None:
    async with running_stack(tmp_path / "home") as stack:
        family = stack.processes()
        assert await stack.stop() == 0
        assert stack.cut_off() == []
        _, alive = await asyncio.to_thread(psutil.wait_procs, family, 30)
        assert alive == []
        await stack.start()
        async with stack.http() as http:
            assert (await http.get("/readyz")).status_code == 200
