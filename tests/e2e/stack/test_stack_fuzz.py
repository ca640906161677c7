"""A short run of the fuzzers (`python -m fuzz` is the long one): whatever comes, no 5xx, and nothing dies."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from support.stack import Stack, running_stack

from fuzz.mcp import fuzz_mcp, offered
from fuzz.rest import fuzz_rest
from fuzz.tally import Tally

CASES = 200


@pytest.fixture(scope="module")
async def own(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stack]:
    """Of these tests alone: settings and projections of whoever shares one would be fuzzed too."""
    async with running_stack(tmp_path_factory.mktemp("fuzzed")) as stack:
        yield stack


async def test_no_request_that_openapi_allows_or_forbids_is_answered_with_a_server_error(own: Stack) -> None:
    tally = Tally("rest", CASES)
    await asyncio.to_thread(fuzz_rest, own.url, tally, None, {})
    assert tally.failures == {}
    assert tally.cases >= CASES and tally.statuses["200"] > 10 and tally.statuses["422"] > 10


async def test_no_mcp_message_is_answered_with_a_server_error(own: Stack, tmp_path: Path) -> None:
    tally = Tally("mcp", CASES)
    offer = await offered(own.url)
    await asyncio.to_thread(fuzz_mcp, own.url, tally, None, {}, offer, tmp_path)
    assert tally.failures == {}
    assert tally.cases >= CASES and tally.statuses["200"] > 10 and tally.statuses["400"] > 10
