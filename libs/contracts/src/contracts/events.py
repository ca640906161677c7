"""The events. WARNING: these are a storage format; read `messages.py` before you change one.

Past tense, grouped by aggregate. The subject gives the aggregate, the envelope who and when.
"""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import JsonValue

from contracts.messages import Event, registry
from contracts.tokens import ScopeName


class LogStarted(Event):
    """Sequence 1 of each shard: which log this is (architecture §7)."""

    type = "LogStarted"
    incarnation: str
    shard: int
    shards: int


class UserRegistered(Event):
    """A user came into being, at the first use of the name."""

    type = "UserRegistered"
    sealed: ClassVar = frozenset({"name"})
    name: str


class AppRegistered(Event):
    """An app of the user came into being, at its first use."""

    type = "AppRegistered"
    sealed: ClassVar = frozenset({"name"})
    app_id: str
    name: str


class AppPaused(Event):
    """The app may neither write nor read until it is resumed."""

    type = "AppPaused"
    app_id: str


class AppResumed(Event):
    """The app may write and read again."""

    type = "AppResumed"
    app_id: str


class MemoryAdded(Event):
    """Version 1 of a memory. Its app is the envelope's. One that was imported has the `state` that it had where it
    comes from, and `changed_at` is when its text or state changed last there, if that was after it was added."""

    type = "MemoryAdded"
    schema_version: ClassVar = 2
    sealed: ClassVar = frozenset({"text", "metadata", "categories"})
    memory_id: str
    text: str
    metadata: dict[str, JsonValue] = {}
    categories: tuple[str, ...] = ()
    state: Literal["active", "paused", "archived", "deleted"] = "active"
    changed_at: datetime | None = None


class MemoryRevised(Event):
    """The memory's text changed; `version` counts from 2. The version before stays in the history. `categories` are
    those that stay: what a person chose; others were about the old text. An import that overwrites the memory also
    gives it `metadata` and a `state`."""

    type = "MemoryRevised"
    schema_version: ClassVar = 2
    sealed: ClassVar = frozenset({"text", "categories", "metadata"})
    memory_id: str
    version: int
    text: str
    categories: tuple[str, ...] = ()
    metadata: dict[str, JsonValue] | None = None
    state: Literal["active", "paused", "archived", "deleted"] | None = None


class MemoryCategorized(Event):
    """The memory's categories are these now. `by` says who chose them, `model` which one, if a model did."""

    type = "MemoryCategorized"
    sealed: ClassVar = frozenset({"categories"})
    memory_id: str
    categories: tuple[str, ...]
    by: Literal["person", "model", "classifier"]
    model: str | None = None


class MemoryPaused(Event):
    """Hidden from apps until it is resumed; its owner still sees it."""

    type = "MemoryPaused"
    memory_id: str


class MemoryResumed(Event):
    """A paused memory is active again."""

    type = "MemoryResumed"
    memory_id: str


class MemoryArchived(Event):
    """Put away: hidden from apps, kept for its owner."""

    type = "MemoryArchived"
    memory_id: str


class MemoryUnarchived(Event):
    """An archived memory is active again."""

    type = "MemoryUnarchived"
    memory_id: str


class MemoryRestored(Event):
    """A deleted memory is active again, as it was."""

    type = "MemoryRestored"
    memory_id: str


class MemoryDeleted(Event):
    """The memory is deleted (a state: it can be restored until retention ends)."""

    type = "MemoryDeleted"
    memory_id: str


class CategoryDefined(Event):
    """The user has this category: its own, or another description for one that Memlog brings along."""

    type = "CategoryDefined"
    sealed: ClassVar = frozenset({"name", "description"})
    category_id: str
    name: str
    description: str


class CategoryRemoved(Event):
    """The user does not want this category any more; memories that have it keep it."""

    type = "CategoryRemoved"
    category_id: str


class AccessRuleSet(Event):
    """This rule holds for the app: about one memory, one category, or (neither) all that it may read."""

    type = "AccessRuleSet"
    sealed: ClassVar = frozenset({"category"})
    rule_id: str
    app_id: str
    effect: Literal["allow", "deny"]
    memory_id: str | None = None
    category: str | None = None


class AccessRuleRemoved(Event):
    """The rule holds no more."""

    type = "AccessRuleRemoved"
    rule_id: str


class DefaultAccessChanged(Event):
    """What an app may read when no rule speaks: all (`allow`), or only what it wrote itself (`own`)."""

    type = "DefaultAccessChanged"
    policy: Literal["allow", "own"]


class SettingsChanged(Event):
    """All that was set is this now; what is absent has its default. No secrets: only references to them."""

    type = "SettingsChanged"
    sealed: ClassVar = frozenset({"settings"})
    settings: dict[str, JsonValue]


class ArchivePolicySet(Event):
    """Active memories that nobody changed for `after_days` are archived: those of the app, of the category, or all."""

    type = "ArchivePolicySet"
    sealed: ClassVar = frozenset({"category"})
    policy_id: str
    after_days: int
    app_id: str | None = None
    category: str | None = None


class ArchivePolicyRemoved(Event):
    """The policy archives nothing any more; what it archived stays so."""

    type = "ArchivePolicyRemoved"
    policy_id: str


class TokenIssued(Event):
    """Whoever bears the token may act as this app of the user, within the scopes, until it expires or is revoked.
    `hash` is the SHA-256 of its secret: the token itself is nowhere."""

    type = "TokenIssued"
    sealed: ClassVar = frozenset({"user", "app", "label"})
    token_id: str
    hash: str
    user: str
    app: str
    scopes: tuple[ScopeName, ...]
    label: str = ""
    expires_at: datetime | None = None


class TokenRevoked(Event):
    """The token counts no more."""

    type = "TokenRevoked"
    token_id: str


class TextReceived(Event):
    """Raw text to make memories of, as it came; kept for provenance. `source_id` is its command's id."""

    type = "TextReceived"
    sealed: ClassVar = frozenset({"text", "metadata", "categories"})
    source_id: str
    text: str
    metadata: dict[str, JsonValue] = {}
    categories: tuple[str, ...] = ()


class ReprocessingRequested(Event):
    """Somebody wants facts to be found anew in the text. Each request is answered by a `TextProcessed` of its own."""

    type = "ReprocessingRequested"
    source_id: str


class ProcessedItem(Event):
    """What was decided about one fact. Part of `TextProcessed`; `id` is the memory's, None where there is none."""

    type = "ProcessedItem"
    id: str | None
    event: Literal["ADD", "UPDATE", "DELETE", "NONE"]
    text: str
    previous_text: str | None = None


class TextProcessed(Event):
    """What became of a text: facts that `model` found in it, or the text itself (`verbatim`), and then why. Verbatim
    and no item: it was processed before, and what came of that stays."""

    type = "TextProcessed"
    sealed: ClassVar = frozenset({"items", "reason"})
    source_id: str
    outcome: Literal["extracted", "verbatim"]
    items: tuple[ProcessedItem, ...] = ()
    model: str | None = None
    reason: str | None = None


class ItemResult(Event):
    """What a command did with one memory. Not an event by itself: part of outcomes."""

    type = "ItemResult"
    id: str
    event: Literal["ADD", "UPDATE", "DELETE", "STATE", "NONE"]


class CommandSettled(Event):
    """A command ended without an event of its own (nothing to do, duplicate, refused), or closes one that led
    to several. `code` is an error's stable code when it was refused, `reason` says it in words. `counts` (by kind of
    change) covers all that it did; `results` is empty when that was very much."""

    type = "CommandSettled"
    sealed: ClassVar = frozenset({"reason"})
    command_type: str
    outcome: Literal["done", "nothing", "refused"]
    code: str | None = None
    reason: str | None = None
    results: tuple[ItemResult, ...] = ()
    counts: dict[str, int] = {}


class ReadItem(Event):
    """One memory that a read returned: `rank` from 1, `score` for searches. Part of `MemoriesRead`."""

    type = "ReadItem"
    id: str
    rank: int
    score: float | None = None


class MemoriesRead(Event):
    """An answer with memory content is about to leave (stream MEMLOG_ACCESS): durable before the answer (G7)."""

    type = "MemoriesRead"
    sealed: ClassVar = frozenset({"query"})
    kind: Literal["search", "list", "get", "history", "export", "stream"]
    items: tuple[ReadItem, ...] = ()
    query: str | None = None


EVENTS: dict[str, type[Event]] = registry(
    LogStarted,
    UserRegistered,
    AppRegistered,
    AppPaused,
    AppResumed,
    MemoryAdded,
    MemoryRevised,
    MemoryCategorized,
    MemoryPaused,
    MemoryResumed,
    MemoryArchived,
    MemoryUnarchived,
    MemoryDeleted,
    MemoryRestored,
    CategoryDefined,
    CategoryRemoved,
    AccessRuleSet,
    AccessRuleRemoved,
    DefaultAccessChanged,
    SettingsChanged,
    ArchivePolicySet,
    ArchivePolicyRemoved,
    TokenIssued,
    TokenRevoked,
    TextReceived,
    ReprocessingRequested,
    TextProcessed,
    CommandSettled,
    MemoriesRead,
)
