"""Projections: read the log from the position in the derived store, apply, commit, announce.

A projection starts from the position in its own store, never from what the server believes was acknowledged
(architecture §6). One instance is active per projection and shard; others stand by.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from contracts.api import Announcement
from contracts.codec import Recorded, Undecodable
from contracts.dead_letters import RedriveReply, RedriveRequest
from contracts.errors import ConcurrencyConflict, ContentDamaged, KeyMissing, LogNotTrusted, MemlogError, Unavailable
from contracts.positions import Checkpoint
from contracts.subjects import Aggregate, announcement_subject, position_request_subject, redrive_subject
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from runtime.dead_letters import DeadLetters
from runtime.errors import NATS_FAILURES, nats_errors
from runtime.event_store import EventStore, StoredMessage, recorded
from runtime.keys import KeyStore
from runtime.lag import Behind, Lag
from runtime.log_checks import check_checkpoint, require_next
from runtime.metrics import CONSUMED, PROCESSED, QUARANTINED, took
from runtime.nats import subscribe
from runtime.pull import Pull, passing_name
from runtime.quarantine import WILL_HEAL, Quarantine, without_payload
from runtime.redriving import Redriving
from runtime.spans import projecting, replaying
from runtime.store import ProjectionStore
from runtime.tasks import end

if TYPE_CHECKING:
    from runtime.following import Following

log = structlog.get_logger()
_RETRY_FIRST, _RETRY_MOST = 0.2, 1.0
_POISON_PAUSES = (0.05, 0.2, 0.5)


@dataclass(slots=True)
class ProjectionStatus:
    """How a projection stands, for health. `failure` is None while it works; `quarantined` aggregates wait for a
    person (`memlog dead list`), and nobody else waits for them."""

    name: str
    shard: int
    owner: bool = False
    run: int = 0
    checkpoint: Checkpoint | None = None
    failure: str | None = None
    quarantined: int = 0

    def announcement(self) -> Announcement:
        """What it tells others about where it is."""
        at = self.checkpoint
        if at is None:
            return Announcement(
                projection=self.name, shard=self.shard, sequence=0, run=self.run, quarantined=self.quarantined
            )
        return Announcement(
            projection=self.name,
            shard=self.shard,
            sequence=at.position.sequence,
            run=self.run,
            quarantined=self.quarantined,
            event_id=at.event_id,
            sha256=at.sha256,
        )


class ProjectionRunner:
    """Runs one projection over one shard's stream. `batch` bounds events per commit; `following` knows the store's
    generations, where it has several: its store is the one to be fed."""

    def __init__(
        self,
        name: str,
        shard: int,
        stream: str,
        store: ProjectionStore,
        client: Client,
        js: JetStreamContext,
        events: EventStore,
        keys: KeyStore,
        batch: int = 500,
        following: "Following | None" = None,
    ) -> None:
        self.status = ProjectionStatus(name, shard)
        self._following = following
        self._stream = stream
        self._store = store
        self._client = client
        self._js = js
        self._events = events
        self._keys = keys
        self._batch = batch
        self._quarantine = Quarantine(DeadLetters(js, events, name), name, shard, stream)
        self._writing = asyncio.Lock()
        self._lag = Lag(name, stream, js, self._behind)

    @property
    def generation(self) -> int | None:
        """Which generation of the store serves, where it has several."""
        return None if self._following is None else self._following.store.number

    async def run(self, epoch: int) -> None:
        """Project until cancelled, as the owner with this lease epoch. What can heal is retried with growing delays
        and shown in health; `ConcurrencyConflict` (a newer owner) and an untrusted log propagate."""
        status = self.status
        with (
            self._lag.shown(lambda: status.failure is not None),
            QUARANTINED.known(lambda: [(status.quarantined, {"consumer": status.name, "shard": status.shard})]),
        ):
            following = asyncio.create_task(self._lag.follow())
            try:
                await self._run(epoch)
            finally:
                await end(following)

    async def _behind(self) -> Behind:
        state = (await self._js.stream_info(self._stream)).state
        at = self.status.checkpoint
        reached = 0 if at is None else at.position.sequence
        return Behind(reached, max(0, state.last_seq - max(reached, state.first_seq - 1)))

    async def _run(self, epoch: int) -> None:
        status = self.status
        status.owner = True
        answers: list[Subscription] = []
        delay = _RETRY_FIRST
        try:
            if self._following is None:
                await self._until_it_works(epoch)
            while True:
                try:
                    async with contextlib.aclosing(self._project(epoch)) as steps:
                        async for checkpoint in steps:
                            status.failure = None
                            status.checkpoint = checkpoint
                            delay = _RETRY_FIRST
                            # Not before the checkpoint is checked: the writer's own check relies on the answer.
                            answers = answers or await self._open_answers(epoch)
                            await self._client.publish(
                                announcement_subject(status.name, status.shard),
                                status.announcement().model_dump_json(exclude_none=True).encode(),
                            )
                except (ConcurrencyConflict, LogNotTrusted):
                    raise
                except (MemlogError, *NATS_FAILURES) as error:
                    status.failure = f"{type(error).__name__}: {error}"
                    log.warning(
                        "projection_interrupted", projection=status.name, shard=status.shard, error=status.failure
                    )
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, _RETRY_MOST)
        finally:
            status.owner = False
            for subscription in [] if self._client.is_closed else answers:
                with contextlib.suppress(*NATS_FAILURES):
                    await subscription.unsubscribe()

    async def _until_it_works(self, epoch: int) -> None:
        delay = _RETRY_FIRST
        while True:
            try:
                await self._store.claim(self.status.shard, epoch)
                return
            except (Unavailable, *NATS_FAILURES) as error:
                self.status.failure = f"{type(error).__name__}: {error}"
                await asyncio.sleep(delay)
                delay = min(delay * 2, _RETRY_MOST)

    async def _project(self, epoch: int) -> AsyncGenerator[Checkpoint | None]:
        """Yields what was committed, from the checkpoint found at the start on."""
        shard = self.status.shard
        # Above that of every earlier owner, and of every earlier start of this one.
        self.status.run = max(self.status.run, epoch << 20) + 1
        await self._quarantine.load()
        self.status.quarantined = self._quarantine.size
        if self._following is not None:
            async with self._writing:
                await self._following.attach(epoch)
        checkpoint = await self._store.checkpoint(shard)
        await check_checkpoint(self._events, self._stream, checkpoint, self.status.name)
        at = 0 if checkpoint is None else checkpoint.position.sequence
        yield checkpoint
        recorded_before = await self._events.last_sequence(self._stream)
        consumer = await self._consumer(at + 1)
        expected = 1
        async with Pull(self._client, self._stream, consumer) as pull:
            while True:
                messages = await pull.batch(self._batch)
                for message in messages:
                    # Nothing redelivers what was lost on the way: a gap in the consumer's count means start over.
                    if message.metadata.sequence.consumer != expected:
                        raise Unavailable("messages were lost between server and projection")
                    expected += 1
                    require_next(self._stream, at, message.metadata.sequence.stream)
                    at = message.metadata.sequence.stream
                # What was recorded before this began has perhaps been applied before: that is a replay.
                traced = replaying if at <= recorded_before else projecting
                with traced(self._stream, self.status.name, [message.headers or {} for message in messages]):
                    async with self._writing:
                        with took(PROCESSED, self._lag.batch):
                            last = await self._apply([stored(message) for message in messages], epoch)
                CONSUMED.add(len(messages), self._lag.batch)
                self.status.quarantined = self._quarantine.size
                yield Checkpoint(last.position, last.meta.id, last.sha256)

    async def _consumer(self, start: int) -> str:
        with nats_errors("make a consumer"):
            info = await self._js.add_consumer(  # pyright: ignore[reportUnknownMemberType]
                self._stream,
                ConsumerConfig(
                    name=passing_name(),
                    deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                    opt_start_seq=start,
                    ack_policy=AckPolicy.NONE,
                    inactive_threshold=60.0,
                    mem_storage=True,
                    num_replicas=1,
                    max_waiting=8,
                ),
            )
        return info.name

    async def _apply(self, messages: Sequence[StoredMessage], epoch: int) -> Recorded:
        """Apply a batch; an event that cannot be applied whatever the moment is buried, and only that one. Returns the
        last event."""
        batch = [await self._decode(message) for message in messages]
        try:
            await self._store.apply(batch, epoch)
        except WILL_HEAL:
            raise
        except Exception as error:  # noqa: BLE001 - something in this batch: find out what, and let the others through
            log.warning("batch_refused", projection=self.status.name, error=f"{type(error).__name__}: {error}")
            for message, event in zip(messages, batch, strict=True):
                await self._apply_one(message, event, epoch)
        return batch[-1]

    async def _apply_one(self, message: StoredMessage, event: Recorded, epoch: int) -> None:
        if self._quarantine.holds(message):  # since an event before it in this batch was buried
            event = await self._quarantine.bury(message, event)
        for pause in (*_POISON_PAUSES, None):
            try:
                await self._store.apply([event], epoch)
                return
            except WILL_HEAL:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the others
                if pause is None:
                    reason = f"{type(error).__name__}: {error}"
                    await self._store.apply([await self._quarantine.bury(message, event, reason)], epoch)
                    return
                await asyncio.sleep(pause)

    async def _decode(self, message: StoredMessage) -> Recorded:
        if self._quarantine.dropped(message):
            return without_payload(self.status.shard, message)
        if self._quarantine.holds(message):
            return await self._quarantine.bury(message, without_payload(self.status.shard, message))
        try:
            return await decode(self._keys, self.status.shard, message)
        except (Undecodable, ContentDamaged) as error:
            skipped = without_payload(self.status.shard, message)
            return await self._quarantine.bury(message, skipped, f"{error.code}: {error.message}")

    async def _redrive(self, message: Msg, epoch: int) -> None:
        """Fold an aggregate anew, between two batches; the dead letters of what can be applied go."""
        request = RedriveRequest.model_validate_json(message.data)
        subject = request.subject
        try:
            async with self._writing:
                at = self.status.checkpoint.position.sequence if self.status.checkpoint else 0
                reply = await self._redriving(epoch).redrive(request, at)
                self.status.quarantined = self._quarantine.size
        except Exception as error:  # noqa: BLE001 - the operator must be told, whatever it is
            log.warning("redrive_failed", projection=self.status.name, subject=subject, error=str(error))
            reply = RedriveReply(error=f"{type(error).__name__}: {error}")
        await message.respond(reply.model_dump_json().encode())

    def _redriving(self, epoch: int) -> Redriving:
        async def refold(aggregate: Aggregate, history: Sequence[Recorded]) -> None:
            await self._store.refold(aggregate, history, epoch)

        async def decode_(message: StoredMessage) -> Recorded:
            return await decode(self._keys, self.status.shard, message)

        return Redriving(self._quarantine, self._events, self._stream, decode_, refold)

    async def _open_answers(self, epoch: int) -> list[Subscription]:
        async def redrive(message: Msg) -> None:
            await self._redrive(message, epoch)

        name, shard = self.status.name, self.status.shard
        asked = await subscribe(self._client, position_request_subject(name, shard), self._answer_position)
        redriven = await subscribe(self._client, redrive_subject(name, shard), redrive)
        followed = [] if self._following is None else [await self._following.open(self._writing)]
        return [asked, redriven, *followed]

    async def _answer_position(self, message: Msg) -> None:
        await message.respond(self.status.announcement().model_dump_json().encode())


def stored(message: Msg) -> StoredMessage:
    """A consumer's message as the stream holds it."""
    metadata = message.metadata
    return StoredMessage(
        subject=message.subject,
        sequence=metadata.sequence.stream,
        data=message.data,
        recorded_at=_recorded_at(message.reply),
        headers=message.headers or {},
    )


def _recorded_at(reply: str) -> datetime:
    """The stream's own timestamp, cut to microseconds as everywhere: that of nats-py went through a float."""
    parts = reply.split(".")  # with 9 parts, or with domain and account before the stream's name
    seconds, nanoseconds = divmod(int(parts[7 if len(parts) == 9 else 9]), 10**9)
    return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=nanoseconds // 1000)


async def decode(keys: KeyStore, shard: int, message: StoredMessage) -> Recorded:
    """A stored message decoded with its user's key. An event whose key is destroyed was erased: it comes back
    without a payload, like an unknown type. Raises `Undecodable`, `UnsupportedSchema`, `Unavailable`."""
    uid = message.subject.split(".")[3]
    try:
        key = None if uid == "system" else await keys.get(uid)
        return recorded(shard, message, key)
    except KeyMissing:
        return without_payload(shard, message)
