"""Verification for a person: asked of the audit, which reads the log and its rows."""

from collections.abc import Sequence

from contracts.errors import MemlogError, Unavailable, error_from_code
from contracts.subjects import VERIFICATION
from contracts.verification import (
    Anchor,
    AnchorReply,
    ChainHead,
    Verification,
    VerificationReply,
    VerificationRequest,
)
from nats.aio.client import Client
from runtime.errors import NATS_FAILURES

_ASK_S = 30.0


class Verifying:
    """Asks who verifies. Methods raise `Unavailable`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def verify(self, *, stores: bool) -> Verification:
        """See `gateway.service.MemoryService`."""
        reply = await self._ask(VerificationRequest(action="start", stores=stores))
        return reply.verification or Verification()

    async def verification(self) -> Verification:
        """See `gateway.service.MemoryService`."""
        return (await self._ask(VerificationRequest(action="show"))).verification or Verification()

    async def anchor(self) -> Anchor:
        """See `gateway.service.MemoryService`."""
        anchor = (await self._ask(VerificationRequest(action="anchor"))).anchor
        if anchor is None:
            raise Unavailable("the audit told of no chain heads")
        return anchor

    async def check_anchors(self, heads: Sequence[ChainHead]) -> AnchorReply:
        """See `gateway.service.MemoryService`."""
        checked = (await self._ask(VerificationRequest(action="check", heads=[*heads]))).checked
        if checked is None:
            raise Unavailable("the audit did not compare the chain heads")
        return checked

    async def _ask(self, request: VerificationRequest) -> VerificationReply:
        try:
            answer = await self._client.request(VERIFICATION, request.model_dump_json().encode(), timeout=_ASK_S)
        except NATS_FAILURES as error:
            raise Unavailable(f"nobody verifies ({type(error).__name__}): see memlog status") from error
        reply = VerificationReply.model_validate_json(answer.data)
        if reply.code is not None:
            raise error_from_code(reply.code, reply.error or MemlogError.code)
        return reply
