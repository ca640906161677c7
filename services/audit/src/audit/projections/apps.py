"""`apps`: each user's apps, and whether they may read and write."""

from collections.abc import Iterator

from contracts.codec import Recorded
from contracts.events import AppPaused, AppRegistered, AppResumed

from audit.statement import Projection, Statement

TABLE = "apps"

_DDL = (
    """
    CREATE TABLE {table} (
        uid text COLLATE "C" NOT NULL,
        app_id text COLLATE "C" NOT NULL,
        name text NOT NULL,
        is_active boolean NOT NULL,
        registered_at timestamptz NOT NULL,
        last_sequence bigint NOT NULL,
        PRIMARY KEY (uid, app_id)
    )
    """,
)

_REGISTER = """
    INSERT INTO {table} (uid, app_id, name, is_active, registered_at, last_sequence)
    SELECT r.uid, r.app_id, r.name, true, r.at, r.sequence
    FROM json_to_recordset($1::text::json) AS r(
        uid text, app_id text, name text, at timestamptz, sequence bigint)
    ON CONFLICT (uid, app_id) DO NOTHING
"""

_SET_ACTIVE = """
    UPDATE {table} AS t SET is_active = r.is_active, last_sequence = r.sequence
    FROM json_to_recordset($1::text::json) AS r(uid text, app_id text, is_active boolean, sequence bigint)
    WHERE t.uid = r.uid AND t.app_id = r.app_id AND t.last_sequence < r.sequence
"""


def apply(event: Recorded) -> Iterator[Statement]:
    match event.payload:
        case AppRegistered(app_id=app_id, name=name):
            row = {
                "uid": event.meta.uid,
                "app_id": app_id,
                "name": name,
                "at": event.meta.occurred_at,
                "sequence": event.position.sequence,
            }
            yield Statement(TABLE, (event.meta.uid, app_id), _REGISTER, row)
        case AppPaused(app_id=app_id):
            yield _set_active(event, app_id, False)
        case AppResumed(app_id=app_id):
            yield _set_active(event, app_id, True)
        case _:
            pass


def _set_active(event: Recorded, app_id: str, is_active: bool) -> Statement:
    uid = event.meta.uid
    row = {"uid": uid, "app_id": app_id, "is_active": is_active, "sequence": event.position.sequence}
    return Statement(TABLE, (uid, app_id), _SET_ACTIVE, row)


PROJECTION = Projection(TABLE, _DDL, apply, identity={"app": "app_id"}, of_recording=("last_sequence",))
