"""What the import of a memory leads to, given what is there."""

from datetime import UTC, datetime

import pytest
from contracts.events import MemoryAdded, MemoryCategorized, MemoryDeleted, MemoryPaused, MemoryRevised
from contracts.importing import ImportedMemory
from memory_writer.domain.memory import MEMORY, Active, Archived, Deleted, Import, MemoryEvent, Paused
from runtime.decider import given

M = "0b8f7e0a-5d4e-4e62-9a57-1c7f5f3f2a10"
LATER = datetime(2025, 5, 1, tzinfo=UTC)
TEA = ImportedMemory(
    memory_id=M, app_id="a", text="tea", metadata={"k": 1}, categories=("food",), state="paused", changed_at=LATER
)
ADDED = MemoryAdded(memory_id=M, text="tea", metadata={"k": 1}, categories=("food",), state="paused", changed_at=LATER)
OTHER = MemoryAdded(memory_id=M, text="coffee", metadata={"k": 2})


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_memory_whose_id_is_free_is_added_with_all_that_it_had(overwrite: bool) -> None:
    assert given(MEMORY).when(Import(TEA, overwrite)) == [ADDED]
    assert given(MEMORY, ADDED).when(Import(TEA, overwrite)) == []


@pytest.mark.parametrize("history", [[OTHER], [OTHER, MemoryDeleted(memory_id=M)], [OTHER, MemoryPaused(memory_id=M)]])
def test_what_is_there_is_skipped_or_becomes_as_imported_in_one_step(history: list[MemoryEvent]) -> None:
    assert given(MEMORY, *history).when(Import(TEA, False)) == []
    (revised,) = given(MEMORY, *history).when(Import(TEA, True))
    assert revised == MemoryRevised(
        memory_id=M, version=2, text="tea", metadata={"k": 1}, categories=("food",), state="paused"
    )
    assert given(MEMORY, *history, revised).when(Import(TEA, True)) == []


@pytest.mark.parametrize(
    "changed", [{"text": "Tea"}, {"metadata": {}}, {"categories": ()}, {"state": "active"}, {"state": "deleted"}]
)
def test_any_difference_is_overwritten(changed: dict[str, object]) -> None:
    assert len(given(MEMORY, ADDED).when(Import(TEA.model_copy(update=changed), True))) == 1


@pytest.mark.parametrize(
    ("state", "kind"), [("active", Active), ("paused", Paused), ("archived", Archived), ("deleted", Deleted)]
)
def test_an_imported_memory_is_in_the_state_that_it_had_from_its_first_event_on(state: str, kind: type) -> None:
    memory = TEA.model_copy(update={"state": state})
    added = MEMORY.decide(MEMORY.initial, Import(memory, False))[0]
    assert isinstance(MEMORY.evolve(MEMORY.initial, added), kind)
    revised = given(MEMORY, OTHER).when(Import(memory, True))[0]
    assert isinstance(MEMORY.evolve(MEMORY.evolve(MEMORY.initial, OTHER), revised), kind)


def test_no_model_replaces_categories_that_were_imported() -> None:
    by_model = MemoryCategorized(memory_id=M, categories=("drinks",), by="model")
    (revised,) = given(MEMORY, OTHER, by_model).when(Import(TEA, True))
    state = MEMORY.evolve(MEMORY.evolve(MEMORY.evolve(MEMORY.initial, OTHER), by_model), revised)
    assert isinstance(state, Paused)
    assert (state.categories, state.chosen, state.metadata) == (("food",), True, {"k": 1})


def test_categories_that_came_by_themselves_are_no_difference_to_none() -> None:
    plain = TEA.model_copy(update={"categories": (), "changed_at": None})
    (added,) = given(MEMORY).when(Import(plain, False))
    by_itself = MemoryCategorized(memory_id=M, categories=("drinks",), by="classifier")
    chosen = MemoryCategorized(memory_id=M, categories=("drinks",), by="person")
    assert given(MEMORY, added, by_itself).when(Import(plain, True)) == []
    assert len(given(MEMORY, added, chosen).when(Import(plain, True))) == 1
