"""`memory_texts`: every text that a memory ever had, in one narrow table, so that erasing it touches one table."""

from collections.abc import Iterator

from contracts.codec import Recorded
from contracts.events import MemoryAdded, MemoryRevised

from audit.statement import Projection, Statement

TABLE = "memory_texts"

_DDL = (
    # `metadata` is what was in force at this version: a revision without metadata keeps the one before.
    """
    CREATE TABLE {table} (
        uid text COLLATE "C" NOT NULL,
        memory_id text COLLATE "C" NOT NULL,
        version integer NOT NULL,
        current boolean NOT NULL,
        text text NOT NULL,
        metadata jsonb NOT NULL,
        PRIMARY KEY (uid, memory_id, version)
    )
    """,
    # Substring search in any case (ILIKE) over current texts only: queries must say `AND current`.
    # New rows wait in a list that each search scans as well: 1 MB bounds that, at no cost to a replay (without the
    # list, a replay was ten times slower).
    """
    CREATE INDEX {name}_by_trigram ON {table} USING gin (text gin_trgm_ops)
    WITH (gin_pending_list_limit = 1024) WHERE current
    """,
)

_ADD = """
    INSERT INTO {table} (uid, memory_id, version, current, text, metadata)
    SELECT r.uid, r.memory_id, 1, true, r.text, r.metadata
    FROM json_to_recordset($1::text::json) AS r(uid text, memory_id text, text text, metadata jsonb)
    ON CONFLICT (uid, memory_id, version) DO NOTHING
"""

# The metadata before is looked up by key, for each: PostgreSQL does not know how many rows come in, and would compare
# each of them with each that was updated.
_REVISE = """
    WITH r AS MATERIALIZED (
        SELECT * FROM json_to_recordset($1::text::json) AS r(
            uid text, memory_id text, version integer, text text, metadata jsonb)
    ), replaced AS (
        UPDATE {table} AS t SET current = false FROM r
        WHERE t.uid = r.uid AND t.memory_id = r.memory_id AND t.version < r.version AND t.current
    )
    INSERT INTO {table} (uid, memory_id, version, current, text, metadata)
    SELECT r.uid, r.memory_id, r.version, true, r.text, coalesce(r.metadata, before.metadata, '{{}}')
    FROM r LEFT JOIN LATERAL (
        SELECT t.metadata FROM {table} AS t
        WHERE t.uid = r.uid AND t.memory_id = r.memory_id AND t.version < r.version ORDER BY t.version DESC LIMIT 1
    ) AS before ON true
    ON CONFLICT (uid, memory_id, version) DO NOTHING
"""


def apply(event: Recorded) -> Iterator[Statement]:
    uid = event.meta.uid
    match event.payload:
        case MemoryAdded(memory_id=memory_id) as added:
            row = {
                "uid": uid,
                "memory_id": memory_id,
                "text": added.text,
                "metadata": added.metadata,
            }
            yield Statement(TABLE, (uid, memory_id), _ADD, row)
        case MemoryRevised(memory_id=memory_id, version=version, text=text, metadata=metadata):
            row = {"uid": uid, "memory_id": memory_id, "version": version, "text": text, "metadata": metadata}
            yield Statement(TABLE, (uid, memory_id), _REVISE, row)
        case _:
            pass


PROJECTION = Projection(TABLE, _DDL, apply, identity={"memory": "memory_id"})
