"""`tokens`: who may act in the name of which app. Nothing here proves a token: the log alone does."""

from collections.abc import Iterator

from contracts.codec import Recorded
from contracts.events import TokenIssued, TokenRevoked

from audit.statement import Projection, Statement, Value

TABLE = "tokens"

_DDL = (
    # `issued_by`: by what the request that issued it was proven.
    """
    CREATE TABLE {table} (
        uid text COLLATE "C" NOT NULL,
        token_id text COLLATE "C" NOT NULL,
        app_name text NOT NULL,
        scopes text[] NOT NULL,
        label text NOT NULL,
        issued_at timestamptz NOT NULL,
        issued_by text NOT NULL,
        expires_at timestamptz,
        revoked_at timestamptz,
        PRIMARY KEY (uid, token_id)
    )
    """,
)

_ISSUE = """
    INSERT INTO {table} (uid, token_id, app_name, scopes, label, issued_at, issued_by, expires_at)
    SELECT r.uid, r.token_id, r.app_name, ARRAY(SELECT json_array_elements_text(r.scopes)), r.label, r.at, r.issued_by,
           r.expires_at
    FROM json_to_recordset($1::text::json) AS r(
        uid text, token_id text, app_name text, scopes json, label text, at timestamptz, issued_by text,
        expires_at timestamptz)
    ON CONFLICT (uid, token_id) DO NOTHING
"""

_REVOKE = """
    UPDATE {table} AS t SET revoked_at = r.at
    FROM json_to_recordset($1::text::json) AS r(uid text, token_id text, at timestamptz)
    WHERE t.uid = r.uid AND t.token_id = r.token_id AND t.revoked_at IS NULL
"""


def apply(event: Recorded) -> Iterator[Statement]:
    uid, at = event.meta.uid, event.meta.occurred_at
    match event.payload:
        case TokenIssued(token_id=token_id) as token:
            row: dict[str, Value] = {
                "uid": uid,
                "token_id": token_id,
                "app_name": token.app,
                "scopes": [*token.scopes],
                "label": token.label,
                "at": at,
                "issued_by": event.meta.actor,
                "expires_at": token.expires_at,
            }
            yield Statement(TABLE, (uid, token_id), _ISSUE, row)
        case TokenRevoked(token_id=token_id):
            yield Statement(TABLE, (uid, token_id), _REVOKE, {"uid": uid, "token_id": token_id, "at": at})
        case _:
            pass


PROJECTION = Projection(TABLE, _DDL, apply, identity={"token": "token_id"})
