"""`memlog mcp`: the bridge between stdin and stdout and a Memlog that runs, and may be restarted meanwhile."""

import asyncio
import json
import signal
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
import pytest
from contracts.errors import Unavailable
from gateway.service import Caller
from standalone.patient_http import PatientTransport
from support.running_gateway import WIRES, RunningGateway, serve_gateway
from support.sse_stream import tool_call
from support.stack import call, free_port
from support.stdio_bridge import environment, over_stdio, raw_stdio, run_stdio


@pytest.mark.parametrize("revision", list(WIRES))
async def test_a_memory_lives_through_all_tools_as_the_named_client_and_user(
    gateway: RunningGateway, revision: str
) -> None:
    async with over_stdio(revision, "--client", "zed & co", "--user", "ada ü", "--url", gateway.url) as client:
        assert len((await client.list_tools()).tools) == 7
        assert client.protocol_version == revision
        text = 'Likes tea\nand "crème brûlée" \U0001f375'
        added = await call(client, "add_memories", text=text, metadata={"n": 1.5, "deep": {"list": [None, True]}})
        memory_id = added["results"][0]["id"]
        found = (await call(client, "search_memory", query="tea"))["results"]
        assert [(row["id"], row["memory"]) for row in found] == [(memory_id, text)]
        await call(client, "update_memory", memory_id=memory_id, text="Likes coffee")
        assert len((await call(client, "get_memory_history", memory_id=memory_id))["entries"]) == 2
        assert len((await call(client, "list_memories"))["results"]) == 1
        assert (await call(client, "delete_memories", memory_ids=[memory_id]))["deleted"] == 1
        assert (await call(client, "delete_all_memories"))["deleted"] == 0
        refused = await client.call_tool("get_memory_history", {"memory_id": str(uuid.uuid4())})
        assert refused.is_error
        gateway.service.fail = Unavailable("the writer does not answer")
        assert (await client.call_tool("list_memories", {})).is_error
    assert {caller for _, caller in gateway.service.calls} == {Caller("ada ü", "zed & co", "mcp")}


async def test_the_user_and_the_address_have_defaults_in_the_environment(gateway: RunningGateway) -> None:
    env = environment(MEMLOG_URL=gateway.url, MEMLOG_DEFAULT_USER="bob", MEMLOG_HOME="/nonexistent")
    async with over_stdio("2025-11-25", "--client", "zed", env=env) as client:
        await call(client, "list_memories")
    assert gateway.service.calls == [("list_for_app", Caller("bob", "zed", "mcp"))]


async def test_stdout_holds_protocol_only_and_what_is_no_message_is_told(gateway: RunningGateway) -> None:
    nan = '{"jsonrpc":"2.0","id":"nan","method":"tools/call","params":{"name":"search_memory","arguments":{"q":NaN}}}'
    lines = [
        "nonsense",
        "[]",
        "\udcff",
        nan,
        '{"jsonrpc":"2.0","id":"odd","method":"ö\\n"}',
        json.dumps(tool_call(1, "list_memories")),
        json.dumps(tool_call(2, "add_memories", text="x" * 2_000_000)),
    ]
    given = "\n".join(lines).encode("utf-8", "surrogateescape")
    # The input ends at once: what was asked before is answered before the process ends.
    status, out, said = await run_stdio("--client", "zed", "--url", gateway.url, given=given)
    assert (status, said) == (0, b"")
    answers: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert [a["error"]["code"] for a in answers if a["id"] is None] == [-32700] * 3
    by_id = {answer["id"]: answer for answer in answers}
    assert set(by_id) == {None, "nan", "odd", 1, 2}
    assert by_id[1]["result"]["structuredContent"] == {"results": []}
    assert by_id[2]["error"]["data"] == {"code": "payload_too_large"}
    assert gateway.service.calls == [("list_for_app", Caller("default", "zed", "mcp"))]


async def test_it_says_why_it_can_not_start_on_stderr_and_fails(gateway: RunningGateway) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    cases = [
        ((), 2, "--client"),
        (("--client", "zed", "--url", nowhere), 3, f"memlog: no Memlog answers at {nowhere} (ConnectError)."),
        (("--client", "zed", "--url", f"{gateway.url}/else"), 3, "no Memlog answers"),
        (("--client", "zed", "--url", "nonsense"), 3, "no Memlog answers"),
        (("--client", "dashboard", "--url", gateway.url), 1, "reserved"),
        (("--client", "a/b", "--url", gateway.url), 1, "can not hold a '/'"),
    ]
    for (arguments, status, words), ended in zip(
        cases, await asyncio.gather(*(run_stdio(*arguments) for arguments, _, _ in cases)), strict=True
    ):
        assert (ended[0], ended[1]) == (status, b""), arguments
        assert words in ended[2].decode() and "Traceback" not in ended[2].decode()
        if "no Memlog" in words:
            assert "Start it with: memlog up" in ended[2].decode()


async def test_it_serves_on_when_memlog_is_restarted() -> None:
    port = free_port()
    async with AsyncExitStack() as stack:
        first = AsyncExitStack()
        url = (await first.enter_async_context(serve_gateway(port=port))).url
        client = over_stdio("2025-11-25", "--client", "zed", "--user", "ada", "--url", url)
        try:
            await stack.enter_async_context(client)
            await call(client, "list_memories")
        finally:
            await first.aclose()
        waiting = [asyncio.create_task(call(client, tool)) for tool in ("list_memories", "delete_all_memories")]
        done, _ = await asyncio.wait(waiting, timeout=0.5)  # long enough to be refused a few times
        assert not done
        async with serve_gateway(port=port) as second, asyncio.timeout(60):
            listed, deleted = await asyncio.gather(*waiting)
            assert (listed["results"], deleted["deleted"]) == ([], 0)
            await call(client, "add_memories", text="Likes tea")
            assert [method for method, _ in second.service.calls[2:]] == ["add"], "nothing was done twice"
            assert {caller for _, caller in second.service.calls} == {Caller("ada", "zed", "mcp")}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_at_once(gateway: RunningGateway, number: signal.Signals) -> None:
    async with raw_stdio("--client", "zed", "--url", gateway.url) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(tool_call(1, "list_memories")).encode() + b"\n")
        async with asyncio.timeout(60):
            assert json.loads(await process.stdout.readline())["id"] == 1
        process.send_signal(number)
        async with asyncio.timeout(60):
            assert await process.wait() == -number


# -- the HTTP beneath it, against servers that behave badly -----------------------------------------------------------
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{"served": "yes"}'


@asynccontextmanager
async def server_that(serve: Serve) -> AsyncGenerator[str]:
    """A server of raw connections; its address."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def patient(*addresses: str, patience: float = 60.0, timeout: float = 60.0) -> httpx2.AsyncClient:
    """A client of a Memlog that is at the first address, then at the next ones."""
    places = list(addresses)

    def locate() -> str:
        return places.pop(0) if len(places) > 1 else places[0]

    return httpx2.AsyncClient(transport=PatientTransport(locate, patience=patience), timeout=timeout)


async def test_a_write_that_was_cut_off_is_not_repeated_and_a_read_is() -> None:
    attempts = 0

    async def first_cut_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        writer.write(ANSWER[:-5] if attempts == 1 else ANSWER)

    async with server_that(first_cut_off) as url, patient(url) as http:
        for tool in ("add_memories", "update_memory", "delete_memories", "delete_all_memories"):
            attempts = 0
            told = (await http.post(url, json=tool_call(1, tool))).json()
            assert attempts == 1
            assert "may have been carried out" in told["error"]["message"]
        for message in (tool_call(1, "search_memory"), {"method": "initialize"}, {"method": "tools/list"}):
            attempts = 0
            assert (await http.post(url, json=message)).json() == {"served": "yes"}
            assert attempts == 2


async def test_a_memlog_that_stays_away_is_told_as_an_error() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with patient(url, patience=0.3) as http:
        told = (await http.post(url, json=tool_call(1, "add_memories"))).json()
    assert told["error"]["message"] == f"no Memlog answers at {url}. Start it with: memlog up"


async def test_a_memlog_that_comes_back_at_another_port_is_found() -> None:
    hosts: list[bytes] = []

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hosts.append(b"called")
        writer.write(ANSWER)

    gone = f"http://127.0.0.1:{free_port()}"
    async with server_that(answer) as url, patient(gone, url) as http:
        assert (await http.post(f"{gone}/mcp", json=tool_call(1, "add_memories"))).json() == {"served": "yes"}
    assert hosts == [b"called"]


async def test_a_call_that_takes_too_long_is_told_and_not_repeated() -> None:
    attempts = 0

    async def never(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        await reader.read()

    async with server_that(never) as url, patient(url, timeout=1.0) as http:
        told = (await http.post(url, json=tool_call(1, "search_memory"))).json()
    assert (attempts, "in time" in told["error"]["message"]) == (1, True)
