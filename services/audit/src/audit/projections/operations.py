"""`operations`: how each command ended. The event that completes a command settles it, or `CommandSettled` does."""

from collections.abc import Iterator

from contracts.api import ChangeKind
from contracts.codec import Recorded
from contracts.commands import (
    AddMemory,
    CategorizeMemory,
    ChangeDefaultAccess,
    ChangeSettings,
    DefineCategory,
    DeleteMemories,
    IssueToken,
    PauseApp,
    ProcessText,
    RegisterApp,
    RegisterUser,
    RemoveAccessRule,
    RemoveArchivePolicy,
    RemoveCategory,
    ResumeApp,
    ReviseMemory,
    RevokeToken,
    SetAccessRule,
    SetArchivePolicy,
)
from contracts.events import (
    AccessRuleRemoved,
    AccessRuleSet,
    AppPaused,
    AppRegistered,
    AppResumed,
    ArchivePolicyRemoved,
    ArchivePolicySet,
    CategoryDefined,
    CategoryRemoved,
    CommandSettled,
    DefaultAccessChanged,
    MemoryAdded,
    MemoryCategorized,
    MemoryDeleted,
    MemoryRevised,
    SettingsChanged,
    TextProcessed,
    TokenIssued,
    TokenRevoked,
    UserRegistered,
)
from contracts.messages import Event
from pydantic import JsonValue

from audit.statement import Projection, Statement, Value

TABLE = "operations"

_DDL = (
    """
    CREATE TABLE {table} (
        uid text COLLATE "C" NOT NULL,
        command_id text COLLATE "C" NOT NULL,
        type text COLLATE "C" NOT NULL,
        status text COLLATE "C" NOT NULL,
        code text,
        reason text,
        results jsonb NOT NULL,
        counts jsonb NOT NULL,
        position text NOT NULL,
        app_id text COLLATE "C" NOT NULL,
        occurred_at timestamptz NOT NULL,
        settled_at timestamptz NOT NULL,
        correlation_id text NOT NULL,
        PRIMARY KEY (uid, command_id)
    )
    """,
)

_SETTLE = """
    INSERT INTO {table} (uid, command_id, type, status, code, reason, results, counts, position, app_id,
                         occurred_at, settled_at, correlation_id)
    SELECT r.uid, r.command_id, r.type, r.status, r.code, r.reason, r.results, r.counts, r.position, r.app_id,
           r.occurred_at, r.settled_at, r.correlation_id
    FROM json_to_recordset($1::text::json) AS r(
        uid text, command_id text, type text, status text, code text, reason text, results jsonb, counts jsonb,
        position text, app_id text, occurred_at timestamptz, settled_at timestamptz, correlation_id text)
    ON CONFLICT (uid, command_id) DO NOTHING
"""


_TYPES: dict[type[Event] | type[None], str] = {
    CategoryDefined: DefineCategory.type,
    CategoryRemoved: RemoveCategory.type,
    AccessRuleSet: SetAccessRule.type,
    AccessRuleRemoved: RemoveAccessRule.type,
    DefaultAccessChanged: ChangeDefaultAccess.type,
    SettingsChanged: ChangeSettings.type,
    ArchivePolicySet: SetArchivePolicy.type,
    ArchivePolicyRemoved: RemoveArchivePolicy.type,
    TokenIssued: IssueToken.type,
    TokenRevoked: RevokeToken.type,
    UserRegistered: RegisterUser.type,
    AppRegistered: RegisterApp.type,
    AppPaused: PauseApp.type,
    AppResumed: ResumeApp.type,
}
"""The command that each event completes which changes no memory."""


def apply(event: Recorded) -> Iterator[Statement]:
    match event.payload:
        case CommandSettled() as settled:
            results: list[JsonValue] = [{"id": item.id, "event": item.event} for item in settled.results]
            yield _settle(
                event, settled.command_type, settled.outcome, results, {**settled.counts}, settled.code, settled.reason
            )
        case TextProcessed():
            yield _settle(event, ProcessText.type, "done", [], {})
        case payload if payload is not None and event.meta.final:
            type_, item = _completed(event)
            results = [] if item is None else [{"id": item[0], "event": item[1]}]
            yield _settle(event, type_, "done", results, {} if item is None else {item[1]: 1})
        case _:
            pass


def _completed(event: Recorded) -> tuple[str, tuple[str, ChangeKind] | None]:
    """Type of the command that this event completes, and the memory that it changed, and how. An event that several
    commands can lead to closes with `CommandSettled`, which names its command; a type not listed here stands for
    itself."""
    match event.payload:
        case MemoryAdded(memory_id=memory_id):
            return AddMemory.type, (memory_id, "ADD")
        case MemoryRevised(memory_id=memory_id):
            return ReviseMemory.type, (memory_id, "UPDATE")
        case MemoryDeleted(memory_id=memory_id):
            return DeleteMemories.type, (memory_id, "DELETE")
        case MemoryCategorized(memory_id=memory_id):
            return CategorizeMemory.type, (memory_id, "STATE")
        case payload:
            return _TYPES.get(type(payload), event.type), None


def _settle(
    event: Recorded,
    type_: str,
    status: str,
    results: list[JsonValue],
    counts: dict[str, JsonValue],
    code: str | None = None,
    reason: str | None = None,
) -> Statement:
    meta = event.meta
    # `CommandSettled` stands on the operation that it ends, which may be another command's than the one that led to it.
    settles = isinstance(event.payload, CommandSettled) and event.subject
    command_id = event.subject.rsplit(".", 1)[-1] if settles else meta.causation_id
    row: dict[str, Value] = {
        "uid": meta.uid,
        "command_id": command_id,
        "type": type_,
        "status": status,
        "code": code,
        "reason": reason,
        "results": results,
        "counts": counts,
        "position": str(event.position),
        "app_id": meta.app,
        "occurred_at": meta.occurred_at,
        "settled_at": event.recorded_at,
        "correlation_id": meta.correlation_id,
    }
    return Statement(TABLE, (meta.uid, command_id), _SETTLE, row)


PROJECTION = Projection(TABLE, _DDL, apply, of_recording=("position", "settled_at"))
