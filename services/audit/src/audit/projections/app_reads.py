"""`app_reads`: which memories were returned to each app, how often, and when first and last. What an app accessed is
its rows here (architecture §5)."""

from collections.abc import Iterator

from contracts.codec import Recorded
from contracts.events import MemoriesRead

from audit.statement import Projection, Statement, Value

TABLE = "app_reads"
COUNTED = ("search", "list", "get")
"""The kinds of reads that count as access by an app."""

_DDL = (
    # Rows change with each read: room beside them keeps a change on its page, and out of the index.
    """
    CREATE TABLE {table} (
        uid text COLLATE "C" NOT NULL,
        app_id text COLLATE "C" NOT NULL,
        memory_id text COLLATE "C" NOT NULL,
        reads integer NOT NULL,
        first_at timestamptz NOT NULL,
        last_at timestamptz NOT NULL,
        last_sequence bigint NOT NULL,
        PRIMARY KEY (uid, app_id, memory_id)
    ) WITH (fillfactor = 80)
    """,
)

# Many reads return the same memory: they are summed here, and not each in a statement of its own. Those of an app come
# in their order. Where one does not (it comes again, or was put aside and is healed), the memory's reads by the app are
# counted anew in the access log, which has this one by now.
_KINDS = ", ".join(f"'{kind}'" for kind in COUNTED)
_COUNT = f"""
    WITH returned AS MATERIALIZED (
        SELECT r.uid, r.app_id, id AS memory_id, r.at, r.sequence
        FROM json_to_recordset($1::text::json) AS r(
            uid text, app_id text, at timestamptz, sequence bigint, ids json)
        CROSS JOIN json_array_elements_text(r.ids) AS id
    ), summed AS (
        SELECT r.uid, r.app_id, r.memory_id, count(*) AS reads, min(r.at) AS first_at, max(r.at) AS last_at,
               max(r.sequence) AS last_sequence, max(t.reads) AS known, bool_or(r.sequence <= t.last_sequence) AS late
        FROM returned AS r
        LEFT JOIN {{table}} AS t ON t.uid = r.uid AND t.app_id = r.app_id AND t.memory_id = r.memory_id
        GROUP BY r.uid, r.app_id, r.memory_id
    )
    INSERT INTO {{table}} AS t (uid, app_id, memory_id, reads, first_at, last_at, last_sequence)
    SELECT uid, app_id, memory_id, CASE WHEN late THEN (
               SELECT count(DISTINCT l.sequence) FROM {{schema}}.access_log AS l
               WHERE l.uid = s.uid AND l.memory_id = s.memory_id AND l.app_id = s.app_id AND l.kind IN ({_KINDS})
           ) - known ELSE reads END, first_at, last_at, last_sequence
    FROM summed AS s
    ON CONFLICT (uid, app_id, memory_id) DO UPDATE
    SET reads = t.reads + excluded.reads, first_at = least(t.first_at, excluded.first_at),
        last_at = greatest(t.last_at, excluded.last_at),
        last_sequence = greatest(t.last_sequence, excluded.last_sequence)
"""


def apply(event: Recorded) -> Iterator[Statement]:
    match event.payload:
        case MemoriesRead(items=items, kind=kind) if items and kind in COUNTED:
            meta = event.meta
            row: dict[str, Value] = {
                "uid": meta.uid,
                "app_id": meta.app,
                "at": meta.occurred_at,
                "sequence": event.position.sequence,
                "ids": [*dict.fromkeys(item.id for item in items)],
            }
            yield Statement(TABLE, (meta.uid, str(event.position)), _COUNT, row)
        case _:
            pass


PROJECTION = Projection(TABLE, _DDL, apply, of_recording=("last_sequence",))
