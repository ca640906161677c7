"""`access_rules`: the rules in force, and `default_access`: what each user chose to hold where none speaks."""

from collections.abc import Iterator

from contracts.categories import category_key
from contracts.codec import Recorded
from contracts.events import AccessRuleRemoved, AccessRuleSet, DefaultAccessChanged

from audit.statement import Projection, Statement

TABLE = "access_rules"
DEFAULT_TABLE = "default_access"

_DDL = (
    # `category_key`: what `category` is compared by. A rule without memory and category is about everything.
    """
    CREATE TABLE {table} (
        uid text COLLATE "C" NOT NULL,
        rule_id text COLLATE "C" NOT NULL,
        app_id text COLLATE "C" NOT NULL,
        effect text COLLATE "C" NOT NULL,
        memory_id text COLLATE "C",
        category text,
        category_key text,
        updated_at timestamptz NOT NULL,
        last_sequence bigint NOT NULL,
        PRIMARY KEY (uid, rule_id)
    )
    """,
    # Each read of an app asks for its rules, and for those about each memory that it would return.
    "CREATE INDEX {name}_by_app ON {table} (uid, app_id, memory_id)",
)

_DEFAULT_DDL = (
    """
    CREATE TABLE {table} (
        uid text COLLATE "C" PRIMARY KEY,
        policy text COLLATE "C" NOT NULL,
        last_sequence bigint NOT NULL
    )
    """,
)

_SET = """
    INSERT INTO {table} AS t
        (uid, rule_id, app_id, effect, memory_id, category, category_key, updated_at, last_sequence)
    SELECT r.uid, r.rule_id, r.app_id, r.effect, r.memory_id, r.category, r.category_key, r.at, r.sequence
    FROM json_to_recordset($1::text::json) AS r(
        uid text, rule_id text, app_id text, effect text, memory_id text, category text, category_key text,
        at timestamptz, sequence bigint)
    ON CONFLICT (uid, rule_id) DO UPDATE
    SET effect = excluded.effect, category = excluded.category, updated_at = excluded.updated_at,
        last_sequence = excluded.last_sequence
    WHERE t.last_sequence < excluded.last_sequence
"""

_REMOVE = """
    DELETE FROM {table} AS t
    USING json_to_recordset($1::text::json) AS r(uid text, rule_id text, sequence bigint)
    WHERE t.uid = r.uid AND t.rule_id = r.rule_id AND t.last_sequence < r.sequence
"""

_SET_DEFAULT = """
    INSERT INTO {table} AS t (uid, policy, last_sequence)
    SELECT r.uid, r.policy, r.sequence
    FROM json_to_recordset($1::text::json) AS r(uid text, policy text, sequence bigint)
    ON CONFLICT (uid) DO UPDATE SET policy = excluded.policy, last_sequence = excluded.last_sequence
    WHERE t.last_sequence < excluded.last_sequence
"""


def apply(event: Recorded) -> Iterator[Statement]:
    uid, sequence = event.meta.uid, event.position.sequence
    match event.payload:
        case AccessRuleSet(rule_id=rule_id, category=category) as rule:
            row = {
                "uid": uid,
                "rule_id": rule_id,
                "app_id": rule.app_id,
                "effect": rule.effect,
                "memory_id": rule.memory_id,
                "category": category,
                "category_key": None if category is None else category_key(category),
                "at": event.meta.occurred_at,
                "sequence": sequence,
            }
            yield Statement(TABLE, (uid, rule_id), _SET, row)
        case AccessRuleRemoved(rule_id=rule_id):
            row = {"uid": uid, "rule_id": rule_id, "sequence": sequence}
            yield Statement(TABLE, (uid, rule_id), _REMOVE, row)
        case _:
            pass


def apply_default(event: Recorded) -> Iterator[Statement]:
    match event.payload:
        case DefaultAccessChanged(policy=policy):
            uid = event.meta.uid
            row = {"uid": uid, "policy": policy, "sequence": event.position.sequence}
            yield Statement(DEFAULT_TABLE, (uid,), _SET_DEFAULT, row)
        case _:
            pass


PROJECTION = Projection(TABLE, _DDL, apply, identity={"access": "rule_id"}, of_recording=("last_sequence",))
DEFAULT = Projection(DEFAULT_TABLE, _DEFAULT_DDL, apply_default, of_recording=("last_sequence",))
