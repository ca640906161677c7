"""Archive policies as they are shown, and what memory-writer asks audit: what they would put away now."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import Field

from contracts.api import View


@dataclass(frozen=True, slots=True)
class ArchiveAfter:
    """After how many days without a change of text or state, and what: an app's memories, a category's, or all."""

    after_days: int
    app_id: str | None = None
    category: str | None = None


class ArchivePolicy(View):
    """A user's policy. `due` counts the memories that it would put away now."""

    id: str
    after_days: int
    app_id: str | None = None
    app_name: str | None = None
    category: str | None = None
    created_at: int = Field(description="Epoch seconds")
    updated_at: int = Field(description="Epoch seconds")
    due: int


class ArchivePolicyList(View):
    archive_policies: list[ArchivePolicy]
    total: int


class ArchivePreview(View):
    """How many memories a policy would put away now."""

    due: int


class DueRequest(View):
    """Of the policies of one shard, at the time `at`. `after`: those behind this one (of the reply before)."""

    shard: int
    at: datetime
    after: tuple[str, str, str] | None = Field(default=None, description="uid, policy id, memory id")
    limit: int = Field(default=500, ge=1, le=1000)


class DueMemory(View):
    """A memory that a policy puts away; `sequence` is that of the memory's last event, as far as is known."""

    uid: str
    policy_id: str
    memory_id: str
    sequence: int


class DueReply(View):
    """In the order of uid, policy id, memory id; fewer than asked for are the last. `error`/`code` instead when it
    cannot be answered."""

    due: list[DueMemory] = []
    code: str | None = None
    error: str | None = None
