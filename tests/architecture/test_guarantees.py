"""Guarantees and tests are tied to each other both ways: docs/guarantees.md and the marker `guarantee`."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
DOCUMENT = TESTS.parent / "docs" / "guarantees.md"


def _documented() -> dict[str, str]:
    """Id → status, from the table's rows."""
    header: list[str] = []
    found: dict[str, str] = {}
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if [cell.lower() for cell in cells[:1]] == ["id"]:
            header = [cell.lower() for cell in cells]
        elif header and re.fullmatch(r"G\d+", cells[0]):
            assert cells[0] not in found, f"{cells[0]} stands twice in {DOCUMENT.name}"
            found[cells[0]] = cells[header.index("status")].lower()
    return found


def _marked() -> dict[str, list[str]]:
    """Id → the tests that are marked with it."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr == "guarantee":
                for argument in node.args:
                    where = f"{path.relative_to(TESTS)}:{node.lineno}"
                    assert isinstance(argument, ast.Constant), f"{where}: an id has to be written out"
                    found.setdefault(str(argument.value), []).append(where)
    return found


def test_all_guarantees_are_documented() -> None:
    assert list(_documented()) == [f"G{n}" for n in range(1, 15)]
    assert set(_documented().values()) <= {"proven", "planned"}


def test_every_guarantee_that_a_test_names_exists() -> None:
    documented = _documented()
    assert {id_: where for id_, where in _marked().items() if id_ not in documented} == {}


def test_every_guarantee_that_counts_as_proven_has_a_test() -> None:
    marked = _marked()
    assert [id_ for id_, status in _documented().items() if status == "proven" and id_ not in marked] == []
