"""Values held against the schemas of an OpenAPI document."""

from typing import Any

from jsonschema import Draft202012Validator


def misfits(value: object, schema: dict[str, Any], document: dict[str, Any]) -> list[str]:
    """What is wrong with the value, in words; nothing where it fits."""
    validator = Draft202012Validator({**schema, "components": document["components"]})
    errors = validator.iter_errors(value)  # pyright: ignore[reportArgumentType, reportUnknownMemberType, reportUnknownVariableType]
    return [error.message for error in errors]
