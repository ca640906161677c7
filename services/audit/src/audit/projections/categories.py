"""`categories`: the categories that each user defined, or described anew."""

from collections.abc import Iterator

from contracts.codec import Recorded
from contracts.events import CategoryDefined, CategoryRemoved

from audit.statement import Projection, Statement

TABLE = "categories"

_DDL = (
    """
    CREATE TABLE {table} (
        uid text COLLATE "C" NOT NULL,
        category_id text COLLATE "C" NOT NULL,
        name text NOT NULL,
        description text NOT NULL,
        defined_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        last_sequence bigint NOT NULL,
        PRIMARY KEY (uid, category_id)
    )
    """,
)

_DEFINE = """
    INSERT INTO {table} AS t (uid, category_id, name, description, defined_at, updated_at, last_sequence)
    SELECT r.uid, r.category_id, r.name, r.description, r.at, r.at, r.sequence
    FROM json_to_recordset($1::text::json) AS r(
        uid text, category_id text, name text, description text, at timestamptz, sequence bigint)
    ON CONFLICT (uid, category_id) DO UPDATE
    SET name = excluded.name, description = excluded.description, updated_at = excluded.updated_at,
        last_sequence = excluded.last_sequence
    WHERE t.last_sequence < excluded.last_sequence
"""

_REMOVE = """
    DELETE FROM {table} AS t
    USING json_to_recordset($1::text::json) AS r(uid text, category_id text, sequence bigint)
    WHERE t.uid = r.uid AND t.category_id = r.category_id AND t.last_sequence < r.sequence
"""


def apply(event: Recorded) -> Iterator[Statement]:
    uid, sequence = event.meta.uid, event.position.sequence
    match event.payload:
        case CategoryDefined(category_id=category_id) as defined:
            row = {
                "uid": uid,
                "category_id": category_id,
                "name": defined.name,
                "description": defined.description,
                "at": event.meta.occurred_at,
                "sequence": sequence,
            }
            yield Statement(TABLE, (uid, category_id), _DEFINE, row)
        case CategoryRemoved(category_id=category_id):
            row = {"uid": uid, "category_id": category_id, "sequence": sequence}
            yield Statement(TABLE, (uid, category_id), _REMOVE, row)
        case _:
            pass


PROJECTION = Projection(TABLE, _DDL, apply, identity={"category": "category_id"}, of_recording=("last_sequence",))
