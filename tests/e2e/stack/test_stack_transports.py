"""The whole round over each transport, against a whole Memlog: the official SDK's clients and the MCP Inspector."""

import asyncio
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp_types import Implementation
from support.inspector import Inspector
from support.sse_stream import open_stream, tool_call
from support.stack import WIRES, Stack, call, running_stack
from support.stdio_bridge import COMMAND, over_stdio

APP = "cursor"
both_revisions = pytest.mark.parametrize("revision", list(WIRES))


def user(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def over_sse(stack: Stack, revision: str, path: str) -> Client:
    info = Implementation(name="test client", version="1")
    return Client(sse_client(f"{stack.url}{path}"), mode=WIRES[revision], client_info=info, read_timeout_seconds=60)


CONNECT: dict[str, Callable[[Stack, str, str], Client]] = {
    "sse": lambda stack, revision, who: over_sse(stack, revision, f"/mcp/{APP}/sse/{who}"),
    "sse, other order": lambda stack, revision, who: over_sse(stack, revision, f"/mcp/sse/{APP}/{who}"),
    "stdio": lambda stack, revision, who: over_stdio(revision, "--client", APP, "--user", who, "--url", stack.url),
}


@pytest.mark.parametrize("transport", list(CONNECT))
@both_revisions
async def test_the_sdks_client_does_the_whole_round(stack: Stack, transport: str, revision: str) -> None:
    who = user("round")
    async with CONNECT[transport](stack, revision, who) as client:
        assert len((await client.list_tools()).tools) == 7
        added = await call(client, "add_memories", text="My daughter is allergic to peanuts")
        memory_id = added["results"][0]["id"]
        assert added["state"] == "searchable"
        found = (await call(client, "search_memory", query="which foods must my child avoid?"))["results"]
        assert (found[0]["id"], found[0]["source_app"]) == (memory_id, APP)
        await call(client, "update_memory", memory_id=memory_id, text="My daughter outgrew her allergy")
        listed = (await call(client, "list_memories"))["results"]
        assert [row["memory"] for row in listed] == ["My daughter outgrew her allergy"]
        history = await call(client, "get_memory_history", memory_id=memory_id)
        events = [entry["event"] for entry in history["entries"]]
        assert [event for event in events if event != "MemoryCategorized"] == ["MemoryAdded", "MemoryRevised"]
        # What one transport wrote, another sees, and nobody else does.
        async with stack.mcp(revision, f"/mcp/{APP}/http/{who}") as other:
            assert len((await call(other, "list_memories"))["results"]) == 1
        async with stack.mcp(revision, f"/mcp/{APP}/http/{user('stranger')}") as other:
            assert (await call(other, "list_memories"))["results"] == []
        assert (await call(client, "delete_memories", memory_ids=[memory_id]))["deleted"] == 1
        assert (await call(client, "delete_all_memories"))["deleted"] == 0


@pytest.mark.timeout(900)  # the first time, npm installs it
async def test_the_inspectors_command_line_lists_and_calls_tools_over_each_transport(
    stack: Stack, tmp_path: Path
) -> None:
    who = user("inspector")
    inspect = Inspector(tmp_path)
    servers = {
        "http": (f"{stack.url}/mcp/inspector/http/{who}", "--transport", "http"),
        "sse": (f"{stack.url}/mcp/inspector/sse/{who}", "--transport", "sse"),
        "stdio": (*COMMAND, "--client", "inspector", "--user", who, "--url", stack.url),
    }
    for name, server in servers.items():
        listed = await inspect(*server, "--method", "tools/list")
        assert [tool["name"] for tool in listed["tools"]][:2] == ["add_memories", "search_memory"], name
        added = await _tool(inspect, server, "add_memories", text=f"The {name} transport carries words")
        assert added["results"][0]["event"] == "ADD", name
    found = await _tool(inspect, servers["http"], "search_memory", query="what carries words?")
    assert {row["memory"] for row in found["results"]} == {f"The {name} transport carries words" for name in servers}


async def test_a_stop_ends_open_streams_cleanly_and_clients_over_stdio_go_on_after_the_next_start(
    tmp_path: Path,
) -> None:
    async with running_stack(tmp_path / "memlog") as stack, AsyncExitStack() as clients:
        bridge = over_stdio("2025-11-25", "--client", "zed", "--user", "ada", "--url", stack.url)
        await clients.enter_async_context(bridge)
        streams = [
            await clients.enter_async_context(open_stream(stack.url, f"/mcp/app{number}/sse/ada"))
            for number in range(5)
        ]
        await streams[0].initialize()
        await streams[0].post(tool_call(1, "add_memories", text="Written over SSE just before the stop"))
        assert (await streams[0].message())["result"]["isError"] is False

        stopping = asyncio.create_task(stack.stop())
        for stream in streams:
            assert await stream.event() is None, "the stream ends, whole"
        assert await stopping == 0
        assert stack.cut_off() == []

        waiting = asyncio.create_task(call(bridge, "list_memories"))
        await stack.start()
        async with asyncio.timeout(60):
            memories = [row["memory"] for row in (await waiting)["results"]]
        assert memories == ["Written over SSE just before the stop"]


async def _tool(inspect: Inspector, server: tuple[str, ...], tool: str, **arguments: str) -> dict[str, Any]:
    pairs = [part for name, value in arguments.items() for part in ("--tool-arg", f"{name}={value}")]
    result = await inspect(*server, "--method", "tools/call", "--tool-name", tool, *pairs)
    assert not result.get("isError"), result
    return result["structuredContent"]
