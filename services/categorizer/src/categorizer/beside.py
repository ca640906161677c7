"""Texts that are categorized one by one, beside what comes after them: a model takes its time, and may be away."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable

import structlog
from contracts.streams import CATEGORIZER_CONSUMER
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from runtime.dead_letters import bury
from runtime.errors import NATS_FAILURES
from runtime.event_store import StoredMessage
from runtime.outcome import Outcome, Reject
from runtime.quarantine import WILL_HEAL

log = structlog.get_logger()
_MOST = 256
"""Texts at once; who brings another waits."""
_HOLD_EVERY_S = 15.0
"""A fraction of the consumer's ack wait."""
_RETRY_FIRST_S, _RETRY_MOST_S = 0.5, 10.0
Work = Callable[[], Awaitable[Outcome]]


class Beside:
    """Works on messages that the consumer was told are `Deferred`, and acks each when its work is durable. What can
    heal is tried again, each by itself."""

    def __init__(self, js: JetStreamContext, stream: str) -> None:
        self._js = js
        self._stream = stream
        self._messages: dict[int, Msg] = {}
        self._room = asyncio.Semaphore(_MOST)
        self._taken: asyncio.Queue[tuple[int, StoredMessage, Work]] = asyncio.Queue()
        self.counts: Counter[str] = Counter()
        self.failure: str | None = None
        """Why something is tried again, for health; None once anything is done."""

    def __len__(self) -> int:
        return len(self._messages)

    async def take(self, message: Msg, copy: StoredMessage, work: Work) -> None:
        """Begin, once there is room. A message that is worked on already is not taken twice: it came again because the
        consumer was taken over."""
        if copy.sequence in self._messages:
            self._messages[copy.sequence] = message
            return
        await self._room.acquire()
        self._messages[copy.sequence] = message
        self._taken.put_nowait((copy.sequence, copy, work))

    async def run(self) -> None:
        """Work until cancelled; what was begun comes again to the next owner."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hold())
            while True:
                tasks.create_task(self._one(*await self._taken.get()))

    async def _one(self, sequence: int, copy: StoredMessage, work: Work) -> None:
        delay = _RETRY_FIRST_S
        try:
            while True:
                try:
                    outcome = await work()
                    if isinstance(outcome, Reject):
                        log.error("command_rejected", stream=self._stream, subject=copy.subject, reason=outcome.reason)
                        await bury(self._js, CATEGORIZER_CONSUMER, self._stream, copy, outcome.reason)
                    break
                except WILL_HEAL as error:
                    self.failure = str(error) or type(error).__name__
                    log.warning("categorizing_delayed", stream=self._stream, sequence=sequence, reason=self.failure)
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, _RETRY_MOST_S)
            self.failure = None
            self.counts[type(outcome).__name__] += 1
            with contextlib.suppress(*NATS_FAILURES):  # it comes again, and is found to be done
                await self._messages[sequence].ack()
        finally:
            del self._messages[sequence]
            self._room.release()

    async def _hold(self) -> None:
        while True:
            await asyncio.sleep(_HOLD_EVERY_S)
            for message in [*self._messages.values()]:
                with contextlib.suppress(*NATS_FAILURES):
                    await message.in_progress()
