"""`history`: each change of a memory, with the version and state it led to, and the categories where it set them. Texts
are in `memory_texts`."""

from collections.abc import Iterator, Sequence

from contracts.codec import Recorded
from contracts.events import (
    MemoryAdded,
    MemoryArchived,
    MemoryCategorized,
    MemoryDeleted,
    MemoryPaused,
    MemoryRestored,
    MemoryResumed,
    MemoryRevised,
    MemoryUnarchived,
)

from audit.projections.memories import state_after
from audit.statement import Projection, Statement, Value

TABLE = "history"

_DDL = (
    """
    CREATE TABLE {table} (
        uid text COLLATE "C" NOT NULL,
        memory_id text COLLATE "C" NOT NULL,
        shard integer NOT NULL,
        sequence bigint NOT NULL,
        version integer NOT NULL,
        event text COLLATE "C" NOT NULL,
        state text COLLATE "C" NOT NULL,
        categories text[],
        app_id text COLLATE "C" NOT NULL,
        actor text NOT NULL,
        occurred_at timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL,
        correlation_id text NOT NULL,
        causation_id text NOT NULL,
        event_id text NOT NULL,
        PRIMARY KEY (uid, memory_id, sequence)
    )
    """,
)

# An event says what it changes; version and state that it leaves alone are those of the change before.
_RECORD = """
    INSERT INTO {table} (uid, memory_id, shard, sequence, version, event, state, categories, app_id, actor,
                         occurred_at, recorded_at, correlation_id, causation_id, event_id)
    SELECT r.uid, r.memory_id, r.shard, r.sequence, coalesce(r.version, before.version, 1), r.event,
           coalesce(r.state, before.state, 'active'), r.categories, r.app_id, r.actor, r.occurred_at,
           r.recorded_at, r.correlation_id, r.causation_id, r.event_id
    FROM json_to_recordset($1::text::json) AS r(
        uid text, memory_id text, shard integer, sequence bigint, version integer, event text, state text,
        categories text[], app_id text, actor text, occurred_at timestamptz, recorded_at timestamptz,
        correlation_id text, causation_id text, event_id text)
    LEFT JOIN LATERAL (
        SELECT h.version, h.state FROM {table} AS h
        WHERE h.uid = r.uid AND h.memory_id = r.memory_id AND h.sequence < r.sequence
          AND (r.version IS NULL OR r.state IS NULL)
        ORDER BY h.sequence DESC LIMIT 1
    ) AS before ON true
    ON CONFLICT (uid, memory_id, sequence) DO NOTHING
"""


def apply(event: Recorded) -> Iterator[Statement]:
    match event.payload:
        case MemoryAdded(memory_id=memory_id, categories=categories):
            yield _change(event, memory_id, 1, categories)
        case MemoryRevised(memory_id=memory_id, version=version, categories=categories):
            yield _change(event, memory_id, version, categories)
        case MemoryCategorized(memory_id=memory_id, categories=categories):
            yield _change(event, memory_id, categories=categories)
        case (
            MemoryPaused(memory_id=memory_id)
            | MemoryResumed(memory_id=memory_id)
            | MemoryArchived(memory_id=memory_id)
            | MemoryUnarchived(memory_id=memory_id)
            | MemoryDeleted(memory_id=memory_id)
            | MemoryRestored(memory_id=memory_id)
        ):
            yield _change(event, memory_id)
        case _:
            pass


def _change(
    event: Recorded, memory_id: str, version: int | None = None, categories: Sequence[str] | None = None
) -> Statement:
    """The row of a change; null stands for what the event leaves as it was."""
    meta = event.meta
    row: dict[str, Value] = {
        "uid": meta.uid,
        "memory_id": memory_id,
        "shard": event.position.shard,
        "sequence": event.position.sequence,
        "version": version,
        "event": event.type,
        "state": state_after(event.payload),
        "categories": None if categories is None else [*categories],
        "app_id": meta.app,
        "actor": meta.actor,
        "occurred_at": meta.occurred_at,
        "recorded_at": event.recorded_at,
        "correlation_id": meta.correlation_id,
        "causation_id": meta.causation_id,
        "event_id": meta.id,
    }
    return Statement(TABLE, (meta.uid, memory_id), _RECORD, row)


PROJECTION = Projection(
    TABLE, _DDL, apply, identity={"memory": "memory_id"}, of_recording=("shard", "sequence", "recorded_at")
)
