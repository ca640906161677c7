"""What an app may read as conditions on chunks, in the terms of whichever store takes them."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from contracts.access import Access

C = TypeVar("C")


def conditions(
    access: Access,
    any_of: Callable[[str, Sequence[str]], C],
    nested: Callable[[Sequence[C], Sequence[C]], C],
) -> tuple[list[C], list[C]] | None:
    """What a chunk must meet and what it must not, or None when no chunk can be read.

    `any_of(key, values)`: the payload's key holds one of these. `nested(should, must_not)`: one of the first, if there
    are any, and none of the others.
    """
    must_not = [any_of("memory_id", access.denied_memories)] if access.denied_memories else []
    denied = [any_of("categories", access.denied_categories)] if access.denied_categories else []
    if access.base == "all" and not denied:
        return [], must_not
    within = [any_of("categories", access.allowed_categories)] if access.allowed_categories else []
    if access.base == "own":
        within.append(any_of("app_id", (access.app_id,)))
    ways = [any_of("memory_id", access.allowed_memories)] if access.allowed_memories else []
    if access.base == "all":
        ways.append(nested([], denied))
    elif within:
        ways.append(nested(within, denied))
    return ([nested(ways, [])], must_not) if ways else None
