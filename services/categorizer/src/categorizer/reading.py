"""What an event asks of the categorizer. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from contracts.codec import DataKey, Meta, Recorded
from contracts.events import MemoryAdded, MemoryCategorized, MemoryDeleted, MemoryRevised
from contracts.ids import command_id_for_key
from contracts.messages import Event

TEXTS = (MemoryAdded.type, MemoryRevised.type)
"""Types of the events that bring a text; of the others only the envelope is read."""


@dataclass(frozen=True, slots=True)
class Job:
    """A text to categorize: version `version` of a memory. `key` is its user's, `headers` carry the trace."""

    memory_id: str
    version: int
    text: str
    sequence: int
    meta: Meta
    key: DataKey
    headers: Mapping[str, str]

    @property
    def command_id(self) -> str:
        """Derived from the event's id: a job done twice sends one command."""
        return command_id_for_key(self.meta.uid, f"memlog:categorize:{self.meta.id}")


def text_of(event: Event | None) -> tuple[str, int, str] | None:
    """Memory id, version and text, where the event brings a text without categories. Those that it has were given with
    it, or are a person's choice."""
    match event:
        case MemoryAdded(memory_id=memory_id, text=text, categories=()):
            return memory_id, 1, text
        case MemoryRevised(memory_id=memory_id, version=version, text=text, categories=()):
            return memory_id, version, text
        case _:
            return None


def still_wanted(history: Iterable[Recorded], version: int) -> bool:
    """Whether this version of the memory is its current one and nobody has categorized it yet."""
    wanted = False
    for event in history:
        match event.payload:
            case MemoryAdded():
                wanted = version == 1
            case MemoryRevised(version=at):
                wanted = version == at
            case MemoryCategorized() | MemoryDeleted():
                wanted = False
            case _:
                pass
    return wanted
