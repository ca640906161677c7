import json
from typing import Any

import pytest
from contracts import errors
from contracts.errors import MemlogError, NotFound, Unavailable
from gateway.errors import CODE_META_KEY, ERRORS_META_KEY, problem_for, problem_for_fields, problem_response, tool_error

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MemlogError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_is_a_problem_of_its_code_and_status(kind: type[MemlogError]) -> None:
    problem = problem_for(kind("because"))
    assert (problem.code, problem.status) == (kind.code, kind.status)
    assert problem.type == f"urn:memlog:problem:{kind.code}"


def test_an_unforeseen_error_says_nothing() -> None:
    assert problem_for(MemlogError("secret")) == problem_for(None)
    assert (problem_for(None).status, problem_for(None).code) == (500, "internal")


def test_a_problem_is_answered_as_problem_json_and_503_says_when_to_come_back() -> None:
    answer = problem_response(problem_for(Unavailable("no writer")))
    assert (answer.status_code, answer.media_type) == (503, "application/problem+json")
    assert answer.headers["retry-after"] == "1"
    assert set(json.loads(bytes(answer.body))) == {"type", "title", "status", "detail", "code"}


def test_a_text_that_cannot_be_encoded_is_escaped() -> None:
    problem = problem_for(NotFound("no memory \ud800"))
    assert problem.detail == "no memory \\ud800"
    assert tool_error(problem)["content"][0]["text"] == problem.detail


def test_a_tool_error_carries_code_and_fields_beside_the_text() -> None:
    wrong: list[dict[str, Any]] = [{"type": "missing", "loc": ("body", "text"), "msg": "Field required", "input": "x"}]
    result = tool_error(problem_for_fields(wrong, skip=1))
    assert result["isError"] is True
    assert result["content"] == [{"type": "text", "text": "text: is missing"}]
    assert result["_meta"][CODE_META_KEY] == "invalid_input"
    assert result["_meta"][ERRORS_META_KEY] == [{"field": "text", "message": "is missing", "type": "missing"}]


def test_the_input_that_was_refused_is_never_echoed_and_the_fields_are_bounded() -> None:
    wrong = [{"type": "extra_forbidden", "loc": ("k" * 1000,), "msg": "m", "input": "private"} for _ in range(1000)]
    problem = problem_for_fields(wrong)
    assert len(problem.model_dump_json()) < 10_000
    assert "private" not in problem.model_dump_json()
