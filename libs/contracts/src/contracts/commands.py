"""The commands: imperative, validated at the gateway, decided by the memory-writer."""

from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import AfterValidator, AwareDatetime, Field, JsonValue, model_validator

from contracts.importing import ImportMemories, ImportPart
from contracts.messages import Command, registry
from contracts.tokens import ScopeName

MAX_TEXT_BYTES = 256 * 1024
MAX_IDS_PER_REQUEST = 500
MAX_NAME = 256
MAX_IDS_PER_COMMAND = 50_000
"""A larger operation is several commands: messages stay below what NATS carries (8 MiB)."""
MAX_RESULTS = 500
"""An operation that did more than this names no memories, only how many."""

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class RegisterUser(Command):
    """At the first use of a user's name."""

    type = "RegisterUser"
    sealed: ClassVar = frozenset({"name"})
    name: Name


class RegisterApp(Command):
    """At the first use of an app by a user."""

    type = "RegisterApp"
    sealed: ClassVar = frozenset({"name"})
    name: Name


class AddMemory(Command):
    """Store the text as it is. Identical to an active memory: nothing is stored, and the outcome names that one.
    `infer`: store the facts that a language model finds in it instead."""

    type = "AddMemory"
    sealed: ClassVar = frozenset({"text", "metadata", "categories"})
    text: Annotated[str, Field(min_length=1)]
    metadata: dict[str, JsonValue] = {}
    categories: tuple[str, ...] = ()
    infer: bool = False


class ReprocessText(Command):
    """Find facts anew in a text that was kept."""

    type = "ReprocessText"
    source_id: str


class FactDecision(Command):
    """What to do about one fact: `text` is the fact, of an `UPDATE` the memory's new text. The others name a memory, as
    the model saw it (`version`, `previous_text`): one that changed meanwhile is not updated or deleted. Not a command
    by itself: part of `ProcessText`."""

    type = "FactDecision"
    event: Literal["ADD", "UPDATE", "DELETE", "NONE"]
    text: Annotated[str, Field(min_length=1)]
    memory_id: str | None = None
    version: int | None = None
    previous_text: str | None = None


class ProcessText(Command):
    """Do what was decided about the facts that `model` found in a text; or store the text itself (`verbatim`), and
    `reason` says why. Then the operation of the command that brought the text, `operation_id`, is done."""

    type = "ProcessText"
    sealed: ClassVar = frozenset({"decisions", "reason"})
    source_id: str
    operation_id: str
    outcome: Literal["extracted", "verbatim"]
    decisions: tuple[FactDecision, ...] = ()
    model: str | None = None
    reason: str | None = None


class ReviseMemory(Command):
    """Give the memory another text."""

    type = "ReviseMemory"
    sealed: ClassVar = frozenset({"text"})
    memory_id: str
    text: Annotated[str, Field(min_length=1)]
    only_active: bool = Field(default=True, description="An app's view: what is not active is not found")


class ForMemories(Command):
    """Base of commands for many memories. `all_or_nothing`: one that is not there refuses the whole command, which may
    then name `MAX_IDS_PER_REQUEST` at most: more are carried out in chunks, each by itself. `only_active`: an app's
    view, to which what is not active is not there."""

    memory_ids: Annotated[tuple[str, ...], AfterValidator(lambda ids: tuple(dict.fromkeys(ids)))]
    all_or_nothing: bool = False
    only_active: bool = False

    @model_validator(mode="after")
    def _at_once_or_in_chunks(self) -> Self:
        if self.all_or_nothing and len(self.memory_ids) > MAX_IDS_PER_REQUEST:
            raise ValueError(f"all or nothing is for at most {MAX_IDS_PER_REQUEST} memories")
        return self


class DeleteMemories(ForMemories):
    """Delete these memories."""

    type = "DeleteMemories"


class PauseMemories(ForMemories):
    """Hide these memories from apps."""

    type = "PauseMemories"


class ArchiveMemories(ForMemories):
    """Put these memories away. `unchanged_since`, where it is given, is of each memory the sequence of its last event
    as the sender knew it: one that has changed since is left alone."""

    type = "ArchiveMemories"
    unchanged_since: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        if self.unchanged_since and len(self.unchanged_since) != len(self.memory_ids):
            raise ValueError("unchanged_since has one sequence for each memory")
        return self


class ActivateMemories(ForMemories):
    """Make paused and archived memories active again."""

    type = "ActivateMemories"


class RestoreMemories(ForMemories):
    """Bring deleted memories back, as they were."""

    type = "RestoreMemories"


class CategorizeMemory(Command):
    """Give the memory these categories. From a model or classifier it counts for the `version` that it saw only, and
    never against a person's choice."""

    type = "CategorizeMemory"
    sealed: ClassVar = frozenset({"categories"})
    memory_id: str
    categories: tuple[str, ...]
    by: Literal["person", "model", "classifier"]
    version: int | None = None
    model: str | None = None


class DefineCategory(Command):
    """Add a category of the user's own, or describe one anew."""

    type = "DefineCategory"
    sealed: ClassVar = frozenset({"name", "description"})
    name: Name
    description: Annotated[str, Field(max_length=2000)] = ""


class RemoveCategory(Command):
    """Remove a category of the user's own."""

    type = "RemoveCategory"
    category_id: str


class SetAccessRule(Command):
    """Allow or deny the app to read one memory, one category, or (neither) everything. One rule for each of these:
    the newer one counts."""

    type = "SetAccessRule"
    sealed: ClassVar = frozenset({"category"})
    app_id: str
    effect: Literal["allow", "deny"]
    memory_id: str | None = None
    category: str | None = Field(default=None, min_length=1, max_length=MAX_NAME)

    @model_validator(mode="after")
    def _about_one_thing(self) -> Self:
        if self.memory_id is not None and self.category is not None:
            raise ValueError("a rule is about one memory or about one category")
        return self


class RemoveAccessRule(Command):
    """Remove a rule."""

    type = "RemoveAccessRule"
    rule_id: str


class ChangeDefaultAccess(Command):
    """What an app may read when no rule speaks."""

    type = "ChangeDefaultAccess"
    policy: Literal["allow", "own"]


class ChangeSettings(Command):
    """Replace all settings. `before`: refused when they are not these any more."""

    type = "ChangeSettings"
    sealed: ClassVar = frozenset({"settings", "before"})
    settings: dict[str, JsonValue]
    before: dict[str, JsonValue] | None = None


class SetArchivePolicy(Command):
    """Archive what nobody changed for `after_days`: memories of the app, of the category, or all."""

    type = "SetArchivePolicy"
    sealed: ClassVar = frozenset({"category"})
    policy_id: str
    after_days: Annotated[int, Field(ge=0, le=36_500)]
    app_id: str | None = None
    category: str | None = Field(default=None, min_length=1, max_length=MAX_NAME)

    @model_validator(mode="after")
    def _about_one_thing(self) -> Self:
        if self.app_id is not None and self.category is not None:
            raise ValueError("a policy is about one app or about one category")
        return self


class RemoveArchivePolicy(Command):
    """Remove an archive policy."""

    type = "RemoveArchivePolicy"
    policy_id: str


class PauseApp(Command):
    """The app may neither write nor read."""

    type = "PauseApp"
    app_id: str


class ResumeApp(Command):
    """The app may write and read again."""

    type = "ResumeApp"
    app_id: str


class IssueToken(Command):
    """Let whoever bears the token act as this app of the user, within the scopes. The log keeps its secret's hash
    alone; `hash` is `contracts.tokens.secret_hash`'s."""

    type = "IssueToken"
    sealed: ClassVar = frozenset({"user", "app", "label"})
    token_id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    user: Name
    app: Name
    scopes: Annotated[tuple[ScopeName, ...], Field(min_length=1)]
    label: Annotated[str, Field(max_length=MAX_NAME)] = ""
    expires_at: AwareDatetime | None = None


class RevokeToken(Command):
    """The token counts no more, for good."""

    type = "RevokeToken"
    token_id: str


AnyCommand = (
    RegisterUser
    | RegisterApp
    | AddMemory
    | ReprocessText
    | ProcessText
    | ReviseMemory
    | DeleteMemories
    | PauseMemories
    | ArchiveMemories
    | ActivateMemories
    | RestoreMemories
    | CategorizeMemory
    | DefineCategory
    | RemoveCategory
    | SetAccessRule
    | RemoveAccessRule
    | ChangeDefaultAccess
    | ChangeSettings
    | SetArchivePolicy
    | RemoveArchivePolicy
    | PauseApp
    | ResumeApp
    | IssueToken
    | RevokeToken
    | ImportPart
    | ImportMemories
)
COMMANDS: dict[str, type[Command]] = registry(*get_args(AnyCommand))
