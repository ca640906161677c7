"""What the gateway can do, whatever the transport: MCP tools and REST routes call this and nothing else.

`use_cases/` implements it; the transports know only this protocol, so that an access rule or an audit step can
not differ between them.
"""

from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from typing import Any, BinaryIO, Literal, Protocol

from contracts.access import Effect, Policy
from contracts.activity import Activity, Step
from contracts.api import (
    AccessRule,
    AccessRulePage,
    AddedMemory,
    App,
    AppPage,
    Category,
    CategoryList,
    DefaultAccess,
    Deleted,
    EventPage,
    FoundMemory,
    History,
    Item,
    LogEvent,
    MemoryDetail,
    MemoryList,
    Operation,
    OperationResult,
    Page,
    Reprocessing,
    SearchResults,
    StateChanged,
    Stats,
)
from contracts.archiving import ArchiveAfter, ArchivePolicy, ArchivePolicyList, ArchivePreview
from contracts.auditing import AuditPage, ReadMemories
from contracts.changes import ChangePage, Timeline
from contracts.configuration import Configured
from contracts.connections import ConnectionList
from contracts.openmemory import AccessedMemories, AccessLog, AppDetail, AppMemories, Imported
from contracts.promises import Wait
from contracts.tokens import IssuedToken, TokenPage, TokenRequest
from pydantic import JsonValue

from gateway.asking import (
    OWNER_APP,
    AppQuery,
    AuditQuery,
    BackupQuery,
    Caller,
    ChangeQuery,
    EventFilter,
    Everything,
    InCategories,
    ListQuery,
    OfApp,
    OnProgress,
    Scope,
    Selection,
    These,
)
from gateway.backup.writing import ExportedBackup
from gateway.operating import OperatorService

__all__ = [
    "OWNER_APP",
    "AppQuery",
    "AuditQuery",
    "BackupQuery",
    "Caller",
    "ChangeQuery",
    "EventFilter",
    "Everything",
    "InCategories",
    "ListQuery",
    "MemoryService",
    "OfApp",
    "OnProgress",
    "Scope",
    "Selection",
    "These",
]


class MemoryService(OperatorService, Protocol):
    """All methods raise `contracts.errors.MemlogError` and nothing else on purpose. Users and apps come into
    being at their first use. Memory ids are canonical UUID strings (callers pass them through `parse_uuid`)."""

    # -- writes -------------------------------------------------------------------------------------------------
    async def add(
        self,
        caller: Caller,
        text: str,
        *,
        metadata: dict[str, JsonValue] | None = None,
        categories: tuple[str, ...] = (),
        infer: bool = False,
        idempotency_key: str | None = None,
        wait: Wait = "searchable",
        on_progress: OnProgress | None = None,
    ) -> OperationResult:
        """`infer`: store the facts that a language model finds in the text, where one is configured. It is `accepted`
        at once while the model is away."""
        ...

    async def added(
        self, caller: Caller, added: Item, text: str, metadata: dict[str, JsonValue], categories: tuple[str, ...]
    ) -> AddedMemory:
        """The memory that an add led to. A new one comes with the content that the caller sent: that is no read, so it
        is not audited as one. One that was there already is read."""
        ...

    async def revise(
        self,
        caller: Caller,
        memory_id: str,
        text: str,
        *,
        idempotency_key: str | None = None,
        wait: Wait = "searchable",
    ) -> OperationResult: ...

    async def delete(
        self,
        caller: Caller,
        memory_ids: tuple[str, ...],
        *,
        all_or_nothing: bool = False,
        idempotency_key: str | None = None,
        wait: Wait = "searchable",
    ) -> Deleted:
        """With `all_or_nothing`, unknown ids raise `NotFound` naming them and nothing is deleted; more than
        `MAX_IDS_PER_REQUEST` ids raise `InvalidInput`, here and wherever it is all or nothing."""
        ...

    async def delete_all(
        self, caller: Caller, *, wait: Wait = "searchable", on_progress: OnProgress | None = None
    ) -> Deleted:
        """Every active memory that the caller's app can see."""
        ...

    async def set_app_active(self, caller: Caller, app_id: str, active: bool) -> App:
        """Returns once the read models show it, so that a later read of any client obeys it."""
        ...

    async def set_state(
        self, caller: Caller, selection: Selection, state: Literal["active", "paused", "archived"]
    ) -> StateChanged:
        """Returns once every read obeys it, if that is soon. With ids, unknown or deleted ones raise `NotFound` naming
        them and nothing is changed. Otherwise archived memories stay archived, unless `state` is `archived`."""
        ...

    async def restore(self, caller: Caller, memory_ids: tuple[str, ...]) -> StateChanged:
        """Deleted memories are active again. Unknown ids raise `NotFound` naming them and nothing is restored."""
        ...

    async def categorize(self, caller: Caller, memory_id: str, categories: tuple[str, ...]) -> OperationResult:
        """A person's choice: no model changes it."""
        ...

    async def define_category(self, caller: Caller, name: str, description: str) -> Category:
        """A category of the user's own, or another description for one that Memlog brings along."""
        ...

    async def remove_category(self, caller: Caller, category_id: str) -> Category:
        """Memories that have it keep it. Raises `Conflict` for a category that is not the user's own."""
        ...

    # -- who may read what: the owner's ---------------------------------------------------------------------------
    async def access_rules(self, caller: Caller, app_id: str | None, *, page: int, size: int) -> AccessRulePage:
        """The rules in force, of one app or of all."""
        ...

    async def set_access_rule(
        self, caller: Caller, app_id: str, effect: Effect, *, memory_id: str | None, category: str | None
    ) -> AccessRule:
        """About one memory, one category, or, with neither, everything. Returns once every later read obeys it, as the
        other changes here do. Raises `NotFound` for an unknown app or memory, `Conflict` for the owner's own app."""
        ...

    async def remove_access_rule(self, caller: Caller, rule_id: str) -> None: ...

    async def default_access(self, caller: Caller) -> DefaultAccess: ...

    async def change_default_access(self, caller: Caller, policy: Policy) -> DefaultAccess: ...

    async def readable(self, caller: Caller, app_id: str, *, page: int, size: int) -> Page:
        """The memories that the app may read now, newest first."""
        ...

    # -- reads of an app: active memories that it may see; audited before they are returned -------------------------
    async def search(
        self,
        caller: Caller,
        query: str,
        *,
        limit: int = 10,
        categories: tuple[str, ...] | None = None,
        apps: tuple[str, ...] | None = None,
        min_score: float | None = None,
        as_of: str | None = None,
    ) -> SearchResults:
        """`apps` are names. A paused app finds nothing.

        `as_of`, here and below: a time (ISO 8601, epoch seconds) or a position; raises `InvalidInput` for anything
        else. Rules and paused apps are those of now, and what is paused or archived now stays hidden from apps."""
        ...

    async def list_for_app(
        self, caller: Caller, *, limit: int = 100, cursor: str | None = None, as_of: str | None = None
    ) -> MemoryList:
        """Newest first."""
        ...

    async def get_for_app(self, caller: Caller, memory_id: str) -> FoundMemory:
        """Raises `NotFound` for what the app may not see as for what does not exist."""
        ...

    async def history(self, caller: Caller, memory_id: str) -> History:
        """An app sees that of active memories; the owner (app `dashboard`) that of any."""
        ...

    # -- reads of the owner: any state; audited under the app `dashboard` --------------------------------------------
    async def page(self, caller: Caller, query: ListQuery) -> Page: ...

    async def get(self, caller: Caller, memory_id: str, *, as_of: str | None = None) -> MemoryDetail: ...

    async def differences(self, caller: Caller, query: ChangeQuery) -> ChangePage:
        """What differs between two moments; memories that were and are deleted do not. Raises `InvalidInput` for what
        is no moment, and when `since` is the later one."""
        ...

    async def timeline(self, caller: Caller, parts: int) -> Timeline:
        """How many changes of memories there were, in so many parts of the time since the first one."""
        ...

    async def reached(self, position: str, *, index: bool = False) -> None:
        """Returns once reads show what is in the log up to this position; with `index`, searches by meaning as well.
        Raises `InvalidInput` for what is no position in it, and `Unavailable` after 5 s."""
        ...

    async def categories(self, caller: Caller) -> CategoryList:
        """Those that Memlog brings along, the user's own, and what else memories have."""
        ...

    async def apps(self, caller: Caller, query: AppQuery) -> AppPage: ...

    async def app(self, caller: Caller, app_id: str) -> AppDetail: ...

    async def app_memories(self, caller: Caller, app_id: str, *, page: int, page_size: int) -> AppMemories:
        """Those that it wrote, newest first."""
        ...

    async def app_accessed(self, caller: Caller, app_id: str, *, page: int, page_size: int) -> AccessedMemories:
        """Those that were returned to it, read most often first; as many as its total says."""
        ...

    async def access_log(self, caller: Caller, memory_id: str, *, page: int, page_size: int) -> AccessLog:
        """Who read the memory, also a deleted one, newest first."""
        ...

    async def audit(self, caller: Caller, query: AuditQuery) -> AuditPage:
        """Who read or wrote what."""
        ...

    async def read_memories(self, caller: Caller, read_id: str) -> ReadMemories:
        """Which memories a read returned. Raises `NotFound`."""
        ...

    async def related(
        self, caller: Caller, memory_id: str, *, inactive: bool = False, page: int = 1, size: int = 5
    ) -> Page:
        """What shares most categories with it, then what is similar in meaning. `inactive`: paused and archived ones,
        too."""
        ...

    async def stats(self, caller: Caller) -> Stats: ...

    async def activity(self, caller: Caller, step: Step, steps: int) -> Activity:
        """What each app wrote and read in the last `steps` days, weeks or months, the present one among them."""
        ...

    async def connections(self, caller: Caller) -> ConnectionList:
        """Which clients of the user are connected now, to whichever gateway."""
        ...

    async def operation(self, caller: Caller, operation_id: str) -> Operation:
        """An app is told of its own, without the texts that memories have now. Raises `NotFound`."""
        ...

    async def events(self, caller: Caller, wanted: EventFilter, *, after: str | None, limit: int) -> EventPage:
        """The user's part of the log, from the position `after` on; oldest first."""
        ...

    async def newest_events(self, caller: Caller, wanted: EventFilter, *, before: str | None, limit: int) -> EventPage:
        """The last of the user's part of the log, or the last ones before a position; oldest first, too."""
        ...

    async def follow(
        self, caller: Caller, wanted: EventFilter, *, after: str | None, idle: float
    ) -> tuple[str, AsyncGenerator[LogEvent | None]]:
        """The position to begin at (that of now, without `after`; before `after`, if the log ends before it, as an
        older state of it does that was restored), and the events behind it as they come, for ever; None whenever none
        came for `idle` seconds. The caller closes the generator; it raises `Unavailable` when it cannot go on, and can
        then be followed again from the last event."""
        ...

    # -- texts that memories were made of -----------------------------------------------------------------------------
    async def reprocess(
        self, caller: Caller, *, since: datetime | None, source_id: str | None, run: str | None
    ) -> Reprocessing:
        """Find facts anew in texts that were received at `since` or later, or in one. Returns at once. With the `run`
        of an earlier call (a UUIDv7) it has no further effect. Raises `Conflict` without a language model, `NotFound`
        for a source that is not there."""
        ...

    async def reprocessing(
        self, caller: Caller, run: str, *, since: datetime | None, source_id: str | None
    ) -> Reprocessing:
        """How far that is, asked for with the same filters."""
        ...

    # -- settings -----------------------------------------------------------------------------------------------------
    async def configuration(self, caller: Caller) -> Configured:
        """What is in force for this user: what was written before is seen."""
        ...

    async def change_configuration(
        self, caller: Caller, change: Mapping[str, Any], *, merge: bool, confirmed: bool
    ) -> Configured:
        """`change` is in the configuration's shape and holds what is to change: sections as a whole, or (`merge`)
        single values; null takes away. Raises `InvalidInput` with the path, `SettingsOfServer`, `SetByEnvironment`, and
        for another embedder `RebuildNotConfirmed`, unless it is `confirmed`."""
        ...

    async def reset_configuration(self, caller: Caller, *, confirmed: bool) -> Configured:
        """As if nothing had ever been set."""
        ...

    async def archive_policies(self, caller: Caller) -> ArchivePolicyList: ...

    async def preview_archive_policy(self, caller: Caller, after: ArchiveAfter) -> ArchivePreview:
        """Raises `NotFound` for an app that the user does not have."""
        ...

    async def set_archive_policy(self, caller: Caller, after: ArchiveAfter, policy_id: str | None) -> ArchivePolicy:
        """A new policy, or another one in the place of `policy_id`. Raises `NotFound`."""
        ...

    async def remove_archive_policy(self, caller: Caller, policy_id: str) -> None:
        """What it put away stays so. Raises `NotFound`."""
        ...

    # -- tokens of a user ---------------------------------------------------------------------------------------------
    async def issue_token(self, caller: Caller, wanted: TokenRequest) -> IssuedToken:
        """A token that counts everywhere when this returns. Who may ask for what is the transport's to check."""
        ...

    async def tokens(self, caller: Caller, *, page: int, size: int) -> TokenPage:
        """All, also those that count no more, newest first."""
        ...

    async def revoke_token(self, caller: Caller, token_id: str) -> None:
        """When this returns, it counts nowhere. Raises `NotFound`."""
        ...

    # -- backups in OpenMemory's format -------------------------------------------------------------------------------
    async def export_backup(self, caller: Caller, query: BackupQuery) -> ExportedBackup: ...

    async def import_backup(self, caller: Caller, file: BinaryIO, mode: Literal["skip", "overwrite"]) -> Imported:
        """Raises `BrokenBackup`, `PayloadTooLarge` for what cannot be imported; then nothing is."""
        ...
