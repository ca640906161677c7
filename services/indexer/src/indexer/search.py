"""Search over NATS request/reply: embed the query, ask the index, answer ids and scores."""

from collections.abc import Iterable
from dataclasses import replace

from contracts.access import Access
from contracts.api import SearchHit, SearchReply, SearchRequest
from contracts.categories import category_keys
from contracts.errors import Unavailable
from contracts.positions import Position
from contracts.streams import INDEX
from contracts.subjects import SEARCH, shard_of
from nats.aio.client import Client
from runtime.spans import indexing
from runtime.waiting import Positions

from indexer.index import SearchFilter, of_user
from indexer.keeper import IndexKeeper
from indexer.record import HAS_PAST
from indexer.responder import Responder


class SearchResponder(Responder[SearchRequest, SearchReply]):
    """Answers searches."""

    def __init__(self, client: Client, keeper: IndexKeeper, positions: Positions, shards: int) -> None:
        super().__init__(client, SEARCH, SearchRequest, SearchReply)
        self._keeper = keeper
        self._positions = positions
        self._shards = shards

    async def reply(self, request: SearchRequest) -> SearchReply:
        """See `Responder.reply`."""
        return SearchReply(hits=await self._search(request))

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
