"""A Memlog with very many memories: written into the log of a home that is not running, as its writer would have."""

import json
from collections import Counter
from pathlib import Path

from contracts import ids, subjects
from contracts.codec import Meta
from contracts.events import MemoryAdded
from contracts.streams import USERS
from contracts.subjects import user_subject
from runtime.clock import utc_now
from runtime.event_store import NewEvent
from standalone.home import Home
from standalone.nats_server import nats_server
from support.servers import Log, opened, settings_for

_AT_ONCE = 2000


async def add_many(folder: Path, user: str, app: str, texts: list[str]) -> None:
    """Give the user, who exists and has the app, these memories, filed by a person, so that nobody else has to; of a
    text that is there n times n. Nothing else may run on the home."""
    with Home.open(folder) as home:
        async with nats_server(home) as server, opened(settings_for(home, server), start=False) as log:
            entry = await log.js.get_msg(USERS.name, subject=user_subject(log.keys.master.name_hash(user)))
            uid = json.loads(entry.data or b"")["uid"]
            seen = Counter[str]()
            for start in range(0, len(texts), _AT_ONCE):
                await _append(log, uid, app, texts[start : start + _AT_ONCE], seen)


async def _append(log: Log, uid: str, app: str, texts: list[str], seen: Counter[str]) -> None:
    key = await log.keys.get(uid)
    new: list[NewEvent] = []
    for text in texts:
        memory_id, command_id = ids.memory_id(key.identity, text, seen[text]), ids.uuid7()
        seen[text] += 1
        meta = Meta(
            id=ids.event_id(command_id, 0),
            uid=uid,
            app=ids.app_id(key.identity, app),
            actor="rest",
            occurred_at=utc_now(),
            correlation_id=command_id,
            causation_id=command_id,
            final=True,
        )
        event = MemoryAdded(memory_id=memory_id, text=text, categories=("notes",))
        new.append(NewEvent(subjects.memory(uid, memory_id), meta, event, 0, key, {}))
    refused = [result for result in await log.events.append(new) if isinstance(result, Exception)]
    assert not refused, refused[0]
