"""Search over NATS request/reply: embed the query, ask the index, answer ids and scores."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import structlog
from contracts.access import Access
from contracts.api import SearchHit, SearchReply, SearchRequest
from contracts.categories import category_keys
from contracts.errors import MemlogError, Unavailable
from contracts.positions import Position
from contracts.streams import INDEX
from contracts.subjects import SEARCH, shard_of
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import ValidationError
from runtime.nats import subscribe
from runtime.spans import handling, indexing
from runtime.waiting import Positions

from indexer.index import SearchFilter, of_user
from indexer.keeper import IndexKeeper
from indexer.record import HAS_PAST

log = structlog.get_logger()


class SearchResponder:
    """Answers searches, each in a task of its own, so that one that waits holds up no other."""

    def __init__(self, client: Client, keeper: IndexKeeper, positions: Positions, shards: int) -> None:
        self._client = client
        self._keeper = keeper
        self._positions = positions
        self._shards = shards
        self._running: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        async def arrived(message: Msg) -> None:
            task = asyncio.ensure_future(self._answer(message))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

        await subscribe(self._client, SEARCH, arrived, queue="indexer")

    async def close(self) -> None:
        """Cut off what is still being answered: its callers are told by their own time-out."""
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _answer(self, message: Msg) -> None:
        with handling(SEARCH, "SearchRequest", message.headers or {}):
            try:
                request = SearchRequest.model_validate_json(message.data)
                reply = SearchReply(hits=await self._search(request))
            except ValidationError as error:
                reply = SearchReply(code="invalid_input", error=f"{error.error_count()} fields of the search are wrong")
            except MemlogError as error:
                reply = SearchReply(code=error.code, error=error.message)
            except Exception as error:  # the caller must get an answer, whatever is wrong here
                log.error("search_failed", exc_info=error)
                reply = SearchReply(code="internal", error=f"a defect in the indexer ({type(error).__name__})")
            await message.respond(reply.model_dump_json().encode())

    async def _search(self, request: SearchRequest) -> list[SearchHit]:
        if request.min_sequence:
            position = Position(shard_of(request.uid, self._shards), request.min_sequence)
            if not await self._positions.wait((INDEX,), position, request.timeout_s):
                raise Unavailable("the index has not reached the position asked for yet; try again")
        where = SearchFilter(
            uid=request.uid,
            states=tuple(request.states),
            app_ids=None if request.app_ids is None else tuple(request.app_ids),
            categories=None if request.categories is None else category_keys(request.categories),
            exclude_app_ids=tuple(request.exclude_app_ids),
            access=None if request.access is None else _within(request.uid, request.access),
            past=None
            if request.past is None
            else {version: _of_user(request.uid, memory_ids) for version, memory_ids in request.past.items()},
        )
        async with self._keeper.searchable() as generation:
            if where.past is not None and generation.record.version < HAS_PAST:
                raise Unavailable("the index is being rebuilt; it cannot search the past before that is done")
            embedding = await generation.embedding.get()
            vectors = await embedding.embed([request.query], urgent=True)
            with indexing("query", generation.index.kind):
                hits = await generation.index.search(vectors[0], request.query, where, request.limit)
        return [SearchHit(memory_id=hit.memory_id, version=hit.version, score=hit.score) for hit in hits]


def _of_user(uid: str, memory_ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(of_user(uid, memory_id) for memory_id in memory_ids)


def _within(uid: str, access: Access) -> Access:
    """The same about memories as the index calls them."""
    return replace(
        access,
        allowed_memories=_of_user(uid, access.allowed_memories),
        denied_memories=_of_user(uid, access.denied_memories),
    )
