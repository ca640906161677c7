"""Who read or wrote what: one feed of both, as the audit tables have it. It holds ids and times, and no content."""

from typing import Literal

from pydantic import Field

from contracts.api import View

Action = Literal["read", "write"]


class AuditEntry(View):
    """One answer with memory content, or one event. `kind`: how it was read (`search`, `list`, …), or the event's type.
    `position` is in the access stream for reads, in the log for writes."""

    id: str
    action: Action
    kind: str
    at: str = Field(description="ISO 8601, UTC")
    app_id: str
    app_name: str | None
    actor: str
    memories: int | None = Field(description="How many memories a read returned")
    memory_id: str | None = Field(description="The memory that a write is about")
    trace_id: str | None
    request_id: str = Field(description="What one request led to carries the same id")
    position: str


class AuditPage(View):
    """Newest first."""

    items: list[AuditEntry]
    total: int
    page: int
    size: int
    pages: int


class ReadMemory(View):
    """A memory that a read returned: `rank` from 1, `score` for searches."""

    memory_id: str
    rank: int
    score: float | None


class ReadMemories(View):
    memories: list[ReadMemory]
