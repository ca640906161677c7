"""What every stored message is made of: base class, content fields, and the registry of types.

These models are a storage format. Changing a field means a new `schema_version`, one upcast step in
`upcasts.py`, and a golden file of the old form; see docs/events.md.
"""

from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """Base of events and commands. `sealed` names the fields that hold content (texts, names, queries):
    the codec encrypts them with the user's data key, from the first message on (architecture §8)."""

    type: ClassVar[str]
    schema_version: ClassVar[int] = 1
    sealed: ClassVar[frozenset[str]] = frozenset()


class Event(Message):
    """Something that happened. Decoding ignores unknown fields: an older reader meets a newer writer."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Command(Message):
    """Something asked for. Unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


M = TypeVar("M", bound=Message)


def registry(*types: type[M]) -> dict[str, type[M]]:
    """Types by the literal that is stored. A literal used twice is a programming error."""
    found = {t.type: t for t in types}
    if len(found) != len(types):
        raise ValueError("two message types share one literal")
    return found
