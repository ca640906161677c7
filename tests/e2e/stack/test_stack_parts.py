"""One process per service: any one may be killed or away; nothing is lost and everyone else goes on."""

import asyncio
import os
import random
import signal
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator

import httpx
import psutil
import pytest
from support.stack import Stack, eventually, running_stack

PARTS = ("gateway", "memory-writer", "indexer", "categorizer", "audit", "nats-server", "postgres")
_KILLS = 40
_WRITERS, _READERS = 8, 4
_AGAIN_S = 0.25
"""Until a client tries again that could not connect: a dozen that hammer at a port slow down who starts behind it."""
_AWAY_S = float(os.environ.get("MEMLOG_TEST_AWAY_S", "0"))
"""How long a derived store is away at least: a few seconds, as long as some writes and a refused read take, unless told
otherwise."""


@pytest.fixture(scope="module")
async def processes(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stack]:
    async with running_stack(tmp_path_factory.mktemp("processes"), "--processes") as stack:
        yield stack


async def _all_texts(stack: Stack, who: str) -> Counter[str]:
    texts: Counter[str] = Counter()
    async with stack.http() as http:
        page, pages = 1, 1
        while page <= pages:
            params = {"user_id": who, "page": page, "size": 100}
            answer = (await http.get("/api/v1/memories/", params=params)).raise_for_status().json()
            texts.update(item["content"] for item in answer["items"])
            page, pages = page + 1, answer["pages"]
    return texts


async def _post(
    http: httpx.AsyncClient, who: str, text: str, wait: str, timeout: float = 30.0
) -> httpx.Response | None:
    body = {"user_id": who, "text": text, "wait": wait, "app": "parts", "idempotency_key": text}
    try:
        return await http.post("/api/v1/memories/", json=body, timeout=timeout)
    except httpx.TransportError:
        return None  # the gateway was the one that was killed


async def _kill(stack: Stack, name: str) -> None:
    """Kill a part, and return once another process has taken its place."""

    async def alive() -> int | None:
        return stack.part(name)

    pid = await eventually(alive)
    os.kill(pid, signal.SIGKILL)

    async def succeeded() -> bool:
        return stack.part(name) not in (None, pid)

    await eventually(succeeded)


async def _serves(stack: Stack, who: str) -> None:
    """Until a write is searchable and a search is answered."""

    async with stack.http() as http:

        async def round_trip() -> bool:
            text = f"probe {uuid.uuid4()}"
            try:
                answer = await _post(http, who, text, "searchable", timeout=5.0)
                if answer is None or answer.status_code != 200:
                    return False
                params = {"user_id": who, "query": text, "limit": 1}
                found = await http.get("/api/v1/search", params=params, timeout=5.0)
            except httpx.TransportError:
                return False
            return found.status_code == 200 and found.json()["results"][0]["memory"] == text

        await eventually(round_trip, timeout=60.0)


async def _ready(stack: Stack) -> None:
    async def healthy() -> bool:
        async with stack.http() as http:
            try:
                return (await http.get("/readyz", timeout=2.0)).status_code == 200
            except httpx.TransportError:
                return False

    await eventually(healthy, timeout=60.0)


@pytest.mark.guarantee("G1", "G2")
async def test_forty_kills_of_single_processes_under_load_lose_nothing_and_double_nothing(processes: Stack) -> None:
    stack = processes
    who = f"kills-{uuid.uuid4().hex[:6]}"
    chance = random.Random(7)
    acknowledged: list[str] = []
    odd: Counter[str] = Counter()
    stopping = asyncio.Event()

    async def write(number: int) -> None:
        async with stack.http() as http:
            turn = 0
            while not stopping.is_set():
                turn += 1
                text = f"fact {number}-{turn}"
                wait = ["accepted", "stored", "searchable"][turn % 3]
                for _ in range(200):  # the same key until it is acknowledged: one effect
                    answer = await _post(http, who, text, wait)
                    if answer is not None and answer.status_code in (200, 202):
                        acknowledged.append(text)
                        break
                    if answer is not None and answer.status_code != 503:
                        odd[f"{answer.status_code} {answer.text[:200]}"] += 1
                    await asyncio.sleep(0.05 if answer is not None else _AGAIN_S)
                await asyncio.sleep(0.03)

    async def read() -> None:
        async with stack.http() as http:
            while not stopping.is_set():
                params = {"user_id": who, "query": "fact", "limit": 3}
                try:
                    answer = await http.get("/api/v1/search", params=params)
                except httpx.TransportError:
                    answer = None
                if answer is not None and answer.status_code not in (200, 503):
                    odd[f"{answer.status_code} {answer.text[:200]}"] += 1
                await asyncio.sleep(0.05 if answer is not None else _AGAIN_S)

    load = [asyncio.create_task(write(n)) for n in range(_WRITERS)] + [
        asyncio.create_task(read()) for _ in range(_READERS)
    ]
    took: dict[str, list[float]] = {name: [] for name in PARTS}
    order = [PARTS[n % len(PARTS)] for n in range(_KILLS)]
    chance.shuffle(order)
    try:
        for name in order:
            await _kill(stack, name)
            back = time.monotonic()
            await _serves(stack, f"{who}-probe")
            took[name].append(time.monotonic() - back)
    finally:
        stopping.set()
        await asyncio.gather(*load)
    await _ready(stack)
    assert odd == Counter(), "survivors answer, or say 503 with the reason"
    async with stack.http() as http:
        last = await _post(http, who, "the last one", "searchable")
        assert last is not None and last.status_code == 200
    found = await _all_texts(stack, who)
    missing = [text for text in acknowledged if found[text] == 0]
    assert missing == [], f"{len(missing)} of {len(acknowledged)} acknowledged are lost"
    assert [text for text, count in found.items() if count > 1] == []
    assert len(acknowledged) > 200
    print(*(f"{name}: serving again after {' '.join(f'{t:.1f}' for t in took[name])} s" for name in PARTS), sep="\n")


@pytest.mark.guarantee("G12")
@pytest.mark.timeout(900 + 3 * _AWAY_S)
@pytest.mark.parametrize("name", ["indexer", "postgres"])
async def test_writes_are_accepted_while_a_derived_store_is_away_and_it_catches_up_by_itself(
    processes: Stack, name: str
) -> None:
    """The part is stopped (not killed: it would be started again), as long as a slow start would take, or longer."""
    stack = processes
    who = f"away-{uuid.uuid4().hex[:6]}"
    await _serves(stack, who)
    pid = stack.part(name)
    assert pid is not None
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in family:
        process.suspend()
    written = refused = 0
    slowest = 0.0
    until = time.monotonic() + _AWAY_S
    try:
        async with stack.http() as http:
            while written < 30 or time.monotonic() < until:
                began = time.monotonic()
                answer = await _post(http, who, f"written while away {written}", ["accepted", "stored"][written % 2])
                assert answer is not None and answer.status_code in (200, 202), answer and answer.text
                slowest = max(slowest, time.monotonic() - began)
                written += 1
                if written % 30 == 0:
                    params = {"user_id": who, "query": "written while away"}
                    read = await http.get("/api/v1/search", params=params, timeout=60.0)
                    assert read.status_code == 503
                    assert read.json()["code"] == "unavailable"
                    refused += 1
    finally:
        for process in family:
            process.resume()
    back = time.monotonic()
    await _serves(stack, who)
    caught_up = time.monotonic() - back
    print(
        f"{name}: {written} writes (slowest {slowest:.2f} s), {refused} reads refused, caught up in {caught_up:.1f} s"
    )
    found = await _all_texts(stack, who)
    assert sum(found[f"written while away {number}"] for number in range(written)) == written
