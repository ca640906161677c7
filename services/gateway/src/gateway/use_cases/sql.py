"""The gateway's queries over the read models, all bounded to one user. `memlog.*` are views of the serving generation.

What may be read is decided here once more, whatever was found elsewhere (architecture §5).
"""

from gateway.asking import OWNER_APP

APP_RUNS = "EXISTS (SELECT 1 FROM memlog.apps AS me WHERE me.uid = $1 AND me.app_id = $2 AND me.is_active)"
"""The asking app ($2) of the user ($1) is known and not paused: otherwise nothing is read."""

_OF_APP = "FROM memlog.access_rules AS r WHERE r.uid = $1 AND r.app_id = $2"
_CATEGORIES = f"SELECT r.category_key {_OF_APP} AND r.category_key IS NOT NULL"
# What does not depend on the memory is asked once a query: rules about categories are looked at for each memory, so
# that one by one they would cost as much as all memories by all rules.
_RULES_ALLOW = f"""(
    EXISTS (SELECT 1 FROM memlog.apps AS me WHERE me.uid = $1 AND me.app_id = $2 AND me.name = '{OWNER_APP}')
    OR coalesce(
        (SELECT bool_and(r.effect = 'allow') {_OF_APP} AND r.memory_id = m.memory_id),
        CASE WHEN m.category_keys && ARRAY({_CATEGORIES} AND r.effect <> 'allow') THEN false
             WHEN m.category_keys && ARRAY({_CATEGORIES} AND r.effect = 'allow') THEN true END,
        (SELECT bool_and(r.effect = 'allow') {_OF_APP} AND r.memory_id IS NULL AND r.category_key IS NULL),
        (SELECT d.policy = 'allow' OR (d.policy = 'own' AND m.app_id = $2)
           FROM memlog.default_access AS d WHERE d.uid = $1),
        true))"""

MAY_READ = f"(m.state = 'active' AND {APP_RUNS} AND {_RULES_ALLOW})"
"""`contracts.access.may_read`, of the asking app ($2) of the user ($1) and a memory of that user (`m`)."""

WITHHELD = f"""
    SELECT m.memory_id FROM memlog.memories AS m WHERE m.uid = $1 AND m.memory_id = ANY($3)
      AND (EXISTS (SELECT 1 FROM memlog.apps AS me WHERE me.uid = $1 AND me.app_id = $2) AND {_RULES_ALLOW}) IS NOT TRUE
"""
"""Those of the memories $3 that the app ($2) could not read whatever their state, and whether it is paused or not."""

ASKING = """
    SELECT a.name, a.is_active, coalesce(d.policy, 'allow') AS policy, r.effect, r.memory_id, r.category_key
    FROM memlog.apps AS a
    LEFT JOIN memlog.default_access AS d ON d.uid = a.uid
    LEFT JOIN memlog.access_rules AS r ON r.uid = a.uid AND r.app_id = a.app_id
    WHERE a.uid = $1 AND a.app_id = $2
"""
"""The app, on a row for each of its rules, or on one without; on none when it is unknown."""

PRINCIPAL = "SELECT is_active, name FROM memlog.apps WHERE uid = $1 AND app_id = $2"

_COLUMNS = """m.memory_id, m.app_id, m.state, m.version, m.created_at, m.updated_at, m.categories,
           t.text, t.metadata, a.name AS app_name"""
_TEXT_AND_APP = """
    JOIN memlog.memory_texts AS t ON t.uid = m.uid AND t.memory_id = m.memory_id AND t.version = m.version
    JOIN memlog.apps AS a ON a.uid = m.uid AND a.app_id = m.app_id
"""
_MEMORY = f"SELECT {_COLUMNS} FROM memlog.memories AS m {_TEXT_AND_APP}"

FOUND = f"{_MEMORY} WHERE m.uid = $1 AND m.memory_id = ANY($3) AND {MAY_READ}"

LIST_FOR_APP = f"""
    {_MEMORY} WHERE m.uid = $1 AND {MAY_READ}
      AND ($4::timestamptz IS NULL OR (m.created_at, m.memory_id) < ($4, $5::text))
    ORDER BY m.created_at DESC, m.memory_id DESC LIMIT $3
"""

ACTIVE_IDS = f"""
    SELECT m.memory_id FROM memlog.memories AS m WHERE m.uid = $1 AND {MAY_READ}
    ORDER BY m.created_at, m.memory_id
"""

ONE = f"{_MEMORY} WHERE m.uid = $1 AND m.memory_id = $2 AND m.state <> 'deleted'"

HISTORY = f"""
    SELECT h.event, h.version, h.state, h.categories, h.app_id, h.occurred_at, h.recorded_at, h.actor,
           h.shard, h.sequence,
           CASE WHEN h.event IN ('MemoryAdded', 'MemoryRevised') THEN t.text END AS text,
           coalesce(a.name, '') AS app_name
    FROM memlog.history AS h
    LEFT JOIN memlog.memory_texts AS t ON t.uid = h.uid AND t.memory_id = h.memory_id AND t.version = h.version
    LEFT JOIN memlog.apps AS a ON a.uid = h.uid AND a.app_id = h.app_id
    WHERE h.uid = $1 AND h.memory_id = $3 AND {APP_RUNS} AND ($4 OR EXISTS (
        SELECT 1 FROM memlog.memories AS m WHERE m.uid = $1 AND m.memory_id = $3 AND {MAY_READ}))
    ORDER BY h.sequence
"""
"""$4: whether the owner asks, who also sees what is paused, archived or deleted."""

COUNT_READABLE = f"SELECT count(*) FROM memlog.memories AS m WHERE m.uid = $1 AND {MAY_READ}"

READABLE = f"""
    {_MEMORY} WHERE m.uid = $1 AND {MAY_READ} ORDER BY m.created_at DESC, m.memory_id DESC LIMIT $3 OFFSET $4
"""

_RULE = """
    SELECT r.rule_id, r.app_id, r.effect, r.memory_id, r.category, r.updated_at, coalesce(a.name, '') AS app_name
    FROM memlog.access_rules AS r LEFT JOIN memlog.apps AS a ON a.uid = r.uid AND a.app_id = r.app_id
"""
_RULES_WHERE = "r.uid = $1 AND ($2::text IS NULL OR r.app_id = $2)"

COUNT_RULES = f"SELECT count(*) FROM memlog.access_rules AS r WHERE {_RULES_WHERE}"

RULES = f"""
    {_RULE} WHERE {_RULES_WHERE}
    ORDER BY lower(a.name), r.app_id, r.memory_id NULLS FIRST, r.category_key NULLS FIRST LIMIT $3 OFFSET $4
"""

ONE_RULE = f"{_RULE} WHERE r.uid = $1 AND r.rule_id = $2"

DEFAULT_ACCESS = "SELECT policy FROM memlog.default_access WHERE uid = $1"

SELECTED = """
    SELECT m.memory_id FROM memlog.memories AS m
    WHERE m.uid = $1 AND m.state = ANY($2) AND ($3::text IS NULL OR m.app_id = $3)
      AND ($4::text[] IS NULL OR m.category_keys && $4)
    ORDER BY m.created_at, m.memory_id
"""

OWN_CATEGORIES = """
    SELECT category_id, name, description, defined_at, updated_at FROM memlog.categories WHERE uid = $1 ORDER BY name
"""

USED_CATEGORIES = """
    SELECT name, count(*) AS memories, min(m.created_at) AS first_at, max(m.created_at) AS last_at
    FROM memlog.memories AS m, unnest(m.categories) AS name WHERE m.uid = $1 AND m.state <> 'deleted'
    GROUP BY name ORDER BY name
"""

USER_SINCE = "SELECT registered_at FROM memlog.users WHERE uid = $1"
