"""`memories`: each memory as it is now, without its text."""

from collections.abc import Iterator

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
from contracts.messages import Event

from audit.statement import Projection, Statement, Value

TABLE = "memories"

_DDL = (
    # `category_keys`: what `categories` are compared by. `updated_at` is of text and state. `categories_by`: person,
    # model or classifier; null while nobody chose.
    """
    CREATE TABLE {table} (
        uid text COLLATE "C" NOT NULL,
        memory_id text COLLATE "C" NOT NULL,
        app_id text COLLATE "C" NOT NULL,
        state text COLLATE "C" NOT NULL,
        version integer NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        deleted_at timestamptz,
        categories text[] NOT NULL,
        category_keys text[] NOT NULL,
        categories_by text COLLATE "C",
        last_sequence bigint NOT NULL,
        PRIMARY KEY (uid, memory_id)
    )
    """,
    # Newest first, in one state; with the app it also answers counts per app from the index alone.
    "CREATE INDEX {name}_by_state ON {table} (uid, state, created_at DESC, memory_id DESC)",
    "CREATE INDEX {name}_by_app ON {table} (uid, app_id, state, created_at DESC, memory_id DESC)",
    # The owner's list: every state but deleted.
    """
    CREATE INDEX {name}_not_deleted ON {table} (uid, created_at DESC, memory_id DESC) WHERE state <> 'deleted'
    """,
    "CREATE INDEX {name}_by_category ON {table} USING gin (category_keys)",
)

_ADD = """
    INSERT INTO {table}
        (uid, memory_id, app_id, state, version, created_at, updated_at, deleted_at, categories, category_keys,
         categories_by, last_sequence)
    SELECT r.uid, r.memory_id, r.app_id, r.state, 1, r.at, r.changed_at,
           CASE WHEN r.state = 'deleted' THEN r.changed_at END, r.categories, r.category_keys,
           CASE WHEN cardinality(r.categories) > 0 THEN 'person' END, r.sequence
    FROM json_to_recordset($1::text::json) AS r(
        uid text, memory_id text, app_id text, state text, at timestamptz, changed_at timestamptz, categories text[],
        category_keys text[], sequence bigint)
    ON CONFLICT (uid, memory_id) DO NOTHING
"""

# What a person chose stays with a revision, and the event says what that is; others were about the old text. One that
# was imported has categories that stay, too, and a state.
_REVISE = """
    UPDATE {table} AS t
    SET version = r.version, updated_at = r.at, categories = r.categories, category_keys = r.category_keys,
        categories_by = CASE WHEN t.categories_by = 'person' OR cardinality(r.categories) > 0 THEN 'person' END,
        state = coalesce(r.state, t.state),
        deleted_at = CASE coalesce(r.state, t.state) WHEN 'deleted' THEN coalesce(t.deleted_at, r.at) END,
        last_sequence = r.sequence
    FROM json_to_recordset($1::text::json) AS r(
        uid text, memory_id text, version integer, state text, categories text[], category_keys text[],
        at timestamptz, sequence bigint)
    WHERE t.uid = r.uid AND t.memory_id = r.memory_id AND t.last_sequence < r.sequence
"""

_CATEGORIZE = """
    UPDATE {table} AS t
    SET categories = r.categories, category_keys = r.category_keys, categories_by = r.by, last_sequence = r.sequence
    FROM json_to_recordset($1::text::json) AS r(
        uid text, memory_id text, categories text[], category_keys text[], by text, sequence bigint)
    WHERE t.uid = r.uid AND t.memory_id = r.memory_id AND t.last_sequence < r.sequence
"""

_SET_STATE = """
    UPDATE {table} AS t
    SET state = r.state, updated_at = r.at, deleted_at = CASE WHEN r.state = 'deleted' THEN r.at END,
        last_sequence = r.sequence
    FROM json_to_recordset($1::text::json) AS r(
        uid text, memory_id text, state text, at timestamptz, sequence bigint)
    WHERE t.uid = r.uid AND t.memory_id = r.memory_id AND t.last_sequence < r.sequence
"""


def state_after(event: Event | None) -> str | None:
    """The state that the event leaves a memory in; None for one that leaves it as it was."""
    match event:
        case MemoryAdded(state=state) | MemoryRevised(state=state):
            return state
        case MemoryResumed() | MemoryUnarchived() | MemoryRestored():
            return "active"
        case MemoryPaused():
            return "paused"
        case MemoryArchived():
            return "archived"
        case MemoryDeleted():
            return "deleted"
        case _:
            return None


def apply(event: Recorded) -> Iterator[Statement]:
    uid, at, sequence = event.meta.uid, event.meta.occurred_at, event.position.sequence
    match event.payload:
        case MemoryAdded(memory_id=memory_id) as added:
            row: dict[str, Value] = {
                "uid": uid,
                "memory_id": memory_id,
                "app_id": event.meta.app,
                "state": added.state,
                "at": at,
                "changed_at": added.changed_at or at,
                "categories": list(added.categories),
                "category_keys": list(category_keys(added.categories)),
                "sequence": sequence,
            }
            yield Statement(TABLE, (uid, memory_id), _ADD, row)
        case MemoryRevised(memory_id=memory_id) as revised:
            row = {
                "uid": uid,
                "memory_id": memory_id,
                "version": revised.version,
                "state": revised.state,
                "categories": list(revised.categories),
                "category_keys": list(category_keys(revised.categories)),
                "at": at,
                "sequence": sequence,
            }
            yield Statement(TABLE, (uid, memory_id), _REVISE, row)
        case MemoryCategorized(memory_id=memory_id) as categorized:
            row = {
                "uid": uid,
                "memory_id": memory_id,
                "categories": list(categorized.categories),
                "category_keys": list(category_keys(categorized.categories)),
                "by": categorized.by,
                "sequence": sequence,
            }
            yield Statement(TABLE, (uid, memory_id), _CATEGORIZE, row)
        case (
            MemoryPaused(memory_id=memory_id)
            | MemoryResumed(memory_id=memory_id)
            | MemoryArchived(memory_id=memory_id)
            | MemoryUnarchived(memory_id=memory_id)
            | MemoryDeleted(memory_id=memory_id)
            | MemoryRestored(memory_id=memory_id)
        ):
            state = state_after(event.payload)
            row = {"uid": uid, "memory_id": memory_id, "state": state, "at": at, "sequence": sequence}
            yield Statement(TABLE, (uid, memory_id), _SET_STATE, row)
        case _:
            pass


PROJECTION = Projection(TABLE, _DDL, apply, identity={"memory": "memory_id"}, of_recording=("last_sequence",))
