"""What the gateway can do for the operator, about all users; the other half of `gateway.service`."""

from collections.abc import Sequence
from typing import Protocol

from contracts.api import Health
from contracts.dead_letters import DeadLetterDetail, DeadLetterPage, Redriven, RedriveReport
from contracts.generations import GenerationRequest, ProjectionList, ProjectionView
from contracts.verification import Anchor, AnchorReply, ChainHead, Verification

from gateway.asking import Caller


class OperatorService(Protocol):
    """Methods raise as those of `gateway.service.MemoryService`."""

    # -- what was given up on: of all users; content for its owner only ------------------------------------------------
    async def dead_letters(self, *, after: int, limit: int) -> DeadLetterPage: ...

    async def dead_letter(self, caller: Caller, letter_id: int) -> DeadLetterDetail: ...

    async def redrive(self, letter_id: int) -> Redriven:
        """Try again what the letter is about. Raises `RedriveFailed` when it fails again."""
        ...

    async def redrive_all(self) -> RedriveReport: ...

    async def drop_dead_letter(self, letter_id: int) -> Redriven:
        """Go on without this message, for good. What waited behind it is applied, up to the next that cannot be."""
        ...

    # -- derived stores ---------------------------------------------------------------------------------------------
    async def projections(self, *, state_hash: bool) -> ProjectionList:
        """One that nobody answers for says so, and has no generations."""
        ...

    async def projection(self, name: str, *, state_hash: bool) -> ProjectionView: ...

    async def change_projection(self, name: str, request: GenerationRequest) -> ProjectionView:
        """Raises `Conflict` for what the generations' states do not allow."""
        ...

    # -- proofs -----------------------------------------------------------------------------------------------------
    async def verify(self, *, stores: bool) -> Verification:
        """Begin, unless one runs; `stores`: compare the derived stores with a fresh fold of the log, too."""
        ...

    async def verification(self) -> Verification: ...

    async def anchor(self) -> Anchor: ...

    async def check_anchors(self, heads: Sequence[ChainHead]) -> AnchorReply:
        """Raises `InvalidInput` for a stream that has no audit chain."""
        ...

    # -- health ------------------------------------------------------------------------------------------------
    async def health(self) -> Health:
        """Asks every part, bounded; never raises for a part that is down: says so instead."""
        ...
