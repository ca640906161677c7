"""The log over REST: pages, and a stream that browsers and proxies keep, that ends in order and leaves nothing."""

import asyncio
import gc
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest
from gateway.mcp.sse_session import SseOptions
from support.fake_operator import dead_letter, log_event
from support.leftovers import no_task_beyond, tasks_by_kind
from support.running_gateway import RunningGateway, serve_gateway
from support.stack import eventually

STREAM = "/api/v1/events/stream"


@asynccontextmanager
async def lines(
    url: str, headers: dict[str, str] | None = None, **params: str
) -> AsyncGenerator[tuple[httpx.Response, "asyncio.Queue[str | None]"]]:
    """A stream's lines as they come; None at its end."""
    queue: asyncio.Queue[str | None] = asyncio.Queue()
    async with (
        httpx.AsyncClient(base_url=url, timeout=60) as http,
        http.stream("GET", STREAM, params=params, headers=headers) as response,
    ):

        async def read() -> None:
            async for line in response.aiter_lines():
                queue.put_nowait(line)
            queue.put_nowait(None)

        reading = asyncio.create_task(read())
        try:
            yield response, queue
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def until(queue: "asyncio.Queue[str | None]", start: str) -> str:
    """The next line that starts like this."""
    async with asyncio.timeout(60):
        while True:
            line = await queue.get()
            assert line is not None, "the stream has ended"
            if line.startswith(start):
                return line


async def test_events_come_page_by_page_and_a_filter_that_names_nothing_is_refused(
    http: httpx.AsyncClient, gateway: RunningGateway
) -> None:
    gateway.service.log = [log_event(number) for number in range(1, 6)]
    first = (await http.get("/api/v1/events", params={"limit": 3})).json()
    rest = (await http.get("/api/v1/events", params={"limit": 3, "after": first["next"]})).json()
    assert [event["position"] for event in first["events"] + rest["events"]] == [f"0-{n}" for n in range(1, 6)]
    assert "next" not in rest
    newest = (await http.get("/api/v1/events", params={"limit": 3, "newest": True})).json()
    older = (await http.get("/api/v1/events", params={"newest": True, "before": newest["previous"]})).json()
    assert older["events"] + newest["events"] == first["events"] + rest["events"]
    assert "previous" not in older
    for bad in (
        {"type": "Nonsense"},
        {"limit": 501},
        {"limit": 0},
        {"memory_id": "x"},
        {"after": "x"},
        {"before": "0-3"},
        {"nope": "1"},
    ):
        answer = await http.get("/api/v1/events", params=bad)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), bad


async def test_a_stream_begins_now_says_where_and_carries_each_event_with_its_position(gateway: RunningGateway) -> None:
    gateway.service.log = [log_event(1)]
    async with lines(gateway.url) as (response, queue):
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-accel-buffering"] == "no"
        assert await until(queue, "id: ") == "id: 0-1"
        gateway.service.append(log_event(2))
        assert await until(queue, "id: ") == "id: 0-2"
        assert '"text 2"' in await until(queue, "data: ")


async def test_a_client_that_connects_again_misses_nothing(gateway: RunningGateway) -> None:
    gateway.service.log = [log_event(number) for number in range(1, 5)]
    async with lines(gateway.url, {"Last-Event-ID": "0-2"}, after="0-1") as (_, queue):
        assert [await until(queue, "id: ") for _ in range(3)] == ["id: 0-2", "id: 0-3", "id: 0-4"]


async def test_an_idle_stream_is_kept_alive_and_ends_soon_when_memlog_stops() -> None:
    async with serve_gateway(SseOptions(keep_alive=0.05), grace=120) as gateway, lines(gateway.url) as (_, queue):
        await until(queue, ": keep-alive")
        await until(queue, ": keep-alive")
        gateway.stop()
        async with asyncio.timeout(60):
            while await queue.get() is not None:
                pass


async def test_a_hundred_connects_and_disconnects_leave_nothing(gateway: RunningGateway) -> None:
    gateway.service.log = [log_event(1)]
    await _connect(gateway)
    await eventually(lambda: _nobody_follows(gateway))
    gc.collect()
    before = tasks_by_kind()
    for _ in range(10):
        await asyncio.gather(*(_connect(gateway) for _ in range(10)))
    await eventually(lambda: _nobody_follows(gateway))
    await eventually(lambda: no_task_beyond(before))


async def _connect(gateway: RunningGateway) -> None:
    async with lines(gateway.url) as (_, queue):
        await until(queue, "id: ")


async def _nobody_follows(gateway: RunningGateway) -> bool:
    return gateway.service.following == 0


async def test_a_client_that_takes_nothing_is_cut_off_and_holds_no_more_than_its_socket_does() -> None:
    async with serve_gateway(SseOptions(stalled=0.3)) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
        big = log_event(1).model_copy(update={"data": {"text": "x" * 200_000}})
        gateway.service.log = [big.model_copy(update={"position": f"0-{n}"}) for n in range(1, 200)]
        writer.write(f"GET {STREAM}?after=0-0 HTTP/1.1\r\nHost: {gateway.authority}\r\n\r\n".encode())
        await writer.drain()

        async def opened() -> bool:
            return gateway.service.following == 1

        await eventually(opened)
        await eventually(lambda: _nobody_follows(gateway))
        writer.close()
        del reader


async def test_more_streams_than_the_limit_are_refused() -> None:
    async with serve_gateway(SseOptions(max_sessions=1)) as gateway, lines(gateway.url) as (_, queue):
        await until(queue, "id: ")
        async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as http:
            answer = await http.get(STREAM)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


@pytest.mark.parametrize("slash", ["", "/"])
async def test_dead_letters_are_listed_shown_redriven_and_dropped(
    http: httpx.AsyncClient, gateway: RunningGateway, slash: str
) -> None:
    base = "/api/v1/dead-letters"
    gateway.service.letters = [
        dead_letter(1, count=2),
        dead_letter(2, count=2),
        dead_letter(3, "n"),
        dead_letter(4, "o"),
    ]
    page = (await http.get(f"{base}{slash}", params={"limit": 3})).json()
    assert ([letter["id"] for letter in page["dead_letters"]], page["next"], page["total"]) == ([1, 2, 3], 3, 4)
    assert (await http.get(f"{base}/1{slash}")).json()["message"]["type"] == "MemoryAdded"
    assert (await http.post(f"{base}/1/redrive{slash}")).json()["letters"] == 2
    assert (await http.delete(f"{base}/3{slash}")).json()["status"] == "dropped"
    assert [x["id"] for x in (await http.post(f"{base}/redrive{slash}")).json()["results"]] == [4]
    assert (await http.get(f"{base}/1")).status_code == 404
    assert (await http.get(f"{base}/x")).status_code == 422
