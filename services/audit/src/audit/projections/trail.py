"""`event_audit` and `access_audit`: one row for each message of a stream, with the chain (see `audit.chain`).

Every message has its row: of an unknown type, unreadable, or given up on, too. The rows come from the store, which
knows the chain, and not from the events alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields

from contracts.streams import StreamSpec, access, events
from runtime.postgres import Row

from audit.chain import AuditRow
from audit.statement import Projection, Statement

STREAMS: Mapping[str, Callable[[int], StreamSpec]] = {"event_audit": events, "access_audit": access}
"""Table → the stream of a shard whose messages it holds."""

_NAMES = tuple(field.name for field in fields(AuditRow))
COLUMNS = ", ".join(_NAMES)

_TABLE = """
    CREATE TABLE {table} (
        shard integer NOT NULL,
        sequence bigint NOT NULL,
        event_id text COLLATE "C" NOT NULL,
        type text COLLATE "C" NOT NULL,
        uid text COLLATE "C" NOT NULL,
        app_id text COLLATE "C" NOT NULL,
        actor text COLLATE "C" NOT NULL,
        correlation_id text COLLATE "C" NOT NULL,
        causation_id text COLLATE "C" NOT NULL,
        trace_id text COLLATE "C",
        subject text COLLATE "C" NOT NULL,
        occurred_at timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL,
        sha256 text COLLATE "C" NOT NULL,
        chain text COLLATE "C" NOT NULL,
        PRIMARY KEY (shard, sequence)
    )
"""
_BY_USER = "CREATE INDEX {name}_of_user ON {table} (uid, sequence DESC)"

# A row that stands where nothing was recorded yet is nobody's work: it is written over.
_RECORD = f"""
    INSERT INTO {{table}} ({COLUMNS})
    SELECT {COLUMNS} FROM json_to_recordset($1::text::json) AS r(
        shard integer, sequence bigint, event_id text, type text, uid text, app_id text, actor text,
        correlation_id text, causation_id text, trace_id text, subject text, occurred_at timestamptz,
        recorded_at timestamptz, sha256 text, chain text)
    ON CONFLICT (shard, sequence) DO UPDATE SET
        {", ".join(f"{name} = excluded.{name}" for name in _NAMES if name not in ("shard", "sequence"))}
"""


def statement(table: str, row: AuditRow) -> Statement:
    """What writes the row into one of the tables."""
    # Not `asdict`, whose deep copies took a quarter of a replay.
    values = {name: getattr(row, name) for name in _NAMES}
    return Statement(table, (str(row.shard), str(row.sequence)), _RECORD, values)


def audit_row(row: Row) -> AuditRow:
    """A row of `COLUMNS` as it was read."""
    return AuditRow(**{name: row[name] for name in _NAMES})


def _projection(table: str) -> Projection:
    return Projection(table, (_TABLE, _BY_USER), lambda _: (), of_recording=_NAMES)


EVENTS, ACCESS = (_projection(table) for table in STREAMS)
