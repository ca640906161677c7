"""`archive_policies`: what each user wants to be put away when nobody changed it for long."""

from collections.abc import Iterator

from contracts.categories import category_key
from contracts.codec import Recorded
from contracts.events import ArchivePolicyRemoved, ArchivePolicySet

from audit.statement import Projection, Statement, Value

TABLE = "archive_policies"

_DDL = (
    # `category_key`: what `category` is compared by. Neither app nor category: all memories.
    """
    CREATE TABLE {table} (
        uid text COLLATE "C" NOT NULL,
        policy_id text COLLATE "C" NOT NULL,
        shard integer NOT NULL,
        after_days integer NOT NULL,
        app_id text COLLATE "C",
        category text,
        category_key text,
        set_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        last_sequence bigint NOT NULL,
        PRIMARY KEY (uid, policy_id)
    )
    """,
)

_SET = """
    INSERT INTO {table} AS t
        (uid, policy_id, shard, after_days, app_id, category, category_key, set_at, updated_at, last_sequence)
    SELECT r.uid, r.policy_id, r.shard, r.after_days, r.app_id, r.category, r.category_key, r.at, r.at, r.sequence
    FROM json_to_recordset($1::text::json) AS r(
        uid text, policy_id text, shard integer, after_days integer, app_id text, category text, category_key text,
        at timestamptz, sequence bigint)
    ON CONFLICT (uid, policy_id) DO UPDATE
    SET after_days = excluded.after_days, app_id = excluded.app_id, category = excluded.category,
        category_key = excluded.category_key, updated_at = excluded.updated_at, last_sequence = excluded.last_sequence
    WHERE t.last_sequence < excluded.last_sequence
"""

_REMOVE = """
    DELETE FROM {table} AS t
    USING json_to_recordset($1::text::json) AS r(uid text, policy_id text, sequence bigint)
    WHERE t.uid = r.uid AND t.policy_id = r.policy_id AND t.last_sequence < r.sequence
"""


def apply(event: Recorded) -> Iterator[Statement]:
    uid, sequence = event.meta.uid, event.position.sequence
    match event.payload:
        case ArchivePolicySet(policy_id=policy_id, category=category) as policy:
            row: dict[str, Value] = {
                "uid": uid,
                "policy_id": policy_id,
                "shard": event.position.shard,
                "after_days": policy.after_days,
                "app_id": policy.app_id,
                "category": category,
                "category_key": None if category is None else category_key(category),
                "at": event.meta.occurred_at,
                "sequence": sequence,
            }
            yield Statement(TABLE, (uid, policy_id), _SET, row)
        case ArchivePolicyRemoved(policy_id=policy_id):
            row = {"uid": uid, "policy_id": policy_id, "sequence": sequence}
            yield Statement(TABLE, (uid, policy_id), _REMOVE, row)
        case _:
            pass


PROJECTION = Projection(TABLE, _DDL, apply, identity={"policy": "policy_id"}, of_recording=("shard", "last_sequence"))
