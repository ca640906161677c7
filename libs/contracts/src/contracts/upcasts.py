"""Upcasts: one step from each schema version to the next, chained when an old message is decoded.

A step takes and returns the message's fields (clear and unsealed together) as a dict, and is pure.
"""

from collections.abc import Callable, Mapping
from typing import Any

from contracts.errors import UnsupportedSchema

Fields = dict[str, Any]
Upcast = Callable[[Fields], Fields]
Upcasts = Mapping[tuple[str, int], Upcast]
"""(type, version that the step starts from) → step."""


def _as_it_was(fields: Fields) -> Fields:
    """What the next version adds has a default that says what the one before meant."""
    return fields


UPCASTS: Upcasts = {
    ("MemoryAdded", 1): _as_it_was,  # state: active
    ("MemoryRevised", 1): _as_it_was,  # metadata, state: as before
}


def upcast(fields: Fields, type_: str, stored: int, current: int, steps: Upcasts = UPCASTS) -> Fields:
    """`fields` lifted from schema version `stored` to `current`. Raises `UnsupportedSchema` when the message is
    newer than this code, or a step is missing."""
    if stored > current:
        raise UnsupportedSchema(
            f"{type_} has schema version {stored}, this Memlog knows up to {current}: run the newer Memlog"
        )
    for version in range(stored, current):
        step = steps.get((type_, version))
        if step is None:
            raise UnsupportedSchema(f"no upcast of {type_} from version {version}")
        fields = step(fields)
    return fields
