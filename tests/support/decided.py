"""Commands and events of one memory and one app, for tests of the rules."""

from typing import Any

from contracts.commands import AddMemory, CategorizeMemory, ReviseMemory
from contracts.events import (
    AccessRuleSet,
    AppRegistered,
    MemoryAdded,
    MemoryArchived,
    MemoryCategorized,
    MemoryDeleted,
    MemoryPaused,
    MemoryRestored,
    MemoryResumed,
    MemoryRevised,
    MemoryUnarchived,
)
from memory_writer.domain.memory import (
    Add,
    Categorize,
    Revise,
)

M, A, C = "m-1", "a-1", "c-1"
ADDED = MemoryAdded(memory_id=M, text="tea")
REVISED = MemoryRevised(memory_id=M, version=2, text="coffee")
DELETED = MemoryDeleted(memory_id=M)
PAUSED, RESUMED = MemoryPaused(memory_id=M), MemoryResumed(memory_id=M)
ARCHIVED, UNARCHIVED = MemoryArchived(memory_id=M), MemoryUnarchived(memory_id=M)
RESTORED = MemoryRestored(memory_id=M)
REGISTERED = AppRegistered(app_id=A, name="claude")
ALLOWED = AccessRuleSet(rule_id="r-1", app_id=A, effect="allow", category="tea")
DENIED = AccessRuleSet(rule_id="r-1", app_id=A, effect="deny", category="tea")


def add(text: str = "tea", **fields: Any) -> Add:
    return Add(M, AddMemory(text=text, **fields))


def revise(text: str, only_active: bool = False) -> Revise:
    return Revise(ReviseMemory(memory_id=M, text=text, only_active=only_active))


def categorize(*categories: str, by: str = "person", version: int | None = None) -> Categorize:
    return Categorize(CategorizeMemory(memory_id=M, categories=categories, by=by, version=version))  # pyright: ignore[reportArgumentType]


def categorized(*categories: str, by: Any = "person") -> MemoryCategorized:
    return MemoryCategorized(memory_id=M, categories=categories, by=by)
