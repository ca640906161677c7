"""Events to append, commands to publish: everything but what matters has a default."""

from contracts import subjects
from contracts.codec import DataKey, Meta, encode
from contracts.commands import AnyCommand
from contracts.events import AppPaused, MemoryAdded
from contracts.ids import app_id, event_id, uuid7
from contracts.messages import Event
from contracts.subjects import Aggregate
from nats.js.api import Header, PubAck
from runtime.clock import utc_now
from runtime.event_store import NewEvent
from runtime.keys import SealingKey
from support.keys import KEY
from support.servers import Log

UID = "0123456789abcdef0123456789abcdef"
APP_NAME = "claude"


def meta_of(id_: str, uid: str = UID, app: str = "app", causation_id: str = "") -> Meta:
    return Meta(
        id=id_,
        uid=uid,
        app=app,
        actor="mcp",
        occurred_at=utc_now(),
        correlation_id=causation_id or id_,
        causation_id=causation_id or id_,
        final=True,
    )


def new_event(
    aggregate: Aggregate,
    expected: int = 0,
    *,
    event: Event | None = None,
    id_: str | None = None,
    key: DataKey | None = KEY,
    trace: dict[str, str] | None = None,
) -> NewEvent:
    """An event for `aggregate`; each has an id of its own unless told."""
    meta = meta_of(id_ or event_id(uuid7(), 0), aggregate.uid)
    return NewEvent(aggregate, meta, event or AppPaused(app_id=aggregate.id), expected, key, trace or {})


def added(memory_id: str, text: str = "Ada prefers tea") -> MemoryAdded:
    return MemoryAdded(memory_id=memory_id, text=text)


def command_bytes(
    command: AnyCommand, key: SealingKey, *, uid: str = UID, command_id: str | None = None, app: str | None = None
) -> tuple[str, bytes]:
    """A command's id, and its envelope as the gateway makes it."""
    id_ = command_id or uuid7()
    return id_, encode(meta_of(id_, uid, app or app_id(key.identity, APP_NAME)), command, key)


async def publish_raw(
    log: Log, data: bytes, *, uid: str = UID, command_id: str | None = None, headers: dict[str, str] | None = None
) -> PubAck:
    """A message on the command's subject, as the gateway publishes it."""
    shard = subjects.shard_of(uid, log.shards)
    return await log.js.publish(
        subjects.command_subject(shard, uid, command_id or uuid7()),
        data,
        headers={Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: "0", **(headers or {})},
    )
