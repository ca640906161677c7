"""Resources, the prompt and trace context of MCP on a whole Memlog: reads are written down, traces go on."""

import uuid
from typing import Any, cast

import pytest
from contracts import subjects
from contracts.streams import commands
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import Implementation, TextContent, TextResourceContents
from support.inside import Inside
from support.stack import WIRES, eventually

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
both_revisions = pytest.mark.parametrize("revision", list(WIRES))


def connected(memlog: Inside, revision: str, who: str) -> Client:
    info = Implementation(name="test client", version="1")
    return Client(f"{memlog.url}/mcp/cursor/http/{who}", mode=WIRES[revision], client_info=info)


@both_revisions
@pytest.mark.guarantee("G7", "G8")
async def test_a_resource_and_the_prompt_are_reads_of_the_app_and_closed_while_it_is_paused(
    memlog: Inside, revision: str
) -> None:
    who = f"reader-{uuid.uuid4().hex[:8]}"
    async with connected(memlog, revision, who) as client:
        added = await client.call_tool("add_memories", {"text": "The boat is called Ada", "infer": False})
        memory_id = added.structured_content["results"][0]["id"]
        (contents,) = (await client.read_resource(f"memory://{memory_id}")).contents
        assert isinstance(contents, TextResourceContents) and contents.text == "The boat is called Ada"
        (message,) = (await client.get_prompt("recall", {"topic": "the boat"})).messages
        assert isinstance(message.content, TextContent) and "The boat is called Ada" in message.content.text

        async def logged() -> bool:
            path, params = f"/api/v1/memories/{memory_id}/access-log", {"user_id": who}
            logs = (await memlog.http.get(path, params=params)).json()["logs"]
            return {(row["app_name"], row["access_type"]) for row in logs} >= {("cursor", "get"), ("cursor", "search")}

        assert await eventually(logged)
        apps = (await memlog.http.get("/api/v1/apps", params={"user_id": who})).json()["apps"]
        paused = {"user_id": who, "is_active": False}
        assert (await memlog.http.put(f"/api/v1/apps/{apps[0]['id']}", params=paused)).status_code == 200
        assert (await client.list_resources()).resources == []
        (message,) = (await client.get_prompt("recall", {"topic": "the boat"})).messages
        assert isinstance(message.content, TextContent) and "Ada" not in message.content.text
        with pytest.raises(MCPError):
            await client.read_resource(f"memory://{memory_id}")


@both_revisions
async def test_the_trace_context_of_a_message_goes_on_in_its_command(memlog: Inside, revision: str) -> None:
    who = f"traced-{uuid.uuid4().hex[:8]}"
    meta = cast("Any", {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01", "tracestate": "vendor=1"})
    async with connected(memlog, revision, who) as client:
        added = await client.call_tool("add_memories", {"text": "Likes tea", "infer": False}, meta=meta)
    uid, operation_id = await memlog.uid(who), added.structured_content["operation_id"]
    shard = memlog.shard(uid)
    subject = subjects.command_subject(shard, uid, operation_id)
    stored = await memlog.log.js.get_msg(commands(shard).name, subject=subject, direct=True)
    headers = cast("dict[str, str]", stored.headers)  # pyright: ignore[reportUnknownMemberType]
    assert headers["traceparent"].split("-")[1] == TRACE_ID
    assert headers["tracestate"] == "vendor=1"
