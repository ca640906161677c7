"""The official MCP conformance suite passes, and what it needs for that is never served otherwise."""

import subprocess
import sys

import pytest
from contracts.errors import ConfigurationError
from gateway.listening import check_fixtures
from mcp_types import TextContent
from support.conformance import REQUIRED, check, install
from support.node import NotInstalled
from support.running_gateway import WIRES, RunningGateway, serve_gateway


@pytest.mark.timeout(900)  # the first time, npm installs it
async def test_the_conformance_suite_passes_for_both_revisions() -> None:
    try:
        await install()
    except NotInstalled as error:
        pytest.skip(f"npm is out of reach, so the MCP conformance suite did not run: {error}")
    async with serve_gateway(conformance_fixtures=True) as running:
        for revision, required in REQUIRED.items():
            found = await check(f"{running.url}/mcp", revision)
            assert (len(found.passed), found.failed) == (required, []), found.said


@pytest.mark.parametrize("revision", list(WIRES))
async def test_beside_the_fixtures_memlog_serves_what_it_always_does(revision: str) -> None:
    async with serve_gateway(conformance_fixtures=True) as running, running.mcp(revision) as client:
        added = await client.call_tool("add_memories", {"text": "Likes tea"})
        assert not added.is_error
        (message,) = (await client.get_prompt("recall", {"topic": "tea"})).messages
        assert isinstance(message.content, TextContent) and "Likes tea" in message.content.text


@pytest.mark.parametrize("revision", list(WIRES))
async def test_without_the_setting_there_are_no_fixtures(gateway: RunningGateway, revision: str) -> None:
    async with gateway.mcp(revision) as client:
        offered = [*(await client.list_tools()).tools, *(await client.list_prompts()).prompts]
        assert not [each.name for each in offered if each.name.startswith("test_")]
        assert (await client.list_resources()).resources == []


def test_the_gateway_does_not_import_the_fixtures() -> None:
    code = "import sys, gateway.container; sys.exit('gateway.mcp.conformance' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_fixtures_are_refused_where_others_can_reach_them() -> None:
    check_fixtures("127.0.0.1", fixtures=True)
    check_fixtures("0.0.0.0", fixtures=False)
    with pytest.raises(ConfigurationError, match="MEMLOG_CONFORMANCE_FIXTURES"):
        check_fixtures("0.0.0.0", fixtures=True)
