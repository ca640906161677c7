"""What each event means for the index, and what is embedded for it."""

import pytest
from contracts.events import (
    AppPaused,
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
from contracts.messages import Event
from indexer.index import SetCategories, SetState, bare
from indexer.projection import AddedText, RevisedText, project
from support.recorded_events import APP, OTHER_UID, UID, at, recorded

NAME = f"{UID}|m"
NOW = int(at(7).timestamp() * 1000)


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (MemoryPaused(memory_id="m"), "paused"),
        (MemoryResumed(memory_id="m"), "active"),
        (MemoryArchived(memory_id="m"), "archived"),
        (MemoryUnarchived(memory_id="m"), "active"),
        (MemoryDeleted(memory_id="m"), "deleted"),
        (MemoryRestored(memory_id="m"), "active"),
    ],
)
def test_a_change_of_state_keeps_the_points_so_that_the_memory_can_come_back(event: Event, state: str) -> None:
    assert project(recorded(7, event)) == SetState(NAME, state, NOW, 7)


def test_categories_come_from_a_choice_and_from_a_revision_and_case_does_not_tell_them_apart() -> None:
    chosen = MemoryCategorized(memory_id="m", categories=("Food", "FOOD"), by="classifier")
    assert project(recorded(7, chosen)) == SetCategories(NAME, ("food",), NOW, 7)
    revised = MemoryRevised(memory_id="m", version=2, text="x", categories=("home",))
    assert project(recorded(7, revised)) == RevisedText(NAME, UID, 2, None, ("home",), NOW, "x", 7)


def test_a_text_that_was_imported_has_the_state_and_the_times_that_it_brings() -> None:
    added = project(recorded(7, MemoryAdded(memory_id="m", text="x", state="archived", changed_at=at(9))))
    assert added == AddedText(NAME, UID, APP, "archived", (), NOW, int(at(9).timestamp() * 1000), "x", 7)
    revised = MemoryRevised(memory_id="m", version=2, text="x", state="deleted")
    assert project(recorded(7, revised)) == RevisedText(NAME, UID, 2, "deleted", (), NOW, "x", 7)


def test_an_event_of_another_aggregate_means_nothing() -> None:
    assert project(recorded(7, AppPaused(app_id="a"))) is None


def test_memories_of_two_users_with_one_id_are_two() -> None:
    added = MemoryAdded(memory_id="m", text="x")
    mine, theirs = project(recorded(7, added)), project(recorded(8, added, uid=OTHER_UID))
    assert isinstance(mine, AddedText) and isinstance(theirs, AddedText)
    assert mine.memory_id != theirs.memory_id
    assert bare(mine.memory_id) == bare(theirs.memory_id) == "m"
