"""Another embedder for a Memlog that is in use: an index rebuilt beside the one that serves, and what happens when the
endpoint of an embedder is away."""

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from indexer.embedding.embedder import PROBE
from support.faults import status
from support.openai_server import OpenAIServer, openai_server
from support.stack import Stack, eventually, running_stack

USER = "ada"
KNOWN = 200
"""Enough that a process of its own has something to fill."""
NOT_READ = 10
"""The first of the texts, for which nobody searches while Memlog is in use: the vector of such a query is not kept."""
INDEX = "/api/v1/projections/index"


@pytest.fixture(scope="module")
async def endpoint() -> AsyncGenerator[OpenAIServer]:
    async with openai_server() as server:
        server.models.add("second")
        yield server


@pytest.fixture(scope="module")
async def stack(endpoint: OpenAIServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stack]:
    """One that has texts, each with a word of its own."""
    home: Path = tmp_path_factory.mktemp("memlog")
    async with running_stack(home, MEMLOG_EMBEDDER_BASE_URL=endpoint.url) as running, running.http() as http:
        for start in range(0, KNOWN, 50):
            await asyncio.gather(*(add(http, word(number), wait="stored") for number in range(start, start + 50)))
        yield running


def word(number: int) -> str:
    return f"word{number}x"


async def add(http: httpx.AsyncClient, own_word: str, wait: str = "searchable") -> None:
    answer = await http.post(
        "/api/v1/memories", json={"user_id": USER, "text": f"a note that has {own_word} in it", "wait": wait}
    )
    assert answer.status_code == 200, answer.text


async def search(http: httpx.AsyncClient, own_word: str) -> httpx.Response:
    return await http.get("/api/v1/search", params={"user_id": USER, "query": own_word, "limit": 1})


async def finds(http: httpx.AsyncClient, own_word: str) -> bool:
    answer = await search(http, own_word)
    return answer.status_code == 200 and own_word in answer.json()["results"][0]["memory"].split()


async def indexer(http: httpx.AsyncClient) -> dict[str, Any]:
    services = (await http.get("/api/v1/health")).json()["services"]
    return next(service for service in services if service["service"] == "indexer")


async def serving(http: httpx.AsyncClient) -> dict[str, Any]:
    return next(each for each in (await http.get(INDEX)).json()["generations"] if each["state"] == "serving")


async def rebuild(http: httpx.AsyncClient, **how: Any) -> None:
    answer = await http.post(f"{INDEX}/rebuild", json=how)
    assert answer.status_code == 202, answer.text


async def switched(http: httpx.AsyncClient, embedder: str, timeout: float = 150.0) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        now = await serving(http)
        return now if now["embedder"].startswith(embedder) else None

    return await eventually(look, timeout)


async def use(http: httpx.AsyncClient, embedder: str) -> dict[str, Any]:
    """The generation that serves, with this embedder: mostly that which a test before left."""
    if not (await serving(http))["embedder"].startswith(embedder):
        await rebuild(http, embedder=embedder)
    return await switched(http, embedder)


@asynccontextmanager
async def in_use(http: httpx.AsyncClient, prefix: str) -> AsyncGenerator[list[str]]:
    """Somebody writes and searches for what was just written, others search for what has been there all along. Yields
    what was written; every answer must be right."""
    written: list[str] = []
    stop = asyncio.Event()

    async def write() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            own = f"{prefix}{number}"
            await add(http, own)
            written.append(own)
            assert await finds(http, own), f"{own} is not found after it was written"

    async def read(first: int) -> None:
        for number in itertools.count(first):
            if stop.is_set():
                return
            own = word(NOT_READ + number % (KNOWN - NOT_READ))
            assert await finds(http, own), f"{own} is not found"
            await asyncio.sleep(0.02)

    tasks = [asyncio.create_task(write()), asyncio.create_task(read(0)), asyncio.create_task(read(KNOWN // 2))]
    try:
        yield written
        assert not any(task.done() for task in tasks), [task.exception() for task in tasks if task.done()]
    finally:
        stop.set()
        await asyncio.gather(*tasks)


@pytest.mark.guarantee("G13")
@pytest.mark.parametrize(
    ("embedder", "code"),
    [("nonsense", 422), ("openai:unknown", 422), ("fastembed:BAAI/bge-small-en-v1.5", 422), ("openai:small", 503)],
)
async def test_an_embedder_that_does_not_work_is_refused_and_nothing_changes(
    stack: Stack, endpoint: OpenAIServer, embedder: str, code: int
) -> None:
    async with stack.http() as http:
        before = (await http.get(INDEX)).json()["generations"]
        endpoint.always = status(500) if embedder == "openai:small" else None
        try:
            answer = await http.post(f"{INDEX}/rebuild", json={"embedder": embedder})
        finally:
            endpoint.always = None
        assert (answer.status_code, answer.json()["status"]) == (code, code)
        after = (await http.get(INDEX)).json()["generations"]
        assert [{**each, "positions": {}} for each in after] == [{**each, "positions": {}} for each in before]
        assert await finds(http, word(7))


@pytest.mark.guarantee("G5", "G13")
async def test_the_embedder_changes_while_memlog_is_in_use_and_back_again(stack: Stack, endpoint: OpenAIServer) -> None:
    async with stack.http() as http:
        async with in_use(http, "forth") as written:
            await rebuild(http, embedder="openai:small")
            now = await switched(http, "openai:small@")
            enough = len(written) + 5
            await eventually(lambda: _more(written, enough))
        assert (now["number"], now["parity"]) == (2, "not comparable")
        health = (await http.get("/api/v1/health")).json()
        assert (health["embedder"], health["status"]) == (now["embedder"], "ok")
        assert now["embedder"].endswith("/12")
        facts = (await indexer(http))["facts"]
        assert facts["generation"] == 2
        categorizer = next(each for each in health["services"] if each["service"] == "categorizer")
        assert "minilm" in categorizer["facts"]["classifier"], "its thresholds are those of MiniLM"

        endpoint.embedded.clear()
        assert await finds(http, word(5))
        assert endpoint.embedded == [word(5)], "a query is embedded by the embedder of what it searches"

        async with in_use(http, "back"):
            answer = await http.post(f"{INDEX}/rollback", json={})
            assert answer.is_success, answer.text
            await switched(http, "minilm")
        endpoint.embedded.clear()
        for own in (word(3), *written):
            assert await finds(http, own)
        assert endpoint.embedded == []


async def _more(written: list[str], count: int) -> bool:
    return len(written) >= count


@pytest.mark.guarantee("G5")
async def test_a_rebuild_whose_processes_are_killed_leaves_what_serves_and_goes_on(
    stack: Stack, endpoint: OpenAIServer
) -> None:
    async with stack.http() as http:
        before = await use(http, "minilm")
        requests = endpoint.requests
        endpoint.answers = 3  # two to be opened, here and in the process that fills, and some texts
        try:
            await rebuild(http, embedder="openai:second")
            await eventually(lambda: _more_requests(endpoint, requests + 4))
            assert (await serving(http))["number"] == before["number"]
            pid = stack.part("indexer")
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await eventually(lambda: finds(http, word(9)))
            assert (await serving(http))["number"] == before["number"]
        finally:
            endpoint.answers = None
        await switched(http, "openai:second@")
        assert await finds(http, word(9))


async def _more_requests(endpoint: OpenAIServer, count: int) -> bool:
    return endpoint.requests >= count


@pytest.mark.guarantee("G5", "G6")
async def test_a_rebuild_with_the_same_embedder_embeds_nothing_and_is_equal(
    stack: Stack, endpoint: OpenAIServer
) -> None:
    async with stack.http() as http:
        before = (await use(http, "openai:second"))["number"]
        endpoint.embedded.clear()
        log_end = (await http.get(INDEX)).json()["positions"]
        await rebuild(http)

        async def done() -> dict[str, Any] | None:
            now = await serving(http)
            return now if now["number"] != before else None

        now = await eventually(done, 150.0)
        assert (now["parity"], now["difference"]) == ("equal", None)
        assert set(endpoint.embedded) == {PROBE}
        assert (await http.get(INDEX)).json()["positions"] == log_end, "nobody was asked for categories"
        assert await finds(http, word(11))


@pytest.mark.guarantee("G12", "G13")
async def test_without_its_embedder_memlog_starts_takes_writes_and_says_why_it_finds_nothing(
    stack: Stack, endpoint: OpenAIServer
) -> None:
    async with stack.http() as http:
        await use(http, "openai:second")
    await stack.stop()
    endpoint.always = status(503)
    try:
        await stack.start()
        async with stack.http() as http:
            await add(http, "meanwhile", wait="stored")
            answer = await search(http, "meanwhile")
            assert answer.status_code == 503
            assert "HTTP 503" in answer.json()["detail"]
            said = await indexer(http)
            assert said["ok"] is False and "openai:second" in said["detail"]
            assert (await http.get("/api/v1/health")).json()["embedder"].startswith("openai:second@")
    finally:
        endpoint.always = None
    async with stack.http() as http:
        await eventually(lambda: finds(http, "meanwhile"))
        assert (await indexer(http))["ok"] is True


@pytest.mark.guarantee("G12")
async def test_an_embedder_that_does_not_come_back_can_be_left(stack: Stack, endpoint: OpenAIServer) -> None:
    async with stack.http() as http:
        await use(http, "openai:second")
        endpoint.always = status(503)
        try:
            await add(http, "stranded", wait="stored")
            await rebuild(http, embedder="minilm")
            await switched(http, "minilm")
            await eventually(lambda: finds(http, "stranded"))
            assert (await indexer(http))["ok"] is True
        finally:
            endpoint.always = None
