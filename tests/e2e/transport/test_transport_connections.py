"""Who is connected, as the gateway's transports note it."""

import httpx
import pytest
from gateway.connections import Connections
from support.running_gateway import WIRES, RunningGateway
from support.sse_stream import open_stream, tool_call
from support.stack import call, eventually


def noted(gateway: RunningGateway, user: str) -> list[tuple[str, str, bool]]:
    """App, kind, and whether it has called."""
    connections: Connections = gateway.app.state.connections
    return [(each.app, each.kind, each.last_call is not None) for each in connections.of(user)]


async def test_a_stream_of_mcp_is_connected_as_its_path_says_until_it_is_closed(gateway: RunningGateway) -> None:
    async with open_stream(gateway.url, "/mcp/cursor/sse/streaming") as stream:
        assert noted(gateway, "streaming") == [("cursor", "sse", False)]
        await stream.initialize()
        await stream.post(tool_call(1, "list_memories"))
        await stream.message()
        # The call is the stream's: it is not one of a client without.
        assert noted(gateway, "streaming") == [("cursor", "sse", True)]

    async def gone() -> bool:
        return noted(gateway, "streaming") == []

    await eventually(gone)


@pytest.mark.parametrize("revision", list(WIRES))
async def test_a_client_that_calls_is_connected_under_its_own_name(gateway: RunningGateway, revision: str) -> None:
    async with gateway.mcp(revision, name=f"caller {revision}") as client:
        await call(client, "list_memories")
    async with gateway.mcp(revision, path=f"/mcp/cursor/http/calling {revision}") as client:
        await call(client, "list_memories")
    assert noted(gateway, f"calling {revision}") == [("cursor", "calls", True)]
    assert [each for each in noted(gateway, "default") if revision in each[0]] == [
        (f"caller {revision}", "calls", True)
    ]


async def test_a_stream_of_events_is_the_owners(gateway: RunningGateway, http: httpx.AsyncClient) -> None:
    async with http.stream("GET", "/api/v1/events/stream", params={"user_id": "watching"}) as response:
        lines = response.aiter_lines()  # kept: one that nobody holds closes the stream
        await anext(lines)
        assert noted(gateway, "watching") == [("dashboard", "events", False)]

    async def gone() -> bool:
        return noted(gateway, "watching") == []

    await eventually(gone)
