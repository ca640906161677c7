"""The one loop that consumes with acks: own the lease, take messages in order, ack after the handler's commit."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

import structlog
from contracts.errors import Unavailable
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from runtime.dead_letters import bury
from runtime.errors import NATS_FAILURES, nats_errors
from runtime.event_store import StoredMessage
from runtime.lag import Behind, Lag
from runtime.metrics import CONSUMED, PROCESSED, took
from runtime.outcome import Applied, Deferred, NotApplicable, Outcome, Reject, Retry, Skipped
from runtime.pull import Pull
from runtime.tasks import end

log = structlog.get_logger()
_MAX_BATCH = 128
_ACK_WAIT, _ACK_WAIT_KEPT = 60.0, 3600.0


Handler = Callable[[Sequence[Msg], int], Awaitable[Sequence[Outcome]]]
"""Gets messages in order and the stream sequence up to which they may have been handled before (a former owner,
a lost ack); returns an outcome for each, or fewer when the last one is a `Retry`."""


@dataclass(frozen=True, slots=True)
class Calm:
    """When work that nobody waits for begins: once nothing has arrived for `quiet` seconds, or the first message waits
    for `patience`. It then costs one large batch instead of many small ones, and takes the turn of no other."""

    quiet: float
    patience: float


class _WentElsewhere(Exception):
    """A former owner's open request at the server got a message that is ours."""


class CommandConsumer:
    """Consumes one stream (of commands, or of events that something is done about) through its durable consumer, whose
    ack floor is the position. `subjects`: only these (set when the consumer is made; none: all). `calm`: when to begin,
    if not at once. `keeps`: the handler keeps any number of messages for any time, and takes it well when those come
    again; what follows is not held up."""

    def __init__(
        self,
        client: Client,
        js: JetStreamContext,
        stream: str,
        name: str,
        handle: Handler,
        subjects: Sequence[str] = (),
        calm: Calm | None = None,
        keeps: bool = False,
    ) -> None:
        self._client = client
        self._js = js
        self._stream = stream
        self._name = name
        self._handle = handle
        self._subjects = subjects
        self._calm = calm
        self._keeps = keeps
        self.counts: Counter[str] = Counter()
        self.failure: str | None = None
        """Why it does not get on at the moment, for health; None while it works."""
        self.lag = Lag(name, stream, js, self._behind, subjects)

    async def run(self) -> None:
        """Consume until cancelled. NATS failures are waited out; errors of the handler propagate."""
        with self.lag.shown(lambda: self.failure is not None):
            following = asyncio.create_task(self.lag.follow())
            try:
                await self._run()
            finally:
                await end(following)

    async def _behind(self) -> Behind:
        info = await self._js.consumer_info(self._stream, self._name)
        floor = info.ack_floor.stream_seq if info.ack_floor is not None else 0
        return Behind(floor, (info.num_pending or 0) + (info.num_ack_pending or 0))

    async def _run(self) -> None:
        while True:
            try:
                seen = await self._prepare()
                async with Pull(self._client, self._stream, self._name, demand=_MAX_BATCH * 4) as pull:
                    await self._consume(pull, seen)
            except _WentElsewhere:
                # Take over once more; until that request has run out (seconds), what it gets comes again.
                log.warning("command_went_elsewhere", stream=self._stream)
            except (Unavailable, *NATS_FAILURES) as error:
                self.failure = str(error) or type(error).__name__
                log.warning("consumer_interrupted", stream=self._stream, error=self.failure)
                await asyncio.sleep(0.3)

    async def _prepare(self) -> int:
        """Make the consumer, or take it over from its ack floor on, so that order holds and nothing is missed.

        Returns the stream's last sequence: nothing tells how far a former owner came (a reset clears what was
        delivered, and the consumer itself may have been lost), so what is there now may all have been handled.
        """
        with nats_errors(f"prepare consumer {self._name}"):
            seen = (await self._js.stream_info(self._stream)).state.last_seq
            try:
                await self._js.consumer_info(self._stream, self._name)
                await self._js.reset_consumer(self._stream, self._name)
            except NotFoundError:
                await self._js.add_consumer(  # pyright: ignore[reportUnknownMemberType]
                    self._stream,
                    ConsumerConfig(
                        durable_name=self._name,
                        filter_subjects=[*self._subjects] or None,
                        deliver_policy=DeliverPolicy.ALL,
                        ack_policy=AckPolicy.EXPLICIT,
                        ack_wait=_ACK_WAIT_KEPT if self._keeps else _ACK_WAIT,
                        max_ack_pending=-1 if self._keeps else _MAX_BATCH * 8,
                        max_waiting=8,
                    ),
                )
            return seen

    async def _consume(self, pull: Pull, seen: int) -> None:
        waiting: list[Msg] = []
        expected = 1
        self.failure = None
        while True:
            if not waiting:
                waiting = await self._next(pull)
                for message in waiting:
                    if message.metadata.sequence.consumer != expected:
                        raise _WentElsewhere
                    expected += 1
            with took(PROCESSED, self.lag.batch):
                outcomes = await self._handle(waiting, seen)
            CONSUMED.add(len(outcomes), self.lag.batch)
            delay: float | None = None
            for message, outcome in zip(waiting, outcomes, strict=False):
                self.counts[type(outcome).__name__] += 1
                match outcome:
                    case Applied() | Skipped() | NotApplicable():
                        await message.ack()
                    case Deferred():
                        pass
                    case Reject(reason):
                        await self._bury(message, reason)
                        await message.ack()
                    case Retry(seconds, reason):
                        self.failure = reason
                        log.warning("command_retry", stream=self._stream, reason=reason)
                        delay = seconds
                        break
                    case _:
                        assert_never(outcome)
            done = len(outcomes) - (delay is not None)
            if delay is None:
                self.failure = None
            else:
                # What was in flight may have been stored although the answer was lost: treat it as seen.
                seen = max(seen, waiting[-1].metadata.sequence.stream)
                for message in waiting[done:]:
                    with contextlib.suppress(*NATS_FAILURES):
                        await message.in_progress()
                await asyncio.sleep(delay)
            waiting = waiting[done:]

    async def _next(self, pull: Pull) -> list[Msg]:
        messages = await pull.batch(_MAX_BATCH)
        calm = self._calm
        if calm is None:
            return messages
        until = time.monotonic() + calm.patience
        while len(messages) < _MAX_BATCH and time.monotonic() < until:
            more = await pull.batch(_MAX_BATCH - len(messages), idle=calm.quiet)
            if not more:
                break
            messages += more
        return messages

    async def _bury(self, message: Msg, reason: str) -> None:
        log.error("command_rejected", stream=self._stream, subject=message.subject, reason=reason)
        metadata = message.metadata
        copy = StoredMessage(message.subject, metadata.sequence.stream, message.data, metadata.timestamp, {})
        await bury(self._js, self._name, self._stream, copy, reason)
