"""From events to changes of the index: pure, but for the vectors, which are filled in afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from contracts.codec import Recorded
from contracts.events import MemoryAdded, MemoryDeleted, MemoryRevised

from indexer.index import Remove


@dataclass(frozen=True, slots=True)
class AddedText:
    """A new memory's text, not embedded yet. Times are epoch milliseconds."""

    memory_id: str
    uid: str
    app_id: str
    categories: tuple[str, ...]
    created_at: int
    text: str
    sequence: int


@dataclass(frozen=True, slots=True)
class RevisedText:
    """A memory's next text, not embedded yet."""

    memory_id: str
    version: int
    updated_at: int
    text: str
    sequence: int


Draft = AddedText | RevisedText | Remove


def project(event: Recorded) -> Draft | None:
    """What an event means for the index; None for nothing."""
    sequence = event.position.sequence
    at = _milliseconds(event.meta.occurred_at)
    match event.payload:
        case MemoryAdded() as added:
            return AddedText(
                added.memory_id, event.meta.uid, event.meta.app, added.categories, at, added.text, sequence
            )
        case MemoryRevised() as revised:
            return RevisedText(revised.memory_id, revised.version, at, revised.text, sequence)
        case MemoryDeleted() as deleted:
            return Remove(deleted.memory_id, sequence)
        case _:
            return None


def needing_vectors(drafts: Sequence[Draft]) -> set[int]:
    """Indexes of the drafts whose text has to be embedded: one that a later draft of the batch removes or replaces
    would be embedded for nothing."""
    last = {draft.memory_id: number for number, draft in enumerate(drafts)}
    return {
        number
        for number, draft in enumerate(drafts)
        if not isinstance(draft, Remove) and last[draft.memory_id] == number
    }


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
