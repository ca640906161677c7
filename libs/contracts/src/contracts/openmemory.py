"""Answers that are there because OpenMemory gave them, in its form: of apps, of who read a memory, of imports."""

from typing import Literal

from pydantic import Field, JsonValue

from contracts.api import App, ChangeKind, Memory, View
from contracts.promises import Wait


class AppDetail(App):
    """An app with its totals, and when memories were first and last returned to it."""

    first_accessed: str | None = Field(description="ISO 8601, UTC")
    last_accessed: str | None = Field(description="ISO 8601, UTC")


class ChangedApp(App):
    """An app after a change of it."""

    status: Literal["success"] = "success"
    message: str


class AppMemories(View):
    """One page of the memories that an app wrote, newest first."""

    total: int
    page: int
    page_size: int
    memories: list[Memory]


class AccessedMemory(View):
    """A memory, which may be deleted by now, and how many reads returned it to the app."""

    memory: Memory
    access_count: int


class AccessedMemories(View):
    """One page of the memories that were returned to an app, those read most often first."""

    total: int
    page: int
    page_size: int
    memories: list[AccessedMemory]


class AccessLogEntry(View):
    """A read that returned the memory. `metadata_` has the actor, the rank (from 1), the score of a search, and the id
    of the read, which is the same for all memories that it returned."""

    id: str
    memory_id: str
    app_id: str
    app_name: str | None
    accessed_at: str = Field(description="ISO 8601, UTC")
    access_type: Literal["search", "list", "get", "history", "export", "stream"]
    metadata_: dict[str, JsonValue] = {}


class AccessLog(View):
    """One page of the reads that returned a memory, newest first."""

    total: int
    page: int
    page_size: int
    logs: list[AccessLogEntry]


class Imported(View):
    """How far the import of a backup is. `counts`: memories that are new (`ADD`), were overwritten (`UPDATE`), or were
    left as they are (`NONE`); empty while it is under way, and then the operation tells."""

    message: str
    operation_id: str
    state: Wait
    counts: dict[ChangeKind, int] = {}
    memories: int
    apps: int
    rules: int
    reason: str | None = None
