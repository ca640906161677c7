"""HTTP+SSE over time: keep-alive, limits, deaf clients, stops, and what a hundred connections leave behind."""

import asyncio
import gc
import socket

import httpx
import psutil
from gateway.mcp.sse_session import SseOptions
from support.leftovers import no_task_beyond, tasks_by_kind
from support.running_gateway import RunningGateway, serve_gateway
from support.sse_stream import SseStream, open_stream, open_stream_with, tool_call
from support.stack import eventually

ORDERS = ["/mcp/cursor/sse/ada", "/mcp/sse/cursor/ada"]
LIST = tool_call(1, "list_memories")


async def test_an_idle_stream_is_kept_alive_by_comments() -> None:
    async with serve_gateway(SseOptions(keep_alive=0.05)) as gateway, open_stream(gateway.url, ORDERS[0]) as stream:
        for _ in range(3):
            assert await stream.line() == ": keep-alive"
            assert await stream.line() == ""
        assert (await stream.initialize())["serverInfo"]["name"] == "memlog"


async def test_a_session_has_so_many_calls_under_way_and_no_more() -> None:
    async with serve_gateway(SseOptions(max_calls=3)) as gateway, open_stream(gateway.url, ORDERS[0]) as stream:
        await stream.initialize()
        gateway.service.hold = asyncio.Event()
        for number in range(3):
            assert (await stream.post({**LIST, "id": number})).status_code == 202
        refused = await stream.post({**LIST, "id": 3})
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_calls")
        # A call that is cancelled is never answered; it counts no longer.
        cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 0}}
        assert (await stream.post(cancelled)).status_code == 202
        assert await eventually(lambda: _accepted(stream, 4))
        gateway.service.hold.set()
        assert {(await stream.message())["id"] for _ in range(3)} == {1, 2, 4}
        for number in range(5, 9):
            assert (await stream.post({**LIST, "id": number})).status_code == 202
            assert (await stream.message())["id"] == number


async def test_so_many_sessions_are_open_and_no_more() -> None:
    async with (
        serve_gateway(SseOptions(max_sessions=2)) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=60) as http,
    ):
        async with open_stream(gateway.url, ORDERS[0]), open_stream(gateway.url, ORDERS[1]):
            refused = await http.get(ORDERS[0])
            assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        await eventually(lambda: _no_session(gateway))
        async with open_stream(gateway.url, ORDERS[0]):
            assert gateway.sse.open_sessions == 1


async def test_a_client_that_takes_nothing_is_cut_off() -> None:
    async with serve_gateway(SseOptions(stalled=0.2)) as gateway:
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.setblocking(False)
            loop = asyncio.get_running_loop()
            host, _, port = gateway.authority.partition(":")
            await loop.sock_connect(deaf, (host, int(port)))
            await loop.sock_sendall(deaf, f"GET {ORDERS[0]} HTTP/1.1\r\nHost: {gateway.authority}\r\n\r\n".encode())
            head = b""
            async with asyncio.timeout(60):
                while b"session_id=" not in head:
                    head += await loop.sock_recv(deaf, 4096)
            session = head.partition(b"session_id=")[2][:32].decode()
            async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as http:

                async def refused() -> bool:
                    unknown = {"jsonrpc": "2.0", "id": 1, "method": "x" * 100_000}
                    answer = await http.post("/mcp/messages", params={"session_id": session}, json=unknown)
                    return answer.status_code == 404

                assert await eventually(refused)
        assert await eventually(lambda: _no_session(gateway))  # its task ends a moment after it is unknown


async def test_a_call_ends_with_its_stream(gateway: RunningGateway) -> None:
    before = tasks_by_kind()
    gateway.service.hold = asyncio.Event()
    arrived = asyncio.Event()
    gateway.service.on_call = arrived.set
    async with open_stream(gateway.url, ORDERS[0]) as stream:
        await stream.initialize()
        await stream.post(LIST)
        async with asyncio.timeout(60):
            await arrived.wait()
    await eventually(lambda: _no_session(gateway))
    await eventually(lambda: no_task_beyond(before))


async def test_a_stop_ends_idle_streams_at_once_and_lets_calls_under_way_finish() -> None:
    bounds_of_which_none_is_reached = SseOptions(drain=120)
    async with (
        serve_gateway(bounds_of_which_none_is_reached, grace=120) as gateway,
        open_stream(gateway.url, ORDERS[0]) as idle,
        open_stream(gateway.url, ORDERS[1]) as busy,
    ):
        await busy.initialize()
        gateway.service.hold = asyncio.Event()
        await busy.post(LIST)
        gateway.stop()
        assert await idle.event() is None  # and httpx raises if the end is not a clean one
        gateway.service.hold.set()
        assert (await busy.message())["id"] == 1
        assert await busy.event() is None


async def test_a_stop_waits_no_longer_than_its_bound_for_a_call_in_a_stream() -> None:
    async with serve_gateway(SseOptions(drain=1), grace=120) as gateway, open_stream(gateway.url, ORDERS[0]) as stream:
        await stream.initialize()
        gateway.service.hold = asyncio.Event()
        await stream.post(LIST)
        gateway.stop()
        assert "error" in await stream.message()
        assert await stream.event() is None


async def test_a_hundred_connects_and_disconnects_leave_no_task_and_no_memory(
    gateway: RunningGateway, http: httpx.AsyncClient
) -> None:
    async def connect(times: int) -> None:
        for number in range(times):
            async with open_stream_with(http, ORDERS[number % 2]) as stream:
                await stream.initialize()
                await stream.post(LIST)
                await stream.message()
        await eventually(lambda: _no_session(gateway))
        await eventually(lambda: no_task_beyond(before))
        gateway.service.calls.clear()
        gc.collect()

    def held() -> tuple[int, int, int]:
        return len(gc.get_objects()), psutil.Process().memory_info().rss, psutil.Process().num_fds()

    before = tasks_by_kind()
    await connect(30)  # what is cached at first use
    grown: list[tuple[int, ...]] = []
    for _ in range(4):  # a leak grows each time; what else this process does, does not
        start = held()
        await connect(100)
        grown.append(tuple(now - then for now, then in zip(held(), start, strict=True)))
        objects, size, files = (min(column) for column in zip(*grown, strict=True))
        if objects < 100 and size < 2_000_000 and files <= 0:
            return
    raise AssertionError(f"objects, bytes, and files more after each hundred: {grown}")


async def _no_session(gateway: RunningGateway) -> bool:
    return gateway.sse.open_sessions == 0


async def _accepted(stream: SseStream, number: int) -> bool:
    return (await stream.post({**LIST, "id": number})).status_code == 202
