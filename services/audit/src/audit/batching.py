"""From changes of single rows to few round trips, without changing what they lead to. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from pydantic_core import to_json

from audit.statement import Statement, Value

_NUL = "\\u0000"
"""How JSON writes U+0000 (or text about it, which only costs a second look)."""


@dataclass(slots=True)
class Group:
    """Rows that one execution of `sql` carries. No two of them have the same key."""

    table: str
    sql: str
    rows: list[Mapping[str, Value]] = field(default_factory=list[Mapping[str, Value]])

    def json(self) -> str:
        """The argument of `sql`, without what PostgreSQL cannot hold."""
        text = _dump(self.rows)
        return text if _NUL not in text else _dump(storable(self.rows))


@dataclass(slots=True)
class _Table:
    groups: list[Group] = field(default_factory=list[Group])
    last_of_key: dict[tuple[str, ...], int] = field(default_factory=dict[tuple[str, ...], int])


def group(statements: Iterable[Statement]) -> list[Group]:
    """Groups, to be executed in order.

    Each statement joins the first group of its table with the same SQL behind the last one that holds its key.
    So changes of one key keep their order; those of other keys, and of other tables, do not depend on it.
    """
    tables: dict[str, _Table] = {}
    for statement in statements:
        table = tables.setdefault(statement.table, _Table())
        start = table.last_of_key.get(statement.key, -1) + 1
        for index in range(start, len(table.groups)):
            if table.groups[index].sql == statement.sql:
                break
        else:
            index = len(table.groups)
            table.groups.append(Group(statement.table, statement.sql))
        table.groups[index].rows.append(statement.row)
        table.last_of_key[statement.key] = index
    return [group for table in tables.values() for group in table.groups]


def storable(value: object) -> object:
    """The value as PostgreSQL can hold it: U+0000, which its text has not, becomes the replacement character. Such
    content must not stop a projection; the log keeps what was written."""
    match value:
        case str():
            return value.replace("\x00", "\N{REPLACEMENT CHARACTER}")
        case dict():
            return {storable(key): storable(item) for key, item in cast(dict[object, object], value).items()}
        case list():
            return [storable(item) for item in cast(list[object], value)]
        case _:
            return value


def _dump(value: object) -> str:
    """Times as ISO 8601, infinities and NaN as null. An order faster than the standard library, and a replay writes
    little else."""
    return to_json(value, inf_nan_mode="null").decode()
