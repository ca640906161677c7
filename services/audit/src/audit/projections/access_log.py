"""`access_log`: one row for each memory that a read returned. Queries are not stored: the log has them, sealed."""

from collections.abc import Iterator

from contracts.codec import Recorded
from contracts.events import MemoriesRead

from audit.statement import Projection, Statement, Value

TABLE = "access_log"

_DDL = (
    """
    CREATE TABLE {table} (
        uid text COLLATE "C" NOT NULL,
        shard integer NOT NULL,
        sequence bigint NOT NULL,
        rank integer NOT NULL,
        memory_id text COLLATE "C" NOT NULL,
        app_id text COLLATE "C" NOT NULL,
        kind text COLLATE "C" NOT NULL,
        accessed_at timestamptz NOT NULL,
        score double precision,
        actor text NOT NULL,
        correlation_id text NOT NULL,
        trace_id text COLLATE "C",
        PRIMARY KEY (uid, sequence, rank)
    )
    """,
    "CREATE INDEX {name}_of_memory ON {table} (uid, memory_id, accessed_at DESC, sequence DESC)",
)

_RECORD = """
    INSERT INTO {table}
        (uid, shard, sequence, rank, memory_id, app_id, kind, accessed_at, score, actor, correlation_id,
         trace_id)
    SELECT r.uid, r.shard, r.sequence, (item ->> 'rank')::integer, item ->> 'id', r.app_id, r.kind, r.at,
           (item ->> 'score')::double precision, r.actor, r.correlation_id, r.trace_id
    FROM json_to_recordset($1::text::json) AS r(
        uid text, shard integer, sequence bigint, app_id text, kind text, at timestamptz, actor text,
        correlation_id text, trace_id text, items json)
    CROSS JOIN json_array_elements(r.items) AS item
    ON CONFLICT (uid, sequence, rank) DO NOTHING
"""


def apply(event: Recorded) -> Iterator[Statement]:
    match event.payload:
        case MemoriesRead(items=items, kind=kind) if items:
            meta, position = event.meta, event.position
            row: dict[str, Value] = {
                "uid": meta.uid,
                "shard": position.shard,
                "sequence": position.sequence,
                "app_id": meta.app,
                "kind": kind,
                "at": meta.occurred_at,
                "actor": meta.actor,
                "correlation_id": meta.correlation_id,
                "trace_id": event.trace_id,
                "items": [{"id": item.id, "rank": item.rank, "score": item.score} for item in items],
            }
            yield Statement(TABLE, (meta.uid, str(position)), _RECORD, row)
        case _:
            pass


PROJECTION = Projection(TABLE, _DDL, apply, of_recording=("shard", "sequence"))
