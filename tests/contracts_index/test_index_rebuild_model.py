"""Whatever happened, an index filled from the log in one go is the one that was fed bit by bit (G5)."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import pytest
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
)
from contracts.messages import Event
from contracts.subjects import memory
from contracts_index.shelves import feed, on_edge, rebuild
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from indexer.keeper import IndexKeeper
from support.recorded_events import recorded

_sequences = count(1)
_WORDS = st.lists(st.sampled_from(["tea", "coffee", "Zürich", "chess", "on", "Monday", "猫"]), max_size=9).map(" ".join)
_CATEGORIES = st.lists(st.sampled_from(["food", "home"]), unique=True).map(tuple)


def _event(kind: str, memory_id: str, version: int, text: str, categories: tuple[str, ...]) -> Event:
    match kind:
        case "add":
            return MemoryAdded(memory_id=memory_id, text=text, categories=categories)
        case "revise":
            return MemoryRevised(memory_id=memory_id, version=version, text=text, categories=categories)
        case "categorize":
            return MemoryCategorized(memory_id=memory_id, categories=categories, by="classifier")
        case "pause":
            return MemoryPaused(memory_id=memory_id)
        case "resume":
            return MemoryResumed(memory_id=memory_id)
        case "archive":
            return MemoryArchived(memory_id=memory_id)
        case "delete":
            return MemoryDeleted(memory_id=memory_id)
        case _:
            return MemoryRestored(memory_id=memory_id)


_KINDS = ("add", "add", "revise", "revise", "categorize", "pause", "resume", "archive", "delete", "restore")


@dataclass(frozen=True, slots=True, repr=False)
class Happened:
    """An event, whether or not a writer would append it; `given_up`: the projection put it aside."""

    event: Recorded
    memory_id: str
    given_up: bool

    def __repr__(self) -> str:
        return f"{self.event.type} {self.memory_id[-1]}{' given up' * self.given_up}"

    @property
    def applied(self) -> Recorded:
        return replace(self.event, payload=None) if self.given_up else self.event


@st.composite
def histories(draw: st.DrawFn) -> list[Happened]:
    """What happened to a user that no other example has."""
    uid = f"{next(_sequences):032}"
    happened: list[Happened] = []
    for version in range(draw(st.integers(1, 25))):
        memory_id = f"{uid}-{draw(st.integers(0, 3))}"
        event = _event(draw(st.sampled_from(_KINDS)), memory_id, version, draw(_WORDS), draw(_CATEGORIES))
        given_up = draw(st.integers(0, 9)) == 0
        happened.append(Happened(recorded(next(_sequences), event, uid=uid), memory_id, given_up))
    return happened


@dataclass(slots=True, repr=False)
class Live:
    """An index that is fed as things happen, and the log that it has seen."""

    keeper: IndexKeeper
    log: list[Recorded] = field(default_factory=list[Recorded])


@pytest.fixture
async def live(in_memory: Path) -> AsyncGenerator[Live]:
    place = await on_edge(in_memory)
    place.cached = True
    keeper = await place.keeper()
    yield Live(keeper)
    await keeper.close()


@pytest.mark.guarantee("G5")
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    # One log for all examples: nothing would be learnt from running one of them again.
    phases=[Phase.generate],
)
@given(history=histories(), batches=st.tuples(st.integers(1, 30), st.integers(1, 30)), folded_anew=st.booleans())
async def test_a_rebuild_leads_to_what_serves(
    live: Live, history: list[Happened], batches: tuple[int, int], folded_anew: bool
) -> None:
    keeper = live.keeper
    store = await feed(await keeper.open(1), [each.applied for each in history], batch=batches[0])
    if folded_anew:  # the cause of what was given up on is gone
        for memory_id in {each.memory_id for each in history if each.given_up}:
            of_memory = [each.event for each in history if each.memory_id == memory_id]
            await store.refold(memory(of_memory[0].meta.uid, memory_id), of_memory, 1)
    live.log += [each.event if folded_anew else each.applied for each in history]
    number = await rebuild(keeper, live.log, batch=batches[1])
    assert await keeper.compare(number) is None
    assert await keeper.state_hash(number) == await keeper.state_hash(1)
    await keeper.release(number)
    await keeper.drop(number)
