"""The owner's list of memories as SQL: only what is asked for stands in the query, so that each gets its own plan."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.asking import ListQuery

COLUMNS = """m.memory_id, m.app_id, m.state, m.version, m.created_at, m.updated_at, m.categories,
           t.text, t.metadata, a.name AS app_name"""
TEXT = "memlog.memory_texts AS t ON t.uid = m.uid AND t.memory_id = m.memory_id AND t.version = m.version"
APP = "memlog.apps AS a ON a.uid = m.uid AND a.app_id = m.app_id"
_SORTED_BY = {
    "created_at": ("m.created_at", ""),
    "memory": ("lower(t.text)", f"JOIN {TEXT}"),
    "app_name": ("lower(a.name)", f"JOIN {APP}"),
}
"""Column of a query → what it sorts by, and what has to be joined for that."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Two statements over the same values: `rows` takes a limit and an offset behind them."""

    count: str
    rows: str
    values: tuple[object, ...]


@dataclass(slots=True)
class _Conditions:
    values: list[object] = field(default_factory=list[object])
    said: list[str] = field(default_factory=list[str])

    def add(self, condition: str, value: object) -> None:
        """`{}` in the condition stands for the value."""
        self.values.append(value)
        self.said.append(condition.format(f"${len(self.values)}"))


def listing(uid: str, query: ListQuery, keys: Sequence[str] | None) -> Listing:
    """What `query` asks of this user; `keys` are those of the categories that it names, by name or id."""
    where = _Conditions()
    where.add("m.uid = {}", uid)
    where.said.append("m.state <> 'deleted'")
    if query.states is not None:
        where.add("m.state = ANY({})", [*query.states])
    if query.memory_ids is not None:
        where.add("m.memory_id = ANY({})", [*query.memory_ids])
    if query.app_ids is not None:
        where.add("m.app_id = ANY({})", [*query.app_ids])
    if query.from_date is not None:
        where.add("m.created_at >= to_timestamp({}::double precision)", query.from_date)
    if query.to_date is not None:
        where.add("m.created_at < to_timestamp({}::double precision + 1)", query.to_date)
    if keys is not None:
        where.add("m.category_keys && {}::text[]", [*keys])
    if query.search is not None:
        where.add(
            """(m.memory_id, m.version) IN (SELECT s.memory_id, s.version FROM memlog.memory_texts AS s
                                            WHERE s.uid = $1 AND s.current AND s.text ILIKE {})""",
            substring(query.search),
        )
    return _listing(where, query)


def _listing(where: _Conditions, query: ListQuery) -> Listing:
    direction = {"asc": "ASC", "desc": "DESC"}[query.sort_direction]
    column, joined = _SORTED_BY[query.sort_column]
    conditions = " AND ".join(where.said)
    limit, offset = len(where.values) + 1, len(where.values) + 2
    order = f"{{}} {direction}, m.memory_id {direction}"
    # The page first, then the texts of its rows: not the texts of all that match.
    page = f"""
        SELECT m.memory_id, {column} AS sorted_by FROM memlog.memories AS m {joined} WHERE {conditions}
        ORDER BY {order.format(column)} LIMIT ${limit} OFFSET ${offset}
    """
    return Listing(
        count=f"SELECT count(*) FROM memlog.memories AS m WHERE {conditions}",
        rows=f"""
            SELECT {COLUMNS} FROM ({page}) AS page
            JOIN memlog.memories AS m ON m.uid = $1 AND m.memory_id = page.memory_id JOIN {TEXT} JOIN {APP}
            ORDER BY {order.format("page.sorted_by")}
        """,
        values=tuple(where.values),
    )


def substring(text: str) -> str:
    """An ILIKE pattern that finds `text` literally."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
