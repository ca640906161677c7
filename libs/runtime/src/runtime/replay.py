"""Fast replay: derived stores filled from the log by a process of their own, beside what serves (architecture §6).

One pass reads and decodes each event once, for all stores that want it; shards run beside each other. A batch is
decoded while the one before is applied, so that this process and the store's server both work; no more than two
batches wait, so memory does not grow with the log.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from contracts.codec import Recorded
from contracts.errors import Unavailable
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from runtime.buried import Buried
from runtime.errors import nats_errors
from runtime.event_store import EventStore
from runtime.keys import KeyStore
from runtime.log_checks import check_checkpoint, require_next
from runtime.projection import stored
from runtime.pull import Pull, passing_name
from runtime.quarantine import WILL_HEAL
from runtime.reading import Reading, ReplayRefused, decoded
from runtime.spans import replaying
from runtime.store import ProjectionStore

BATCH = 4000
_BATCH_BYTES = 8 * 1024 * 1024
_DEMAND = 2000
"""Messages asked for at once: what may wait undecoded."""
_NEAR = 300
"""Events before the end at which a fill ends: the shard's owner catches up with the rest in a moment."""
_YIELD_EVERY = 64
_AHEAD = 1


@dataclass(slots=True)
class Progress:
    """How far a replay is, by shard: sequences passed, and the end of the log as last seen."""

    at: dict[int, int] = field(default_factory=dict[int, int])
    end: dict[int, int] = field(default_factory=dict[int, int])

    @property
    def events(self) -> int:
        return sum(self.at.values())

    @property
    def of(self) -> int:
        return sum(self.end.values())


@dataclass(frozen=True, slots=True)
class Log:
    """What a replay reads from."""

    client: Client
    js: JetStreamContext
    events: EventStore
    keys: KeyStore
    shards: int


async def replay(
    log: Log,
    stream_of: Callable[[int], str],
    stores: Mapping[str, ProjectionStore],
    epoch: int,
    *,
    batch: int = BATCH,
    near: int = _NEAR,
    said: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Bring each store (by the projection whose events it gets) from its own checkpoint up to near the end of the log,
    and claim it under `epoch` before. Every batch is committed whole, so a replay that ends in the middle goes on
    where it was.

    Raises `ReplayRefused` for an event that cannot be applied, naming its position and type; `ConcurrencyConflict` when
    somebody else claimed a store; `LogNotTrusted`, `Unavailable`.
    """
    progress = Progress()
    shards = [_Shard(log, shard, stream_of(shard), stores, epoch, batch, near) for shard in range(log.shards)]
    for shard in shards:
        await shard.open(progress)
    said(progress)
    tasks = [asyncio.create_task(shard.run(progress, said)) for shard in shards]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return progress


@dataclass(frozen=True, slots=True)
class _Batch:
    """Events as each projection gets them: those that it gave up on have no payload there."""

    of: Mapping[str, Sequence[Recorded]]
    subjects: Mapping[int, str]
    headers: Sequence[Mapping[str, str]]
    last: int
    pending: int


class _Shard:
    def __init__(
        self,
        log: Log,
        shard: int,
        stream: str,
        stores: Mapping[str, ProjectionStore],
        epoch: int,
        batch: int,
        near: int,
    ) -> None:
        self._log = log
        self._shard = shard
        self._stream = stream
        self._stores = stores
        self._epoch = epoch
        self._size = batch
        self._near = near
        self._readings = {
            name: Reading(log.events, log.keys, Buried(log.events, name, shard, stream), shard, stream)
            for name in stores
        }
        self._start = self._at = self._read = 0

    async def open(self, progress: Progress) -> None:
        reached: list[int] = []
        for name, store in self._stores.items():
            await store.claim(self._shard, self._epoch)
            checkpoint = await store.checkpoint(self._shard)
            await check_checkpoint(self._log.events, self._stream, checkpoint, name)
            reached.append(0 if checkpoint is None else checkpoint.position.sequence)
            await self._readings[name].buried.load()
        self._start = self._at = min(reached)
        progress.at[self._shard] = self._start
        progress.end[self._shard] = await self._log.events.last_sequence(self._stream)

    async def run(self, progress: Progress, said: Callable[[Progress], None]) -> None:
        if progress.end[self._shard] - self._start <= self._near:
            return
        waiting: asyncio.Queue[_Batch] = asyncio.Queue(_AHEAD)

        async def read() -> None:
            async with contextlib.aclosing(self._batches()) as batches:
                async for batch in batches:
                    await waiting.put(batch)

        reading = asyncio.create_task(read())
        try:
            while True:
                batch = await _first(reading, waiting.get())
                with replaying(self._stream, " ".join(self._stores), batch.headers):
                    await asyncio.gather(
                        *(self._apply(name, events, batch.subjects) for name, events in batch.of.items())
                    )
                progress.at[self._shard] = batch.last
                progress.end[self._shard] = batch.last + batch.pending
                said(progress)
                if batch.pending <= self._near:
                    return
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _batches(self) -> AsyncGenerator[_Batch]:
        """What follows the position, decoded, for ever."""
        consumer = await self._consumer()
        async with Pull(self._log.client, self._stream, consumer, _DEMAND) as pull:
            while True:
                events: dict[str, list[Recorded]] = {name: [] for name in self._stores}
                subjects: dict[int, str] = {}
                headers: list[Mapping[str, str]] = []
                size = last = pending = 0
                while len(subjects) < self._size and size < _BATCH_BYTES and (pending > 0 or not subjects):
                    for message in await pull.batch(_YIELD_EVERY):
                        metadata = message.metadata
                        self._read += 1
                        if metadata.sequence.consumer != self._read:
                            raise Unavailable("messages were lost between server and replay")
                        size += len(message.data)
                        require_next(self._stream, self._at, metadata.sequence.stream)
                        last = self._at = metadata.sequence.stream
                        pending = metadata.num_pending
                        subjects[last] = message.subject
                        headers.append(message.headers or {})
                        kept = stored(message)
                        event = await decoded(self._log.keys, self._shard, kept)
                        for name, found in events.items():
                            found.append(await self._readings[name].event(kept, event))
                    await asyncio.sleep(0)  # the store's answers are waited for on this loop
                yield _Batch(events, subjects, headers, last, pending)

    async def _consumer(self) -> str:
        self._read = 0
        with nats_errors("make a consumer"):
            info = await self._log.js.add_consumer(  # pyright: ignore[reportUnknownMemberType]
                self._stream,
                ConsumerConfig(
                    name=passing_name(),
                    deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                    opt_start_seq=self._start + 1,
                    ack_policy=AckPolicy.NONE,
                    inactive_threshold=60.0,
                    mem_storage=True,
                    num_replicas=1,
                    max_waiting=8,
                ),
            )
        return info.name

    async def _apply(self, name: str, events: Sequence[Recorded], subjects: Mapping[int, str]) -> None:
        """Apply events; when they are refused, halve them until it is known which one it is."""
        store = self._stores[name]
        try:
            await store.apply(events, self._epoch)
        except WILL_HEAL:
            raise
        except Exception as error:
            if len(events) > 1:
                middle = len(events) // 2
                await self._apply(name, events[:middle], subjects)
                await self._apply(name, events[middle:], subjects)
                return
            event = events[0]
            sequence = event.position.sequence
            if event.payload is None or not await self._readings[name].given_up(subjects[sequence], sequence):
                raise ReplayRefused(
                    f"{event.type} at {event.position} cannot be applied to {name}: {type(error).__name__}: {error}"
                ) from error
            await store.apply([replace(event, payload=None)], self._epoch)


async def _first(reading: "asyncio.Task[None]", waiting: Awaitable[_Batch]) -> _Batch:
    """The next batch, unless reading fails before there is one."""
    taking = asyncio.ensure_future(waiting)
    try:
        await asyncio.wait((reading, taking), return_when=asyncio.FIRST_COMPLETED)
        if not taking.done():
            reading.result()
        return await taking
    finally:
        taking.cancel()
