"""How far behind a consumer or projection is, and for how long: followed while it is owned here.

What it has reached it knows itself, or the server does; what the log holds is asked for every few seconds.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from contracts.errors import MemlogError
from contracts.streams import DEAD, shard_in
from contracts.subjects import ROOT
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from runtime import metrics
from runtime.clock import utc_now
from runtime.errors import NATS_FAILURES
from runtime.metrics import Value

_LOOK_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Behind:
    """`waiting` messages behind the sequence that was `reached`."""

    reached: int
    waiting: int


class Lag:
    """Of one consumer on one stream. `behind` finds out where it is; `subjects` are those that it takes."""

    def __init__(
        self,
        consumer: str,
        stream: str,
        js: JetStreamContext,
        behind: Callable[[], Awaitable[Behind]],
        subjects: Sequence[str] = (),
    ) -> None:
        self._stream = stream
        self._js = js
        self._find = behind
        self._subjects = subjects or (">",)
        shard = shard_in(stream)
        self._letters_of = f"{ROOT}.dead.{consumer}.{shard}.>"
        self._attributes = {"consumer": consumer, "shard": shard}
        self.batch = {
            "messaging.system": "nats",
            "messaging.operation.name": "process",
            "messaging.destination.name": stream,
            "messaging.consumer.group.name": consumer,
        }
        """What metrics of a batch say."""
        self.behind: Behind | None = None
        """None while nobody knows."""
        self._oldest: datetime | None = None
        self._letters: int | None = None

    async def follow(self) -> None:
        """Look again and again, until cancelled."""
        try:
            while True:
                try:
                    await self._look()
                except (MemlogError, *NATS_FAILURES):
                    self._forget()
                await asyncio.sleep(_LOOK_EVERY_S)
        finally:
            self._forget()

    @contextmanager
    def shown(self, failing: Callable[[], bool]) -> Generator[None]:
        """For the length of the block, which owns the consumer, metrics tell how it is."""
        with ExitStack() as stack:
            stack.enter_context(metrics.POSITION.known(lambda: self._when(lambda at: at.reached)))
            stack.enter_context(metrics.LAG.known(lambda: self._when(lambda at: at.waiting)))
            stack.enter_context(metrics.AGE.known(lambda: self._when(self._age)))
            stack.enter_context(metrics.DEAD_LETTERS.known(self._dead))
            stack.enter_context(metrics.FAILING.known(lambda: [(float(failing()), self._attributes)]))
            yield

    def _forget(self) -> None:
        """No number is better than an old one."""
        self.behind = self._letters = None

    async def _look(self) -> None:
        behind = await self._find()
        oldest = await self._next_after(behind.reached) if behind.waiting else None
        info = await self._js.stream_info(DEAD.name, subjects_filter=self._letters_of)
        self.behind, self._oldest, self._letters = behind, oldest, sum((info.state.subjects or {}).values())

    async def _next_after(self, sequence: int) -> datetime | None:
        found: list[datetime] = []
        for subject in self._subjects:
            with suppress(NotFoundError):
                message = await self._js.get_msg(self._stream, sequence + 1, subject, direct=True, next=True)
                found += [] if message.time is None else [message.time]
        return min(found, default=None)

    def _when(self, value: Callable[[Behind], float]) -> list[Value]:
        behind = self.behind
        return [] if behind is None else [(value(behind), self._attributes)]

    def _age(self, behind: Behind) -> float:
        oldest = self._oldest
        return 0.0 if behind.waiting == 0 or oldest is None else max(0.0, (utc_now() - oldest).total_seconds())

    def _dead(self) -> list[Value]:
        return [] if self._letters is None else [(self._letters, self._attributes)]
