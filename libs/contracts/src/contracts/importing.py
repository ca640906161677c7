"""The commands that bring a backup in: what it holds arrives in parts, and one command then carries it all out.

A part changes nothing by itself. So an import is one operation, and nothing of it is done before all of it is there.
"""

from datetime import datetime
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, JsonValue, model_validator

from contracts.messages import Command


class ImportedRule(Command):
    """An access rule, as `SetAccessRule` has it. Not a command by itself: part of `ImportPart`."""

    type = "ImportedRule"
    app_id: str
    effect: Literal["allow", "deny"]
    memory_id: str | None = None
    category: str | None = None


class ImportedCategory(Command):
    """A category of the user's own. Not a command by itself: part of `ImportPart`."""

    type = "ImportedCategory"
    name: str
    description: str


class ImportedMemory(Command):
    """A memory as it was where it comes from. `created_at`: when it was added there, None where nobody knows;
    `changed_at`: when its text or state changed last, if that was later. Not a command by itself: part of
    `ImportPart`."""

    type = "ImportedMemory"
    memory_id: str
    app_id: str
    text: Annotated[str, Field(min_length=1)]
    metadata: dict[str, JsonValue] = {}
    categories: tuple[str, ...] = ()
    state: Literal["active", "paused", "archived", "deleted"] = "active"
    created_at: datetime | None = None
    changed_at: datetime | None = None


class ImportedDefault(Command):
    """What an app may read when no rule speaks. Not a command by itself: made from `ImportPart`."""

    type = "ImportedDefault"
    policy: Literal["allow", "own"]


class ImportedPause(Command):
    """The app may neither write nor read. Not a command by itself: made from `ImportPart`."""

    type = "ImportedPause"
    app_id: str


Thing = ImportedDefault | ImportedPause | ImportedRule | ImportedCategory | ImportedMemory
"""What an import changes one by one."""


class ImportPart(Command):
    """A part of what `ImportMemories` will bring in: what apps may read by default, apps to pause (by id), rules,
    categories, memories."""

    type = "ImportPart"
    sealed: ClassVar = frozenset({"rules", "categories", "memories"})
    default_access: Literal["allow", "own"] | None = None
    paused_apps: tuple[str, ...] = ()
    rules: tuple[ImportedRule, ...] = ()
    categories: tuple[ImportedCategory, ...] = ()
    memories: tuple[ImportedMemory, ...] = ()

    @property
    def things(self) -> tuple[Thing, ...]:
        """All of it in the order in which it is carried out: what hides memories goes before them."""
        default = () if self.default_access is None else (ImportedDefault(policy=self.default_access),)
        paused = tuple(ImportedPause(app_id=app_id) for app_id in self.paused_apps)
        return (*default, *paused, *self.rules, *self.categories, *self.memories)


class ImportMemories(Command):
    """Bring in all that these parts hold (ids of their commands, in order, with how many things are in each).
    `overwrite`: what is there already becomes as imported; otherwise it stays as it is."""

    type = "ImportMemories"
    parts: Annotated[tuple[str, ...], Field(min_length=1, max_length=10_000)]
    sizes: tuple[int, ...]
    overwrite: bool

    @model_validator(mode="after")
    def _one_size_each(self) -> Self:
        if len(self.parts) != len(self.sizes):
            raise ValueError("each part has a size")
        return self
