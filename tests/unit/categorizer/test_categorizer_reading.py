"""What the categorizer makes of events: which bring a text for it, which job is done, which categories there are."""

from categorizer.categories import fold
from categorizer.reading import still_wanted, text_of
from contracts.events import (
    CategoryDefined,
    CategoryRemoved,
    MemoryAdded,
    MemoryCategorized,
    MemoryDeleted,
    MemoryPaused,
    MemoryRevised,
)
from contracts.messages import Event
from support.recorded_events import recorded

ADDED = MemoryAdded(memory_id="m", text="one")
REVISED = MemoryRevised(memory_id="m", version=2, text="two")
CATEGORIZED = MemoryCategorized(memory_id="m", categories=("health",), by="classifier")


def wanted(version: int, *events: Event) -> bool:
    return still_wanted([recorded(number + 1, event) for number, event in enumerate(events)], version)


def test_a_new_and_a_revised_text_without_categories_are_categorized() -> None:
    assert text_of(ADDED) == ("m", 1, "one")
    assert text_of(REVISED) == ("m", 2, "two")


def test_categories_that_a_caller_gave_or_a_person_chose_are_left_alone() -> None:
    assert text_of(MemoryAdded(memory_id="m", text="one", categories=("mine",))) is None
    assert text_of(MemoryRevised(memory_id="m", version=2, text="two", categories=("mine",))) is None


def test_other_events_bring_no_text() -> None:
    assert [text_of(event) for event in (CATEGORIZED, MemoryPaused(memory_id="m"), None)] == [None] * 3


def test_a_text_is_wanted_until_it_is_categorized() -> None:
    assert wanted(1, ADDED)
    assert wanted(1, ADDED, MemoryPaused(memory_id="m"))
    assert not wanted(1, ADDED, CATEGORIZED)
    assert wanted(2, ADDED, CATEGORIZED, REVISED)


def test_a_text_that_was_replaced_or_deleted_is_not_wanted() -> None:
    assert not wanted(1, ADDED, REVISED)
    assert not wanted(1, ADDED, MemoryDeleted(memory_id="m"))
    assert not wanted(1)


def test_the_users_categories_are_those_described_last_and_not_removed() -> None:
    history = [
        CategoryDefined(category_id="a", name="boats", description="old"),
        CategoryDefined(category_id="b", name="bees", description=""),
        CategoryDefined(category_id="a", name="boats", description="new"),
        CategoryRemoved(category_id="b"),
    ]
    found = fold(recorded(number + 1, event) for number, event in enumerate(history))
    assert [(category.name, category.description) for category in found] == [("boats", "new")]
