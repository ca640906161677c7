import json
from collections import defaultdict
from datetime import UTC, datetime

from audit.batching import Group, group
from audit.statement import Statement, Value
from hypothesis import given
from hypothesis import strategies as st


def change(key: str, sql: str, table: str = "t", number: int = 0) -> Statement:
    return Statement(table, (key,), sql, {"key": key, "number": number})


def test_rows_of_many_keys_travel_together() -> None:
    groups = group(change(str(i), "insert") for i in range(500))
    assert [(g.sql, len(g.rows)) for g in groups] == [("insert", 500)]


def test_alternating_statements_of_different_keys_need_one_round_trip_each() -> None:
    statements = [change(str(i), sql) for i in range(100) for sql in ("insert", "update")]
    assert [(g.sql, len(g.rows)) for g in group(statements)] == [("insert", 100), ("update", 100)]


def test_two_changes_of_one_key_are_never_in_one_group() -> None:
    groups = group([change("a", "update"), change("a", "update"), change("b", "update")])
    assert [len(g.rows) for g in groups] == [2, 1]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["insert", "update"]), st.sampled_from("tu"))))
def test_each_key_sees_its_changes_in_their_order(script: list[tuple[str, str, str]]) -> None:
    statements = [change(key, sql, table, number) for number, (key, sql, table) in enumerate(script)]
    given_order: dict[tuple[str, str], list[tuple[str, object]]] = defaultdict(list)
    for statement in statements:
        given_order[statement.table, statement.key[0]].append((statement.sql, statement.row["number"]))
    order: dict[tuple[str, str], list[tuple[str, object]]] = defaultdict(list)
    for found in group(statements):
        assert len({str(row["key"]) for row in found.rows}) == len(found.rows)
        for row in found.rows:
            order[found.table, str(row["key"])].append((found.sql, row["number"]))
    assert order == given_order


def test_times_are_written_with_their_zone() -> None:
    rows = Group("t", "insert", [{"at": datetime(2025, 1, 2, 3, 4, 5, 678000, UTC), "text": "é"}])
    assert json.loads(rows.json()) == [{"at": "2025-01-02T03:04:05.678000Z", "text": "é"}]


def test_what_postgresql_cannot_hold_is_replaced_and_nothing_else() -> None:
    row: dict[str, Value] = {"text": "a\x00b", "metadata": {"k\x00": ["\x00", 1e400, float("nan"), 1.5, True, None]}}
    assert json.loads(Group("t", "insert", [row]).json()) == [
        {"text": "a\ufffdb", "metadata": {"k\ufffd": ["\ufffd", None, None, 1.5, True, None]}}
    ]
    about = {"text": r"the escape \u0000 itself"}
    assert json.loads(Group("t", "insert", [{**about}]).json()) == [about]
