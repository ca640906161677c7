"""Positions are opaque strings that come back unchanged; errors have one stable code each."""

import pytest
from contracts import codec, errors
from contracts.errors import InvalidInput, MemlogError, NotFound, error_from_code
from contracts.positions import Position, message_hash
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(0, 9_999), st.integers(0, 10**19 - 1))
def test_a_position_is_read_back(shard: int, sequence: int) -> None:
    position = Position(shard, sequence)
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize(
    "text",
    ["", "1", "-1", "1-", "a-b", "1-2-3", " 1-2", "1-2 ", "1-2\n", "-1-2", "1--2", "1.0-2", "\u0661-\u0662", "01-2",
     "1-02", "1-" + "9" * 20, "10000-1"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Position.parse(text)


@given(st.text(max_size=12))
def test_what_is_read_is_written_the_same(text: str) -> None:
    try:
        position = Position.parse(text)
    except InvalidInput:
        return
    assert str(position) == text


def test_positions_of_a_shard_are_ordered() -> None:
    assert Position(0, 9) < Position(0, 10)
    assert str(Position(3, 17)) == "3-17"


def test_the_hash_of_a_message_never_changes() -> None:
    assert message_hash(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def _all_errors(kind: type[MemlogError]) -> list[type[MemlogError]]:
    """Those of contracts: another package may be imported, or not."""
    found = [kind] if kind.__module__ in (errors.__name__, codec.__name__) else []
    return found + [each for sub in kind.__subclasses__() for each in _all_errors(sub)]


def test_each_error_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in _all_errors(MemlogError)]
    assert len(codes) > 10
    assert sorted(codes) == sorted(set(codes))


@pytest.mark.parametrize("kind", _all_errors(MemlogError), ids=lambda kind: kind.__name__)
def test_a_code_leads_back_to_its_error(kind: type[MemlogError]) -> None:
    error = error_from_code(kind.code, "why")
    assert type(error) is kind
    assert (error.message, str(error)) == ("why", "why")
    assert 400 <= kind.status < 600


def test_an_unknown_code_is_an_error_all_the_same() -> None:
    error = error_from_code("from_the_future", "why")
    assert (type(error), error.code, error.message) == (MemlogError, "internal", "why")
    assert error_from_code("not_found", "x").status == NotFound.status == 404
