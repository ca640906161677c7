"""The commands: imperative, validated at the gateway, decided by the memory-writer."""

from typing import Annotated, ClassVar

from pydantic import Field, JsonValue

from contracts.messages import Command, registry

MAX_TEXT_BYTES = 256 * 1024
MAX_IDS_PER_REQUEST = 500
MAX_NAME = 256
MAX_IDS_PER_COMMAND = 20_000
"""A larger operation is several commands: messages stay far below what NATS carries."""
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
    """Store the text as it is. Identical to an active memory: nothing is stored, and the outcome names that one."""

    type = "AddMemory"
    sealed: ClassVar = frozenset({"text", "metadata", "categories"})
    text: Annotated[str, Field(min_length=1)]
    metadata: dict[str, JsonValue] = {}
    categories: tuple[str, ...] = ()


class ReviseMemory(Command):
    """Give the memory another text."""

    type = "ReviseMemory"
    sealed: ClassVar = frozenset({"text"})
    memory_id: str
    text: Annotated[str, Field(min_length=1)]


class DeleteMemories(Command):
    """Delete these memories. `all_or_nothing`: one unknown id refuses the whole command."""

    type = "DeleteMemories"
    memory_ids: tuple[str, ...]
    all_or_nothing: bool = False


class PauseApp(Command):
    """The app may neither write nor read."""

    type = "PauseApp"
    app_id: str


class ResumeApp(Command):
    """The app may write and read again."""

    type = "ResumeApp"
    app_id: str


COMMANDS: dict[str, type[Command]] = registry(
    RegisterUser, RegisterApp, AddMemory, ReviseMemory, DeleteMemories, PauseApp, ResumeApp
)
AnyCommand = RegisterUser | RegisterApp | AddMemory | ReviseMemory | DeleteMemories | PauseApp | ResumeApp
