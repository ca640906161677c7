"""docs/errors.md names every error that a user can meet."""

import inspect
from collections import Counter
from pathlib import Path

import pytest
from contracts.errors import MemlogError
from gateway.errors import HTTP_PROBLEMS
from standalone import error_catalogue

ROOT = Path(__file__).parents[3]


def test_the_catalogue_in_docs_is_what_the_code_says_now() -> None:
    found = (ROOT / error_catalogue.DEFAULT_PATH).read_text(encoding="utf-8")
    assert found == error_catalogue.render(), "out of date: run `python -m standalone.error_catalogue`"


def test_each_code_stands_for_one_error() -> None:
    codes = Counter([*HTTP_PROBLEMS, *(kind.code for kind in error_catalogue.classes())])
    assert [code for code, times in codes.items() if times > 1] == []


def test_each_error_says_its_cause_and_what_to_do() -> None:
    for kind in error_catalogue.classes():
        assert inspect.cleandoc(kind.__doc__ or ""), kind
        assert kind.__dict__.get("remedy", "").endswith("."), f"{kind.__name__} needs a remedy of its own"
        assert 400 <= kind.status < 600


def test_an_error_without_a_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unexplained(MemlogError):
        """It has no remedy."""

        code = "unexplained"

    monkeypatch.setattr(error_catalogue, "classes", lambda: [Unexplained])
    with pytest.raises(LookupError, match="Unexplained"):
        error_catalogue.render()
