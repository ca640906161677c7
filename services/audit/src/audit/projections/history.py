"""`history`: each change of a memory, with what it led to. Texts are in `memory_texts`.

A memory as it was at some position is its last row up to there (and its text of that row's version, and what never
changes: `memories`)."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from contracts.categories import category_keys
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
    # `categories` where the change set them; `all_categories` those in force, `category_keys` what these are compared
    # by. `updated_at` is of text and state, as in `memories`.
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
        all_categories text[] NOT NULL,
        category_keys text[] NOT NULL,
        updated_at timestamptz NOT NULL,
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
    # Which of a user's changes is the first one after a time: read from the index alone, in the order of the log.
    "CREATE INDEX {name}_of_user ON {table} (uid, sequence) INCLUDE (recorded_at)",
)

# An event says what it changes; what it leaves alone is as the change before left it.
_RECORD = """
    INSERT INTO {table} (uid, memory_id, shard, sequence, version, event, state, categories, all_categories,
                         category_keys, updated_at, app_id, actor, occurred_at, recorded_at, correlation_id,
                         causation_id, event_id)
    SELECT r.uid, r.memory_id, r.shard, r.sequence, coalesce(r.version, before.version, 1), r.event,
           coalesce(r.state, before.state, 'active'), r.categories,
           coalesce(r.categories, before.all_categories, '{{}}'),
           coalesce(r.category_keys, before.category_keys, '{{}}'),
           coalesce(r.updated_at, before.updated_at, r.occurred_at), r.app_id, r.actor, r.occurred_at,
           r.recorded_at, r.correlation_id, r.causation_id, r.event_id
    FROM json_to_recordset($1::text::json) AS r(
        uid text, memory_id text, shard integer, sequence bigint, version integer, event text, state text,
        categories text[], category_keys text[], updated_at timestamptz, app_id text, actor text,
        occurred_at timestamptz, recorded_at timestamptz, correlation_id text, causation_id text, event_id text)
    LEFT JOIN LATERAL (
        SELECT h.version, h.state, h.all_categories, h.category_keys, h.updated_at FROM {table} AS h
        WHERE h.uid = r.uid AND h.memory_id = r.memory_id AND h.sequence < r.sequence
          AND (r.version IS NULL OR r.state IS NULL OR r.categories IS NULL)
        ORDER BY h.sequence DESC LIMIT 1
    ) AS before ON true
    ON CONFLICT (uid, memory_id, sequence) DO NOTHING
"""


def apply(event: Recorded) -> Iterator[Statement]:
    match event.payload:
        case MemoryAdded(memory_id=memory_id, categories=categories, changed_at=changed_at):
            yield _change(event, memory_id, 1, categories, changed_at)
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
    event: Recorded,
    memory_id: str,
    version: int | None = None,
    categories: Sequence[str] | None = None,
    changed_at: datetime | None = None,
) -> Statement:
    """The row of a change; null stands for what the event leaves as it was."""
    meta, state = event.meta, state_after(event.payload)
    row: dict[str, Value] = {
        "uid": meta.uid,
        "memory_id": memory_id,
        "shard": event.position.shard,
        "sequence": event.position.sequence,
        "version": version,
        "event": event.type,
        "state": state,
        "categories": None if categories is None else [*categories],
        "category_keys": None if categories is None else [*category_keys(categories)],
        "updated_at": changed_at or (None if version is None and state is None else meta.occurred_at),
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
