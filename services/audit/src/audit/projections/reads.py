"""`reads`: one row for each answer with memory content, also when it returned nothing."""

from collections.abc import Iterator

from contracts.codec import Recorded
from contracts.events import MemoriesRead

from audit.statement import Projection, Statement, Value

TABLE = "reads"

_DDL = (
    """
    CREATE TABLE {table} (
        uid text COLLATE "C" NOT NULL,
        shard integer NOT NULL,
        sequence bigint NOT NULL,
        app_id text COLLATE "C" NOT NULL,
        kind text COLLATE "C" NOT NULL,
        returned integer NOT NULL,
        accessed_at timestamptz NOT NULL,
        actor text NOT NULL,
        correlation_id text NOT NULL,
        event_id text NOT NULL,
        trace_id text COLLATE "C",
        PRIMARY KEY (uid, sequence)
    )
    """,
    "CREATE INDEX {name}_by_app ON {table} (uid, app_id, accessed_at DESC)",
    # Those of all users in a span of time, for who watches over them; rows stand nearly in that order.
    "CREATE INDEX {name}_by_time ON {table} USING brin (accessed_at)",
)

_RECORD = """
    INSERT INTO {table}
        (uid, shard, sequence, app_id, kind, returned, accessed_at, actor, correlation_id, event_id, trace_id)
    SELECT r.uid, r.shard, r.sequence, r.app_id, r.kind, r.returned, r.at, r.actor, r.correlation_id, r.event_id,
           r.trace_id
    FROM json_to_recordset($1::text::json) AS r(
        uid text, shard integer, sequence bigint, app_id text, kind text, returned integer, at timestamptz,
        actor text, correlation_id text, event_id text, trace_id text)
    ON CONFLICT (uid, sequence) DO NOTHING
"""


def apply(event: Recorded) -> Iterator[Statement]:
    match event.payload:
        case MemoriesRead(items=items, kind=kind):
            meta, position = event.meta, event.position
            row: dict[str, Value] = {
                "uid": meta.uid,
                "shard": position.shard,
                "sequence": position.sequence,
                "app_id": meta.app,
                "kind": kind,
                "returned": len(items),
                "at": meta.occurred_at,
                "actor": meta.actor,
                "correlation_id": meta.correlation_id,
                "event_id": meta.id,
                "trace_id": event.trace_id,
            }
            yield Statement(TABLE, (meta.uid, str(position)), _RECORD, row)
        case _:
            pass


PROJECTION = Projection(TABLE, _DDL, apply, of_recording=("shard", "sequence"))
