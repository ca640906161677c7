"""What a transport checks before it calls the service: the same rules for REST and MCP.

Each type is a pydantic annotation, so that a refusal names the field, and the schemas that clients see come from the
same place as the check.
"""

import math
import unicodedata
from collections.abc import Iterable
from typing import Annotated, cast

from contracts.categories import category_key
from contracts.commands import MAX_IDS_PER_REQUEST, MAX_NAME, MAX_TEXT_BYTES
from contracts.errors import InvalidInput
from contracts.ids import parse_uuid
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError

MAX_QUERY_BYTES = 16 * 1024
MAX_METADATA_DEPTH = 16
MAX_CATEGORIES = 50
MAX_DESCRIPTION = 2000
MAX_INSTRUCTIONS = 16 * 1024
MAX_IDS = MAX_IDS_PER_REQUEST
MAX_LIMIT = 100
MAX_LIST_LIMIT = 500
TOO_LARGE = "too_large"
"""The type of a validation error that is a matter of size (413) rather than of form (422)."""

STRICT = ConfigDict(extra="forbid", strict=True)
"""For everything that comes as JSON: an unknown field or a number for a string is an error, never a guess."""


def _storable(text: str) -> str:
    if "\x00" in text:
        # PostgreSQL stores none.
        raise PydanticCustomError("nul_character", "must not contain the NUL character (U+0000)")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            # JSON can escape half of a surrogate pair; no UTF-8 can hold it.
            raise PydanticCustomError("lone_surrogate", "holds a lone surrogate, which is not valid Unicode") from None
    return text


def _check_size(text: str, limit: int) -> str:
    size = len(text.encode())
    if size > limit:
        raise PydanticCustomError(
            TOO_LARGE, "has {size} bytes of UTF-8, more than the {limit} allowed", {"size": size, "limit": limit}
        )
    return text


def _check_not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("empty_text", "must not be empty or only white space")
    return _storable(text)


def _check_text(text: str) -> str:
    return _check_size(_check_not_blank(text), MAX_TEXT_BYTES)


def _check_query(text: str) -> str:
    return _check_size(_check_not_blank(text), MAX_QUERY_BYTES)


def is_name(name: str) -> bool:
    """Whether this can name a user, an app, a category or a key: 1 to 256 characters, not blank, no control
    characters and nothing that failed to decode."""
    if len(name) > MAX_NAME or not name.strip():
        return False
    if name.isascii():
        return name.isprintable()
    return "\ufffd" not in name and not any(unicodedata.category(char) in ("Cc", "Cs") for char in name)


def _check_name(name: str) -> str:
    if not is_name(name):
        text = "must have 1 to {limit} characters, not only white space, and no control characters"
        raise PydanticCustomError("invalid_name", text, {"limit": MAX_NAME})
    return name


def require_name(name: str, what: str) -> str:
    """The name, if it is one. Raises `InvalidInput` saying what it should have named."""
    if not is_name(name):
        raise InvalidInput(f"not a valid {what}: 1 to {MAX_NAME} characters, not blank, no control characters")
    return name


def _check_depth(value: object) -> object:
    # Before pydantic walks it: its own limit is an error about recursion, not about the input.
    level: list[object] = [value]
    for _ in range(MAX_METADATA_DEPTH + 1):
        level = [child for node in level for child in _children(node)]
        if not level:
            return value
    raise PydanticCustomError("too_deep", "is nested more than {limit} levels deep", {"limit": MAX_METADATA_DEPTH})


def _children(node: object) -> Iterable[object]:
    if isinstance(node, dict):
        return cast("dict[object, object]", node).values()
    return cast("list[object]", node) if isinstance(node, list) else ()


def _check_json(value: JsonValue) -> None:
    match value:
        case str():
            _storable(value)
        case float() if not math.isfinite(value):
            raise PydanticCustomError("not_finite", "must hold finite numbers only")
        case list():
            for item in value:
                _check_json(item)
        case dict():
            for key, item in value.items():
                _storable(key)
                _check_json(item)
        case _:
            pass


def _check_metadata(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    _check_json(value)
    return value


def _each_once(names: list[str]) -> list[str]:
    """Categories in their first spelling: case does not tell them apart."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(category_key(name), name)
    return [*first.values()]


def _check_memory_id(value: str) -> str:
    return parse_uuid(value, "memory id")


Text = Annotated[str, AfterValidator(_check_text)]
Query = Annotated[str, AfterValidator(_check_query)]
Name = Annotated[str, AfterValidator(_check_name)]
Needle = Annotated[str, Field(max_length=1024), AfterValidator(_storable)]
Metadata = Annotated[dict[str, JsonValue], BeforeValidator(_check_depth), AfterValidator(_check_metadata)]
Instructions = Annotated[str, Field(max_length=MAX_INSTRUCTIONS), AfterValidator(_storable)]
Label = Annotated[str, Field(max_length=MAX_NAME), AfterValidator(_storable)]
Description = Annotated[str, Field(max_length=MAX_DESCRIPTION), AfterValidator(_storable)]
Names = Annotated[list[Name], Field(max_length=MAX_CATEGORIES)]
Categories = Annotated[Names, AfterValidator(_each_once)]
MemoryId = Annotated[str, AfterValidator(_check_memory_id)]
MemoryIds = Annotated[list[MemoryId], Field(min_length=1, max_length=MAX_IDS)]
AsOf = Annotated[
    str,
    Field(max_length=64, description="As of then: a time (ISO 8601, epoch seconds) or a position that Memlog returned"),
    AfterValidator(_storable),
]
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

Epoch = Annotated[int, Field(ge=0, le=253_402_300_799)]
"""Seconds since 1970, up to the end of the year 9999: no calendar here goes further."""
