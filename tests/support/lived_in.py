"""A log in which something of everything has happened: each type of event there is, for several users."""

import json
from pathlib import Path

from contracts import ids, subjects
from contracts.codec import encode
from contracts.commands import AddMemory
from contracts.events import EVENTS, LogStarted, MemoriesRead, ReadItem, UserRegistered
from contracts.messages import Event
from contracts.subjects import Aggregate
from nats.js.api import Header
from runtime.event_store import NewEvent
from runtime.keys import SealingKey
from support.log_events import command_bytes, meta_of, publish_raw
from support.servers import Log

GOLDEN = Path(__file__).parents[1] / "contracts" / "golden"
USERS = ("Ada Lovelace", "Зоя ✈", "李小龍\u2028", 'o\'Brien \\ "x"')


def examples() -> list[Event]:
    """One of each type of event that stands on an events stream, as its newest golden file has it; the users' first."""
    found: list[Event] = []
    for type_, kind in EVENTS.items():
        if kind not in (LogStarted, MemoriesRead, UserRegistered):
            golden = json.loads((GOLDEN / f"{type_}.v{kind.schema_version}.json").read_text())
            found.append(kind.model_validate(golden["expected"]))
    assert len(found) == len(EVENTS) - 3
    return found


def aggregate_of(uid: str, event: Event) -> Aggregate:
    """Where an event stands."""
    for kind in ("memory", "category", "app"):
        id_ = getattr(event, f"{kind}_id", None)
        if id_ is not None:
            return Aggregate(uid, kind, id_)
    if isinstance(event, UserRegistered):
        return subjects.user(uid)
    return subjects.operation(uid, ids.uuid7())


async def live(log: Log, users: tuple[str, ...] = USERS) -> dict[str, str]:
    """Let each user be there with every type of event, a command, a read and a dead letter; uids by name."""
    uids: dict[str, str] = {}
    for name in users:
        uid = uids[name] = ids.new_uid()
        key = await log.keys.create(uid)
        await log.js.publish(
            subjects.user_subject(log.keys.master.name_hash(name)),
            json.dumps({"uid": uid}).encode(),
            headers={Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: "0"},
        )
        last: dict[Aggregate, int] = {}
        for number, event in enumerate([UserRegistered(name=name), *examples()]):
            aggregate = aggregate_of(uid, event)
            meta = meta_of(ids.event_id(ids.uuid7(), number), uid, causation_id=ids.uuid7())
            trace = {"traceparent": f"00-{ids.new_uid()}-00f067aa0ba902b7-01"}
            (position,) = await log.events.append(
                [NewEvent(aggregate, meta, event, last.get(aggregate, 0), key, trace)]
            )
            assert not isinstance(position, Exception), position
            last[aggregate] = position.sequence
        command_id, data = command_bytes(AddMemory(text=f"{name} likes tea"), key, uid=uid)
        await publish_raw(log, data, uid=uid, command_id=command_id)
        await read(log, uid, key)
        shard = subjects.shard_of(uid, log.shards)
        await log.js.publish(f"memlog.dead.index.{shard}.{uid}.memory.m1", data, headers={"Memlog-Reason": "poison"})
    return uids


async def read(log: Log, uid: str, key: SealingKey) -> None:
    """An access event of the user."""
    event = MemoriesRead(kind="search", items=(ReadItem(id="m1", rank=1, score=0.5),), query="Zürich?")
    shard, app = subjects.shard_of(uid, log.shards), ids.app_id(key.identity, "claude")
    await log.js.publish(subjects.access_subject(shard, uid, app), encode(meta_of(ids.uuid7(), uid, app), event, key))
