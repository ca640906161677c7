"""What can be asked of the gateway's service, as data: who asks, with which scope, for what."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from contracts.api import Progress
from contracts.changes import DifferenceKind
from contracts.ids import OWNER_APP as OWNER_APP


class Scope(StrEnum):
    """What a route or tool needs. None includes another."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the transport knows it: names, not ids. `actor` is the transport (`mcp`, `rest`, `cli`), or the
    credential by which it is proven."""

    user: str
    app: str
    actor: str


OnProgress = Callable[[Progress | None], Awaitable[None]]
"""Called now and then while a write takes long: with how many memories are done, None where nobody counts."""


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Filters of a REST list. Epoch seconds, inclusive. `categories` (names, any case) and `category_ids`: any of
    either. `search`: substring, any case. `states` None: every state but `deleted`. `as_of`: a time or position."""

    memory_ids: tuple[str, ...] | None = None
    app_ids: tuple[str, ...] | None = None
    from_date: int | None = None
    to_date: int | None = None
    categories: tuple[str, ...] | None = None
    category_ids: tuple[str, ...] | None = None
    search: str | None = None
    states: tuple[str, ...] | None = None
    sort_column: Literal["memory", "app_name", "created_at"] = "created_at"
    sort_direction: Literal["asc", "desc"] = "desc"
    page: int = 1
    size: int = 50
    as_of: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeQuery:
    """What differs between two moments (times or positions; `until` None: now). `kind` None: all. `search`: substring
    of the text before or after, any case."""

    since: str
    until: str | None = None
    kind: DifferenceKind | None = None
    search: str | None = None
    page: int = 1
    size: int = 50


@dataclass(frozen=True, slots=True)
class AppQuery:
    """Filters of the list of apps. `name`: substring, any case."""

    name: str | None = None
    is_active: bool | None = None
    sort_by: Literal["name", "memories", "memories_accessed"] = "name"
    sort_direction: Literal["asc", "desc"] = "asc"
    page: int = 1
    page_size: int = 10


@dataclass(frozen=True, slots=True)
class BackupQuery:
    """What to export: the memories of one app, or that were made in a time (epoch seconds, inclusive), or all."""

    app_id: str | None = None
    from_date: int | None = None
    to_date: int | None = None


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Filters of the audit: reads or writes, of this kind or type, by this app, of this memory; without what the person
    read as themselves; epoch seconds, inclusive."""

    action: Literal["read", "write"] | None = None
    kind: str | None = None
    app_id: str | None = None
    memory_id: str | None = None
    without_own_reads: bool = False
    from_date: int | None = None
    to_date: int | None = None
    page: int = 1
    size: int = 50


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events of the log: of this type, about this memory. None: all."""

    type: str | None = None
    memory_id: str | None = None


@dataclass(frozen=True, slots=True)
class These:
    """The memories with these ids, whatever their state."""

    memory_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InCategories:
    """The memories that have any of these categories."""

    category_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OfApp:
    """The memories that this app wrote."""

    app_id: str


@dataclass(frozen=True, slots=True)
class Everything:
    """All memories of the user."""


Selection = These | InCategories | OfApp | Everything
"""Memories of one user to change together."""
