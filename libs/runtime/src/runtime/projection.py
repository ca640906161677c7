"""Projections: read the log from the position in the derived store, apply, commit, announce.

A projection starts from the position in its own store, never from what the server believes was acknowledged
(architecture §6). One instance is active per projection and shard; others stand by.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import structlog
from contracts.api import Announcement
from contracts.codec import Recorded, read_envelope
from contracts.errors import ConcurrencyConflict, KeyMissing, LogNotTrusted, MemlogError, Unavailable
from contracts.positions import Checkpoint, Position, message_hash
from contracts.subjects import announcement_subject, position_request_subject
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from runtime.errors import NATS_FAILURES, nats_errors
from runtime.event_store import EventStore, StoredMessage, recorded
from runtime.keys import KeyStore
from runtime.log_checks import check_checkpoint
from runtime.nats import subscribe
from runtime.pull import Pull
from runtime.store import ProjectionStore
from runtime.telemetry import span

log = structlog.get_logger()
_RETRY_FIRST, _RETRY_MOST = 0.2, 5.0


@dataclass(slots=True)
class ProjectionStatus:
    """How a projection stands, for health. `failure` is None while it works."""

    name: str
    shard: int
    owner: bool = False
    checkpoint: Checkpoint | None = None
    failure: str | None = None

    def announcement(self) -> Announcement:
        """What it tells others about where it is."""
        at = self.checkpoint
        if at is None:
            return Announcement(projection=self.name, shard=self.shard, sequence=0)
        return Announcement(
            projection=self.name,
            shard=self.shard,
            sequence=at.position.sequence,
            event_id=at.event_id,
            sha256=at.sha256,
        )


class ProjectionRunner:
    """Runs one projection over one shard's stream. `batch` bounds events per commit."""

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
    ) -> None:
        self.status = ProjectionStatus(name, shard)
        self._stream = stream
        self._store = store
        self._client = client
        self._js = js
        self._events = events
        self._keys = keys
        self._batch = batch

    async def run(self, epoch: int) -> None:
        """Project until cancelled, as the owner with this lease epoch. What can heal is retried with growing delays
        and shown in health; `ConcurrencyConflict` (a newer owner) and an untrusted log propagate."""
        status = self.status
        status.owner = True
        answers: Subscription | None = None
        delay = _RETRY_FIRST
        try:
            await self._until_it_works(epoch)
            while True:
                try:
                    async for checkpoint in self._project(epoch):
                        status.failure = None
                        status.checkpoint = checkpoint
                        delay = _RETRY_FIRST
                        # Not before the checkpoint is known and checked: the writer's own check relies on the answer.
                        answers = answers or await self._open_answers()
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
            if answers is not None and not self._client.is_closed:
                with contextlib.suppress(*NATS_FAILURES):
                    await answers.unsubscribe()

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
        checkpoint = await self._store.checkpoint(shard)
        await check_checkpoint(self._events, self._stream, checkpoint, self.status.name)
        at = 0 if checkpoint is None else checkpoint.position.sequence
        yield checkpoint
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
                batch = [await self._decode(message) for message in messages]
                with span(f"project {self.status.name}", messages[0].headers or {}):
                    await self._store.apply(batch, epoch)
                last = batch[-1]
                yield Checkpoint(last.position, last.meta.id, last.sha256)

    async def _consumer(self, start: int) -> str:
        with nats_errors("make a consumer"):
            info = await self._js.add_consumer(  # pyright: ignore[reportUnknownMemberType]
                self._stream,
                ConsumerConfig(
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

    async def _decode(self, message: Msg) -> Recorded:
        metadata = message.metadata
        stored = StoredMessage(
            subject=message.subject,
            sequence=metadata.sequence.stream,
            data=message.data,
            recorded_at=metadata.timestamp,
            headers=message.headers or {},
        )
        return await decode(self._keys, self.status.shard, stored)

    async def _open_answers(self) -> Subscription:
        subject = position_request_subject(self.status.name, self.status.shard)
        return await subscribe(self._client, subject, self._answer_position)

    async def _answer_position(self, message: Msg) -> None:
        await message.respond(self.status.announcement().model_dump_json().encode())


async def decode(keys: KeyStore, shard: int, message: StoredMessage) -> Recorded:
    """A stored message decoded with its user's key. An event whose key is destroyed was erased: it comes back
    without a payload, like an unknown type. Raises `Undecodable`, `UnsupportedSchema`, `Unavailable`."""
    uid = message.subject.split(".")[3]
    try:
        key = None if uid == "system" else await keys.get(uid)
        return recorded(shard, message, key)
    except KeyMissing:
        meta, type_ = read_envelope(message.data)
        position = Position(shard, message.sequence)
        return Recorded(position, message.recorded_at, message_hash(message.data), meta, type_, None)
