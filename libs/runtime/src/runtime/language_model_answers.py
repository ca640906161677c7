"""What a model says, as the type that was asked for: the schema that it is told, and the JSON in its answer. Pure."""

import json
from collections.abc import Iterator
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

T = TypeVar("T", bound=BaseModel)
_MOST_CHARACTERS = 200_000
_MOST_BRACES = 100
"""At which an object is looked for: hostile answers cost no more."""
_MOST_PROBLEMS = 5
_THOUGHTS_END = "</think>"
_NOT_IN_STRICT = frozenset({"default", "minLength", "maxLength"})
"""Keywords that strict structured outputs refuse. The answer is checked against them all the same."""


class WrongAnswer(Exception):
    """Not what was asked for. The text says what is wrong, to the model; `kinds` says it without the model's words."""

    def __init__(self, problem: str, kinds: str) -> None:
        super().__init__(problem)
        self.kinds = kinds


def strict_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without keywords that strict structured outputs refuse."""
    return {keyword: _strict(keyword, value) for keyword, value in schema.items() if keyword not in _NOT_IN_STRICT}


def _strict(keyword: str, value: object) -> object:
    if keyword in ("properties", "$defs"):  # its keys are names
        named = cast("dict[str, dict[str, Any]]", value)
        return {name: strict_schema(schema) for name, schema in named.items()}
    if isinstance(value, dict):
        return strict_schema(cast("dict[str, Any]", value))
    if isinstance(value, list) and keyword in ("anyOf", "allOf", "prefixItems"):
        return [strict_schema(schema) for schema in cast("list[dict[str, Any]]", value)]
    return cast("object", value)


def instruction(answer: type[BaseModel]) -> str:
    """What a model is told that nothing else tells the schema."""
    schema = json.dumps(answer.model_json_schema(), ensure_ascii=False, separators=(",", ":"))
    return f"Answer with one JSON object and nothing else. It must be valid against this JSON schema:\n{schema}"


def read_answer(content: str | None, answer: type[T]) -> T:
    """The first JSON object in `content` that is an `answer`: models put it between code fences, after their thoughts,
    or into a sentence. Raises `WrongAnswer`."""
    wrong = WrongAnswer("There is no JSON object in your answer.", "no JSON")
    for found in _objects((content or "")[:_MOST_CHARACTERS].rpartition(_THOUGHTS_END)[2]):
        try:
            return answer.model_validate(found)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False, include_input=False)[:_MOST_PROBLEMS]
            said = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'the object'}: {each['msg']}" for each in problems)
            wrong = WrongAnswer(said, ", ".join(sorted({each["type"] for each in problems})))
    raise wrong


def _objects(text: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    at = text.find("{")
    for _ in range(_MOST_BRACES):
        if at < 0:
            return
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            yield value
        at = text.find("{", end)
