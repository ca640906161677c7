"""Waiting for positions: a read after a write sees it, without sleeping and without polling the stores.

Projections push their position after each commit; asking them is the fallback when a push was lost.
"""

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import Iterable

from contracts.api import Announcement
from contracts.positions import Position
from contracts.subjects import ROOT, position_request_subject
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from runtime.errors import NATS_FAILURES
from runtime.nats import subscribe

_ASK_EVERY = 0.5
_Waiting = list[tuple[int, int, asyncio.Future[None]]]


class Positions:
    """Follows the positions of all projections. `open()` before use."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._at: dict[tuple[str, int], int] = {}
        self._run: dict[tuple[str, int], int] = {}
        self._highest: dict[tuple[str, int], int] = {}
        self._quarantined: dict[tuple[str, int], int] = {}
        self._waiting: dict[tuple[str, int], _Waiting] = {}
        self._order = itertools.count()
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        async def heard(message: Msg) -> None:
            self._advance(Announcement.model_validate_json(message.data))

        self._subscription = await subscribe(self._client, f"{ROOT}.position.*.*", heard)

    async def close(self) -> None:
        if self._subscription is not None and not self._client.is_closed:
            with contextlib.suppress(*NATS_FAILURES):
                await self._subscription.unsubscribe()

    def known(self, projection: str, shard: int) -> int:
        """The last sequence that the projection is known to have passed (0: none heard of)."""
        return self._at.get((projection, shard), 0)

    def highest(self, projection: str, shard: int) -> int:
        """The highest sequence that the projection was ever heard at. Above `known`, it has gone back: its store came
        back from a crash without its last commits and is catching up."""
        return self._highest.get((projection, shard), 0)

    def quarantined(self, projection: str, shard: int) -> int:
        """How many aggregates the projection has quarantined: their events are passed without being applied. As of the
        position that it is known to have passed; what it passes later may be healed before this is heard."""
        return self._quarantined.get((projection, shard), 0)

    async def wait(self, projections: Iterable[str], position: Position, timeout: float) -> bool:
        """Whether all of the projections passed the position within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                for projection in projections:
                    await self._passed(projection, position)
            return True
        except TimeoutError:
            return False

    async def ask(self, projection: str, shard: int, timeout: float = 1.0) -> int | None:
        """The projection's position by its own word, or None when it does not answer."""
        try:
            reply = await self._client.request(position_request_subject(projection, shard), b"", timeout=timeout)
        except NATS_FAILURES:
            return None
        answer = Announcement.model_validate_json(reply.data)
        self._advance(answer)
        return answer.sequence

    async def _passed(self, projection: str, position: Position) -> None:
        key = (projection, position.shard)
        while self._at.get(key, 0) < position.sequence:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting.setdefault(key, []), (position.sequence, next(self._order), future))
            try:
                async with asyncio.timeout(_ASK_EVERY):
                    await future
            except TimeoutError:
                await self.ask(projection, position.shard)

    def _advance(self, heard: Announcement) -> None:
        key = (heard.projection, heard.shard)
        run, at = self._run.get(key, 0), self._at.get(key, 0)
        if heard.run < run:
            return  # said before the projection started anew
        if heard.run > run or heard.sequence >= at:
            self._quarantined[key] = heard.quarantined
        # Within a run, an answer may arrive behind a later push. A new run may have gone back: then the old number
        # must not be believed any more.
        self._at[key] = max(at, heard.sequence) if heard.run == run else heard.sequence
        self._run[key] = heard.run
        self._highest[key] = max(heard.sequence, self._highest.get(key, 0))
        waiting = self._waiting.get(key, [])
        while waiting and waiting[0][0] <= heard.sequence:
            _, _, future = heapq.heappop(waiting)
            if not future.done():
                future.set_result(None)
