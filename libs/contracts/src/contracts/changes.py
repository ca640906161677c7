"""What differs between two moments, and when memories changed."""

from typing import Literal

from contracts.api import State, View

DifferenceKind = Literal["added", "deleted", "revised", "state", "categories"]
"""What a memory differs by, the weightiest first: it was not there, is no longer there, has another text, another
state, other categories."""


class MemoryThen(View):
    """A memory at one moment."""

    content: str
    state: State
    categories: list[str]


class Change(View):
    """A memory that differs between two moments: `before` is null where it was not there then, `after` where it is no
    longer there. `changed_at` (ISO 8601) is when it last changed between them."""

    id: str
    kind: DifferenceKind
    app_id: str
    app_name: str
    created_at: int
    changed_at: str
    before: MemoryThen | None
    after: MemoryThen | None


class ChangePage(View):
    """One page of what differs, what changed last first. `counts` are of all kinds, `total` of the one asked for."""

    items: list[Change]
    counts: dict[DifferenceKind, int]
    total: int
    page: int
    size: int
    pages: int


class Timeline(View):
    """When memories changed: `changes` counts in parts of equal length from the first change to now (ISO 8601).
    Without any change, `first` is null and there are no parts."""

    first: str | None
    now: str
    changes: list[int]
