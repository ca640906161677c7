"""Projections for a person: where they are, which generations they have, and rebuilding them."""

import asyncio

from contracts.errors import NotFound, Unavailable, error_from_code
from contracts.generations import GenerationReply, GenerationRequest, ProjectionList, ProjectionView
from contracts.streams import ACCESS_LOG, INDEX, READ_MODELS
from contracts.subjects import generations_subject
from nats.aio.client import Client
from runtime.errors import NATS_FAILURES

_NAMES = (READ_MODELS, ACCESS_LOG, INDEX)
_ALIASES = {"read-model": READ_MODELS}
_DESCRIBE_S = 5.0
_HASH_S = 600.0
_CHANGE_S = 120.0
"""A switch waits until every owner has caught the generation up, and until it was compared."""


class Projections:
    """Asks who keeps the generations of each."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def projections(self, *, state_hash: bool) -> ProjectionList:
        """See `gateway.service.MemoryService`."""
        return ProjectionList(projections=await asyncio.gather(*(self._or_why(name, state_hash) for name in _NAMES)))

    async def projection(self, name: str, *, state_hash: bool) -> ProjectionView:
        """See `gateway.service.MemoryService`."""
        request = GenerationRequest(action="describe", state_hash=state_hash)
        return await self._ask(_known(name), request, _HASH_S if state_hash else _DESCRIBE_S)

    async def change_projection(self, name: str, request: GenerationRequest) -> ProjectionView:
        """See `gateway.service.MemoryService`."""
        return await self._ask(_known(name), request, _CHANGE_S)

    async def _or_why(self, name: str, state_hash: bool) -> ProjectionView:
        try:
            return await self.projection(name, state_hash=state_hash)
        except Unavailable as error:
            return ProjectionView(name=name, positions={}, lag=0, generations=[], failure=error.message)

    async def _ask(self, name: str, request: GenerationRequest, timeout: float) -> ProjectionView:
        try:
            answer = await self._client.request(
                generations_subject(name), request.model_dump_json().encode(), timeout=timeout
            )
        except NATS_FAILURES as error:
            raise Unavailable(
                f"nobody answers for the generations of {name} ({type(error).__name__}); see: memlog status"
            ) from error
        reply = GenerationReply.model_validate_json(answer.data)
        if reply.projection is None:
            raise error_from_code(reply.code or "", reply.error or "")
        return reply.projection


def _known(name: str) -> str:
    name = _ALIASES.get(name, name)
    if name not in _NAMES:
        raise NotFound(f"there is no projection {name!r}; there are: {', '.join(_NAMES)}")
    return name
