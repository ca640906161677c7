"""What a user has done over months, written into the log of a home that is not running, as its services would have."""

import asyncio
import itertools
import json
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from contracts import ids, subjects
from contracts.codec import DataKey, Meta, encode
from contracts.events import MemoriesRead, MemoryAdded, MemoryCategorized, MemoryPaused, MemoryRevised, ReadItem
from contracts.messages import Event
from contracts.streams import USERS
from nats.js import JetStreamContext
from runtime.clock import utc_now
from runtime.event_store import EventStore, NewEvent
from runtime.keys import KeyStore, MasterKey
from runtime.nats import connect, jetstream
from runtime.settings import Settings
from standalone.home import Home
from standalone.nats_server import nats_server

from bench.corpus import APPS, Known

_AT_ONCE = 2_000
_IN_FLIGHT = 256
_READ_ITEMS = 10


@dataclass(frozen=True, slots=True)
class _Log:
    js: JetStreamContext
    events: EventStore
    uid: str
    key: DataKey


async def write_memories(
    folder: Path, user: str, memories: Sequence[Known], progress: Callable[[int], None] = lambda _: None
) -> None:
    """Give the user, who exists and has the apps, these memories, with categories that a person chose. `progress` is
    told how many are written."""
    async with _opened(folder, user) as log:
        for start in range(0, len(memories), _AT_ONCE):
            batch = memories[start : start + _AT_ONCE]
            refused = [r for r in await log.events.append([_added(log, m) for m in batch]) if isinstance(r, Exception)]
            if refused:
                raise refused[0]
            progress(start + len(batch))


async def write_reads(folder: Path, user: str, memories: Sequence[Known], count: int) -> None:
    """Write down `count` searches of the user's apps, each of which returned ten of these memories."""
    chance = random.Random(count)
    async with _opened(folder, user) as log:
        held = [ids.memory_id(log.key.identity, memory.text, 0) for memory in memories]

        async def write(number: int) -> None:
            found = chance.sample(held, _READ_ITEMS)
            items = tuple(ReadItem(id=id_, rank=rank, score=1 / rank) for rank, id_ in enumerate(found, start=1))
            event = MemoriesRead(kind="search", items=items, query=f"query {number}")
            meta = _meta(log, APPS[number % len(APPS)])
            shard = subjects.shard_of(log.uid, 1)
            await log.js.publish(subjects.access_subject(shard, log.uid, meta.app), encode(meta, event, log.key))

        numbers = iter(range(count))
        while part := list(itertools.islice(numbers, _IN_FLIGHT)):
            await asyncio.gather(*map(write, part))


async def write_changes(folder: Path, user: str, memories: Sequence[Known]) -> None:
    """Three changes of each of these memories, which have had none: the text of another one, categories, a pause."""
    chance = random.Random(len(memories))
    texts = [memory.text for memory in memories]
    chance.shuffle(texts)
    async with _opened(folder, user) as log:
        held = [subjects.memory(log.uid, ids.memory_id(log.key.identity, memory.text, 0)) for memory in memories]
        last: list[int] = []
        for start in range(0, len(held), _IN_FLIGHT):
            part = await asyncio.gather(*(log.events.load(one, log.key) for one in held[start : start + _IN_FLIGHT]))
            last += [history[-1].position.sequence for history in part]
        steps: tuple[Callable[[str, int], Event], ...] = (
            lambda id_, number: MemoryRevised(memory_id=id_, version=2, text=texts[number]),
            lambda id_, number: MemoryCategorized(
                memory_id=id_, categories=memories[number - 1].categories or ("personal",), by="person"
            ),
            lambda id_, _: MemoryPaused(memory_id=id_),
        )
        for step in steps:
            for start in range(0, len(held), _AT_ONCE):
                numbers = range(start, min(start + _AT_ONCE, len(held)))
                changes = [
                    NewEvent(
                        held[n], _meta(log, memories[n].app, memories[n]), step(held[n].id, n), last[n], log.key, {}
                    )
                    for n in numbers
                ]
                for n, position in zip(numbers, await log.events.append(changes), strict=True):
                    if isinstance(position, Exception):
                        raise position
                    last[n] = position.sequence


@asynccontextmanager
async def _opened(folder: Path, user: str) -> AsyncGenerator[_Log]:
    with Home.open(folder) as home:
        async with nats_server(home) as server:
            settings = Settings(nats_url=server.url, nats_monitor_url=server.monitor_url)
            async with connect(settings, "bench") as client:
                js = jetstream(client)
                events = EventStore(client, js, 1)
                await events.open()
                keys = KeyStore(js, MasterKey.load(home.master_key))
                entry = await js.get_msg(USERS.name, subject=subjects.user_subject(keys.master.name_hash(user)))
                uid = json.loads(entry.data or b"")["uid"]
                try:
                    yield _Log(js, events, uid, await keys.get(uid))
                finally:
                    await events.close()


def _added(log: _Log, memory: Known) -> NewEvent:
    memory_id = ids.memory_id(log.key.identity, memory.text, 0)
    event = MemoryAdded(memory_id=memory_id, text=memory.text, categories=memory.categories)
    meta = _meta(log, memory.app, memory)
    return NewEvent(subjects.memory(log.uid, memory_id), meta, event, 0, log.key, {})


def _meta(log: _Log, app: str, memory: Known | None = None) -> Meta:
    """Of a memory's event, or of a read."""
    cause = ids.uuid7()
    return Meta(
        id=cause if memory is None else ids.event_id(cause, 0),
        uid=log.uid,
        app=ids.app_id(log.key.identity, app),
        actor="rest",
        occurred_at=utc_now() if memory is None else memory.at,
        correlation_id=cause,
        causation_id=cause,
        final=memory is not None,
    )
