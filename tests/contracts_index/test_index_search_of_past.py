"""The indexer's answers to searches of the past, over NATS."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from contracts.api import SearchRequest
from contracts.errors import InvalidInput, Unavailable
from contracts.events import MemoryAdded, MemoryDeleted, MemoryRevised
from contracts_index.shelves import feed, on_edge
from gateway.use_cases.searching import ask_indexer
from indexer.record import HAS_PAST
from indexer.search import SearchResponder
from runtime.waiting import Positions
from support.recorded_events import UID, recorded
from support.servers import Log

LOG = [
    recorded(1, MemoryAdded(memory_id="m", text="I live in Lisbon")),
    recorded(2, MemoryRevised(memory_id="m", version=2, text="I live in Porto")),
    recorded(3, MemoryDeleted(memory_id="m")),
]


@asynccontextmanager
async def answering(log: Log, folder: Path) -> AsyncGenerator[None]:
    place = await on_edge(folder)
    keeper = await place.keeper()
    await feed(await keeper.open(1), LOG)
    responder = SearchResponder(log.client, keeper, Positions(log.client), 1)
    await responder.open()
    yield
    await responder.close()
    await keeper.close()


def request(past: dict[int, list[str]] | None) -> SearchRequest:
    return SearchRequest(uid=UID, query="where do I live", limit=10, past=past)


async def test_a_search_of_the_past_finds_the_versions_that_it_names(log: Log, in_memory: Path) -> None:
    async with answering(log, in_memory):
        assert await ask_indexer(log.client, request(None)) == []
        for version in (1, 2):
            [hit] = await ask_indexer(log.client, request({version: ["m"]}))
            assert (hit.memory_id, hit.version) == ("m", version)
        assert await ask_indexer(log.client, request({})) == []


async def test_an_index_that_has_no_past_says_so_instead_of_finding_less(
    log: Log, in_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.keeper.INDEX_VERSION", HAS_PAST - 1)
    async with answering(log, in_memory):
        assert await ask_indexer(log.client, request(None)) == []
        with pytest.raises(Unavailable, match="being rebuilt"):
            await ask_indexer(log.client, request({1: ["m"]}))


async def test_a_past_that_fits_no_message_is_refused_with_what_to_do(log: Log) -> None:
    everything = {1: [f"{number:036}" for number in range(log.client.max_payload // 36)]}
    with pytest.raises(InvalidInput, match="name categories or apps"):
        await ask_indexer(log.client, request(everything))
