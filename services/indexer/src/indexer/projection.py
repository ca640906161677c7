"""From events to changes of the index: pure, but for the vectors, which are filled in afterwards."""

from dataclasses import dataclass
from datetime import datetime

from contracts.categories import category_keys
from contracts.codec import Recorded
from contracts.events import (
    MemoryAdded,
    MemoryArchived,
    MemoryCategorized,
    MemoryDeleted,
    MemoryPaused,
    MemoryRestored,
    MemoryResumed,
    MemoryRevised,
    MemoryUnarchived,
)

from indexer.index import SetCategories, SetState, of_user


@dataclass(frozen=True, slots=True)
class AddedText:
    """A new memory's text, not embedded yet. Times are epoch milliseconds."""

    memory_id: str
    uid: str
    app_id: str
    state: str
    categories: tuple[str, ...]
    created_at: int
    updated_at: int
    text: str
    sequence: int


@dataclass(frozen=True, slots=True)
class RevisedText:
    """A memory's next text, not embedded yet."""

    memory_id: str
    uid: str
    version: int
    state: str | None
    categories: tuple[str, ...]
    updated_at: int
    text: str
    sequence: int


Draft = AddedText | RevisedText | SetState | SetCategories


def project(event: Recorded) -> Draft | None:
    """What an event means for the index; None for nothing. A deleted memory keeps its points until it is erased: only
    the log could give them back, since the index holds no text."""
    uid, sequence = event.meta.uid, event.position.sequence
    at = _milliseconds(event.meta.occurred_at)
    match event.payload:
        case MemoryAdded() as added:
            return AddedText(
                memory_id=of_user(uid, added.memory_id),
                uid=uid,
                app_id=event.meta.app,
                state=added.state,
                categories=category_keys(added.categories),
                created_at=at,
                updated_at=at if added.changed_at is None else _milliseconds(added.changed_at),
                text=added.text,
                sequence=sequence,
            )
        case MemoryRevised() as revised:
            return RevisedText(
                memory_id=of_user(uid, revised.memory_id),
                uid=uid,
                version=revised.version,
                state=revised.state,
                categories=category_keys(revised.categories),
                updated_at=at,
                text=revised.text,
                sequence=sequence,
            )
        case MemoryCategorized(memory_id=memory_id, categories=categories):
            return SetCategories(of_user(uid, memory_id), category_keys(categories), at, sequence)
        case MemoryPaused(memory_id=memory_id):
            return SetState(of_user(uid, memory_id), "paused", at, sequence)
        case MemoryArchived(memory_id=memory_id):
            return SetState(of_user(uid, memory_id), "archived", at, sequence)
        case MemoryDeleted(memory_id=memory_id):
            return SetState(of_user(uid, memory_id), "deleted", at, sequence)
        case (
            MemoryResumed(memory_id=memory_id)
            | MemoryUnarchived(memory_id=memory_id)
            | MemoryRestored(memory_id=memory_id)
        ):
            return SetState(of_user(uid, memory_id), "active", at, sequence)
        case _:
            return None


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
