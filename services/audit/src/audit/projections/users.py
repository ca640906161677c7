"""`users`: who there is."""

from collections.abc import Iterator

from contracts.codec import Recorded
from contracts.events import UserRegistered

from audit.statement import Projection, Statement

TABLE = "users"

_DDL = (
    """
    CREATE TABLE {table} (
        uid text COLLATE "C" PRIMARY KEY,
        name text NOT NULL,
        registered_at timestamptz NOT NULL
    )
    """,
)

_REGISTER = """
    INSERT INTO {table} (uid, name, registered_at)
    SELECT r.uid, r.name, r.at FROM json_to_recordset($1::text::json) AS r(uid text, name text, at timestamptz)
    ON CONFLICT (uid) DO NOTHING
"""


def apply(event: Recorded) -> Iterator[Statement]:
    match event.payload:
        case UserRegistered(name=name):
            uid = event.meta.uid
            row = {"uid": uid, "name": name, "at": event.meta.occurred_at}
            yield Statement(TABLE, (uid,), _REGISTER, row)
        case _:
            pass


PROJECTION = Projection(TABLE, _DDL, apply)
