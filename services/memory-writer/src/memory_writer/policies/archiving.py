"""Archive policies carried out: memories that nobody changed for long are put away, as their users said (ADR 21).

It has no store. What is due it asks audit, whose read models know it; whether it still is, the writer decides, who sees
the log: each memory is named with the sequence of the last event that audit knew of. A command's id derives from what
it names, so one that is sent again, by whomever, has one effect.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime

import structlog
from contracts import subjects
from contracts.archiving import DueMemory, DueReply, DueRequest
from contracts.codec import Meta, encode
from contracts.commands import ArchiveMemories
from contracts.errors import MemlogError, Unavailable, error_from_code
from contracts.ids import OWN_APP, command_id_for_key
from contracts.positions import Position
from contracts.streams import READ_MODELS, commands, events
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import Header
from nats.js.errors import APIError
from pydantic import JsonValue
from runtime.clock import utc_now
from runtime.errors import NATS_FAILURES, WRONG_LAST_SEQUENCE, nats_errors
from runtime.event_store import EventStore
from runtime.nats import subscribe
from runtime.spans import sending
from runtime.telemetry import span, trace_headers
from runtime.waiting import Positions

log = structlog.get_logger()
ACTOR = "policy"
PAGE = 500
"""Memories that are asked for at once."""
AT_ONCE = 10_000
"""Memories a command, at most. One for many is carried out in chunks, beside the commands of others."""
_ASK_S = 10.0
_FOLLOWED_S = 60.0
_STORED_S = 0.3
"""How long after its publication an event is surely stored, or refused."""
_AGAIN_FIRST, _AGAIN_MOST = 1.0, 60.0


class Archiving:
    """The policies of one shard, for its owner. `interval` in seconds; `clock` gives UTC."""

    def __init__(
        self,
        shard: int,
        client: Client,
        js: JetStreamContext,
        log_: EventStore,
        positions: Positions,
        interval: float,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._shard = shard
        self._client = client
        self._js = js
        self._events = log_
        self._positions = positions
        self._interval = interval
        self._clock = clock
        self.runs = 0
        self.named = 0
        """Memories that commands were sent for."""
        self.failure: str | None = None
        """Why a run has to wait; None after one that came to its end."""

    def as_facts(self) -> dict[str, JsonValue]:
        """For health."""
        return {"runs": self.runs, "named": self.named, "waits": self.failure}

    async def run(self) -> None:
        """Carry the policies out now, every `interval`, and soon after one was set, until cancelled."""
        changed = asyncio.Event()

        async def heard(_: Msg) -> None:
            changed.set()

        subscription = await subscribe(self._client, subjects.policies_of_shard(self._shard), heard)
        again = _AGAIN_FIRST
        try:
            while True:
                changed.clear()
                try:
                    await self.once()
                    self.failure, pause, again = None, self._interval, _AGAIN_FIRST
                except (MemlogError, *NATS_FAILURES) as error:
                    self.failure = str(error) or type(error).__name__
                    level = log.error if isinstance(error, MemlogError) and error.status < 503 else log.info
                    level("policies_wait", shard=self._shard, reason=self.failure)
                    pause, again = min(again, self._interval), min(again * 2, _AGAIN_MOST)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await changed.wait()
                        # An event is heard when it is published, a moment before the log has it.
                        await asyncio.sleep(_STORED_S)
        finally:
            if not self._client.is_closed:
                with contextlib.suppress(*NATS_FAILURES):
                    await subscription.unsubscribe()

    async def once(self) -> None:
        """Send commands for all that is due. Raises as audit does, `Unavailable`; what was sent by then is durable."""
        last = await self._events.last_sequence(events(self._shard).name)
        if not await self._positions.wait((READ_MODELS,), Position(self._shard, last), _FOLLOWED_S):
            raise Unavailable("the read models are behind: what is due is not known yet")
        now = self._clock()
        together: list[DueMemory] = []
        async for each in self._all_due(now):
            if together and (len(together) == AT_ONCE or _policy(each) != _policy(together[0])):
                await self._archive(together, now)
                together = []
            together.append(each)
        if together:
            await self._archive(together, now)
        self.runs += 1

    async def _all_due(self, now: datetime) -> AsyncGenerator[DueMemory]:
        """In the order of their policies."""
        after: tuple[str, str, str] | None = None
        while True:
            page = await self._due(DueRequest(shard=self._shard, at=now, after=after, limit=PAGE))
            for each in page:
                yield each
            if len(page) < PAGE:
                return
            after = page[-1].uid, page[-1].policy_id, page[-1].memory_id

    async def _due(self, request: DueRequest) -> Sequence[DueMemory]:
        try:
            answer = await self._client.request(subjects.DUE, request.model_dump_json().encode(), timeout=_ASK_S)
        except NATS_FAILURES as error:
            raise Unavailable(f"audit does not say what is due ({type(error).__name__})") from error
        reply = DueReply.model_validate_json(answer.data)
        if reply.code is not None:
            raise error_from_code(reply.code, reply.error or "")
        return reply.due

    async def _archive(self, memories: Sequence[DueMemory], now: datetime) -> None:
        """These memories, all of one policy."""
        uid, policy_id = _policy(memories[0])
        command = ArchiveMemories(
            memory_ids=tuple(each.memory_id for each in memories),
            unchanged_since=tuple(each.sequence for each in memories),
        )
        named = hashlib.sha256(repr([(each.memory_id, each.sequence) for each in memories]).encode()).hexdigest()
        command_id = command_id_for_key(uid, f"memlog:archive:{policy_id}:{named}")
        meta = Meta(
            id=command_id,
            uid=uid,
            app=OWN_APP,
            actor=ACTOR,
            occurred_at=now,
            correlation_id=policy_id,
            causation_id=command_id,
        )
        subject = subjects.command_subject(self._shard, uid, command_id)
        stream = commands(self._shard).name
        with span("archive by policy", {}), sending(stream, command.type), nats_errors("accept a command"):
            headers = {**trace_headers(), Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: "0"}
            try:
                await self._js.publish(subject, encode(meta, command, None), headers=headers)
            except APIError as error:
                if error.err_code != WRONG_LAST_SEQUENCE:  # else it was sent before
                    raise
                return
        self.named += len(memories)
        log.info("archived_by_policy", shard=self._shard, policy=policy_id, memories=len(memories))


def _policy(due: DueMemory) -> tuple[str, str]:
    return due.uid, due.policy_id
