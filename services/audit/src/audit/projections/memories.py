"""`memories`: each memory as it is now, without its text."""

from collections.abc import Iterator

from contracts.codec import Recorded
from contracts.events import MemoryAdded, MemoryDeleted, MemoryRevised

from audit.statement import Projection, Statement, Value

TABLE = "memories"

_DDL = (
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
    "CREATE INDEX {name}_by_category ON {table} USING gin (categories)",
)

_ADD = """
    INSERT INTO {table}
        (uid, memory_id, app_id, state, version, created_at, updated_at, categories, last_sequence)
    SELECT r.uid, r.memory_id, r.app_id, 'active', 1, r.at, r.at, r.categories, r.sequence
    FROM json_to_recordset($1::text::json) AS r(
        uid text, memory_id text, app_id text, at timestamptz, categories text[], sequence bigint)
    ON CONFLICT (uid, memory_id) DO NOTHING
"""

_REVISE = """
    UPDATE {table} AS t SET version = r.version, updated_at = r.at, last_sequence = r.sequence
    FROM json_to_recordset($1::text::json) AS r(
        uid text, memory_id text, version integer, at timestamptz, sequence bigint)
    WHERE t.uid = r.uid AND t.memory_id = r.memory_id AND t.last_sequence < r.sequence
"""

_DELETE = """
    UPDATE {table} AS t SET state = 'deleted', updated_at = r.at, deleted_at = r.at, last_sequence = r.sequence
    FROM json_to_recordset($1::text::json) AS r(uid text, memory_id text, at timestamptz, sequence bigint)
    WHERE t.uid = r.uid AND t.memory_id = r.memory_id AND t.last_sequence < r.sequence
"""


def apply(event: Recorded) -> Iterator[Statement]:
    uid, at, sequence = event.meta.uid, event.meta.occurred_at, event.position.sequence
    match event.payload:
        case MemoryAdded(memory_id=memory_id) as added:
            row: dict[str, Value] = {
                "uid": uid,
                "memory_id": memory_id,
                "app_id": event.meta.app,
                "at": at,
                "categories": list(added.categories),
                "sequence": sequence,
            }
            yield Statement(TABLE, (uid, memory_id), _ADD, row)
        case MemoryRevised(memory_id=memory_id, version=version):
            row = {"uid": uid, "memory_id": memory_id, "version": version, "at": at, "sequence": sequence}
            yield Statement(TABLE, (uid, memory_id), _REVISE, row)
        case MemoryDeleted(memory_id=memory_id):
            row = {"uid": uid, "memory_id": memory_id, "at": at, "sequence": sequence}
            yield Statement(TABLE, (uid, memory_id), _DELETE, row)
        case _:
            pass


PROJECTION = Projection(TABLE, _DDL, apply, identity={"memory": "memory_id"})
