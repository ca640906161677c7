"""What Memlog answers: results of MCP tools and REST routes, and what services say to each other over NATS.

Times: `created_at`/`updated_at` are epoch seconds (as OpenMemory's were) unless the name says otherwise.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from contracts.access import Access, Effect, Policy
from contracts.promises import Wait

State = Literal["active", "paused", "archived", "deleted"]
ChangeKind = Literal["ADD", "UPDATE", "DELETE", "STATE", "NONE"]


class View(BaseModel):
    """Base of answers: immutable, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# -- memories ---------------------------------------------------------------------------------------------------


class Memory(View):
    """A memory as REST lists it."""

    id: str
    content: str
    created_at: int = Field(description="Epoch seconds")
    state: State
    app_id: str
    app_name: str
    categories: list[str] = []
    metadata_: dict[str, JsonValue] = {}


class AddedMemory(Memory):
    """The memory that an add led to. `event`: it is new (`ADD`), or this very text was remembered already (`NONE`), by
    whichever app: then nothing was stored, and this is the memory that was there, as it is."""

    event: Literal["ADD", "NONE"]


class MemoryDetail(View):
    """A memory as `GET /api/v1/memories/{id}` gives it: its text is called `text` there."""

    id: str
    text: str
    created_at: int
    updated_at: int
    state: State
    app_id: str
    app_name: str
    categories: list[str] = []
    metadata_: dict[str, JsonValue] = {}
    version: int


class Page(View):
    """One page of memories. `total` counts all that match, `pages` is ceil(total / size)."""

    items: list[Memory]
    total: int
    page: int
    size: int
    pages: int


class FoundMemory(View):
    """A memory as MCP tools return it. `score` (0..1, higher is better) is there for searches only; `hash` is the
    SHA-256 (hex) of the text."""

    id: str
    memory: str
    score: float | None = None
    categories: list[str] = []
    source_app: str
    created_at: int
    updated_at: int
    hash: str


class SearchResults(View):
    results: list[FoundMemory]


class MemoryList(View):
    """`next_cursor` is absent on the last page; pass it back unchanged for the next one."""

    results: list[FoundMemory]
    next_cursor: str | None = None


class HistoryEntry(View):
    """One change of a memory: which version and state it led to, when (ISO 8601), by whom, through which app."""

    event: str
    version: int
    state: State
    text: str | None = Field(default=None, description="The text, where this change set one")
    categories: list[str] | None = Field(default=None, description="All categories, where this change set them")
    at: str
    recorded_at: str
    app_name: str
    actor: str
    position: str


class History(View):
    memory_id: str
    entries: list[HistoryEntry]


# -- differences of two moments ---------------------------------------------------------------------------------


# -- operations -------------------------------------------------------------------------------------------------


class Item(View):
    """What an operation did with one memory."""

    id: str
    memory: str | None = None
    event: ChangeKind
    previous_memory: str | None = None


class OperationResult(View):
    """How far a write is: `accepted` (durable, not decided yet) → `stored` (in the log) → `searchable`. `reason` says
    why a stored one does not become searchable by itself."""

    results: list[Item] = []
    operation_id: str
    position: str | None = None
    state: Wait
    reason: str | None = None


class Progress(View):
    """How far a large operation is: memories handled, of all."""

    done: int
    total: int


class Operation(View):
    """An operation asked for later. `code` and `reason` say why it was refused, or why reads do not show what it did
    (`quarantined`); `progress` is there while a large one is under way."""

    operation_id: str
    status: Literal["accepted", "done", "nothing", "refused"]
    type: str
    progress: Progress | None = None
    counts: dict[ChangeKind, int] = Field(default={}, description="How many memories were changed, by kind")
    accepted_at: str = Field(description="ISO 8601, UTC")
    settled_at: str | None = None
    results: list[Item] = []
    position: str | None = None
    code: str | None = None
    reason: str | None = None


class Reprocessing(View):
    """How far a run of finding facts anew is: texts, and of those done the ones of which nothing new came because the
    language model failed."""

    run: str
    total: int
    done: int
    failed: int


class Deleted(View):
    """`deleted` counts; `not_accessible` names ids that the app cannot see or that do not exist. While `state` is
    `accepted`, nothing is counted yet: the operation tells later. `reason` says why reads still show what is deleted,
    where that does not heal by itself."""

    deleted: int
    not_accessible: list[str] = []
    operation_id: str | None = None
    state: Wait = "searchable"
    reason: str | None = None


class StateChanged(View):
    """`changed` counts memories. While `state` is `accepted`, nothing is counted yet: the operation tells later. What
    is not `searchable` yet may still be seen in its old state; `reason` says why, where that does not heal by itself.
    """

    changed: int
    operation_id: str | None = None
    state: Wait = "searchable"
    reason: str | None = None


# -- categories ---------------------------------------------------------------------------------------------------


class Category(View):
    """A category of the user: one that Memlog brings along, one of the user's `own` (or a description of their own),
    or one that some memory has. `memories` counts those that have it."""

    id: str
    name: str
    description: str
    created_at: int = Field(description="Epoch seconds")
    updated_at: int = Field(description="Epoch seconds")
    own: bool
    memories: int


class CategoryList(View):
    categories: list[Category]
    total: int


# -- access rules -------------------------------------------------------------------------------------------------


class AccessRule(View):
    """What an app may read (`allow`) or not (`deny`): one memory, one category, or, with neither, everything."""

    id: str
    app_id: str
    app_name: str
    effect: Effect
    memory_id: str | None = None
    category: str | None = None
    updated_at: int = Field(description="Epoch seconds")


class AccessRulePage(View):
    """One page of access rules. `total` counts all that match, `pages` is ceil(total / size)."""

    items: list[AccessRule]
    total: int
    page: int
    size: int
    pages: int


class DefaultAccess(View):
    """What an app may read where no rule speaks: every memory (`allow`), or those it wrote itself (`own`)."""

    policy: Policy


# -- apps, stats, health ----------------------------------------------------------------------------------------


class App(View):
    id: str
    name: str
    is_active: bool
    total_memories_created: int
    total_memories_accessed: int


class AppPage(View):
    total: int
    page: int
    page_size: int
    apps: list[App]


class Stats(View):
    total_memories: int
    total_apps: int
    apps: list[App]


class ServiceHealth(View):
    """`ok` is what readiness uses; `detail` says what is wrong, in words; `facts` are for people."""

    service: str
    ok: bool
    detail: str | None = None
    facts: dict[str, JsonValue] = {}


class Health(View):
    status: Literal["ok", "degraded", "unavailable"]
    version: str
    embedder: str | None
    llm: str | None
    index: str | None
    positions: dict[str, str]
    services: list[ServiceHealth]


# -- the log -----------------------------------------------------------------------------------------------------


class AggregateView(View):
    """What an event is about: its kind (`memory`, `app`, `user`, `category`, `op`) and its id."""

    kind: str
    id: str


class LogMessage(View):
    """An event or command as its owner reads it; `event_id` is its id. `data` is absent, and `unreadable` says why,
    where the content was erased, is damaged, belongs to somebody else, or is of a type that this version does not
    know."""

    event_id: str
    type: str
    schema_version: int | None = None
    occurred_at: str = Field(description="ISO 8601, UTC: when it happened, by its sender's word")
    app_id: str
    actor: str
    correlation_id: str
    causation_id: str
    trace_id: str | None = Field(default=None, description="Of the call that led to it: 32 hex digits (W3C)")
    data: dict[str, JsonValue] | None = None
    unreadable: str | None = None


class LogEvent(LogMessage):
    """An event where it stands in the log."""

    position: str
    recorded_at: str = Field(description="ISO 8601, UTC: when the log took it")
    app_name: str | None = None
    aggregate: AggregateView


class EventPage(View):
    """Events in the order of the log. Pass `next` as `after` for those that follow, of the newest `previous` as
    `before` for those before; absent at the end. With filters a page may hold fewer than asked for, yet not be it."""

    events: list[LogEvent]
    next: str | None = None
    previous: str | None = None


# -- between services, over core NATS -----------------------------------------------------------------------------


class Outcome(View):
    """The writer's word to the gateway that waits: how a command ended. `counts` covers all that it did; `results` is
    empty when that was more than `MAX_RESULTS`. `later`: it is in the log, and what has to be done about it waits for
    what is away (`reason`): nobody should wait for it."""

    command_id: str
    status: Literal["done", "nothing", "refused", "later"]
    code: str | None = None
    reason: str | None = None
    results: list[Item] = []
    counts: dict[ChangeKind, int] = {}
    position: str


class Announcement(View):
    """A projection has committed up to `sequence` of `shard`. An answer to the question where it is also carries the
    id and hash of the event there (architecture §7)."""

    projection: str
    shard: int
    sequence: int
    run: int = Field(default=0, description="Grows each time the projection starts from its checkpoint")
    quarantined: int = Field(default=0, description="Aggregates with events that it passed and did not apply")
    event_id: str | None = None
    sha256: str | None = None


class SearchRequest(View):
    """A query to the indexer. `None` in a filter means no restriction, an empty list matches nothing. `access`: what
    the app that asks may read; None where no app asks. `past`: memory ids by version; search among these texts,
    whatever has become of the memories since. `min_sequence`: answer only once the index has passed it (bounded by
    `timeout_s`)."""

    uid: str
    query: str
    limit: int
    states: list[str] = ["active"]
    app_ids: list[str] | None = None
    categories: list[str] | None = None
    exclude_app_ids: list[str] = []
    access: Access | None = None
    past: dict[int, list[str]] | None = None
    min_sequence: int = 0
    timeout_s: float = 5.0


class SearchHit(View):
    memory_id: str
    version: int
    score: float


class SearchReply(View):
    """`error`/`code` instead of hits when the indexer could not answer."""

    hits: list[SearchHit] = []
    code: str | None = None
    error: str | None = None
