"""What holds for all rules whatever the history."""

from collections.abc import Sequence
from typing import Any

import pytest
from contracts.commands import RegisterUser
from contracts.errors import MemlogError
from contracts.events import (
    AppPaused,
    AppResumed,
    MemoryAdded,
    MemoryDeleted,
    MemoryRestored,
    MemoryRevised,
)
from contracts.messages import Event
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from memory_writer.domain import access
from memory_writer.domain.access import ACCESS
from memory_writer.domain.app import APP, Pause, Register, Resume
from memory_writer.domain.category import CATEGORY, Define, Remove
from memory_writer.domain.memory import (
    MEMORY,
    Absent,
    Add,
    Become,
    Categorize,
    Deleted,
)
from memory_writer.domain.user import USER
from runtime.decider import Decider
from support.decided import (
    ADDED,
    ALLOWED,
    ARCHIVED,
    DELETED,
    DENIED,
    PAUSED,
    REGISTERED,
    RESTORED,
    RESUMED,
    REVISED,
    UNARCHIVED,
    A,
    C,
    M,
    add,
    categorize,
    categorized,
    revise,
)

TEXTS = st.sampled_from(["tea", "coffee", "tea ", "9:15", "9:45"])
CATEGORIES = st.lists(st.sampled_from(["a", "b"]), max_size=2).map(tuple)


def _add(text: str, categories: tuple[str, ...]) -> Add:
    return add(text, categories=categories)


def _categorize(categories: tuple[str, ...], by: str, version: int | None) -> Categorize:
    return categorize(*categories, by=by, version=version)


MEMORY_COMMANDS = st.one_of(
    st.builds(_add, TEXTS, CATEGORIES),
    st.builds(revise, TEXTS, st.booleans()),
    st.builds(
        _categorize,
        CATEGORIES,
        st.sampled_from(["person", "model", "classifier"]),
        st.none() | st.integers(1, 4),
    ),
    st.builds(
        Become, st.just(M), st.sampled_from(["active", "paused", "archived", "deleted", "restored"]), st.booleans()
    ),
)
APP_COMMANDS = st.sampled_from([Register(A, "claude"), Pause(A), Resume(A)])
CATEGORY_COMMANDS = st.sampled_from([Define(C, "Tea", ""), Define(C, "Tea", "hot"), Remove(C)])
RULE_COMMANDS = st.sampled_from([access.Set(ALLOWED), access.Set(DENIED), access.Remove("r-1")])
DEFAULT_COMMANDS = st.sampled_from([access.ChangeDefault("own"), access.ChangeDefault("allow")])
USER_COMMANDS = st.sampled_from([RegisterUser(name="Ada"), RegisterUser(name="Grace")])
EVENTS_OF_A_MEMORY = st.sampled_from([
    ADDED, REVISED, DELETED, PAUSED, RESUMED, ARCHIVED, UNARCHIVED, RESTORED, categorized("a"), categorized(by="model")
])  # fmt: skip


def attempt(decider: Decider[Any, Any, Any], state: Any, command: Any) -> Sequence[Event] | None:
    """None when it is refused."""
    try:
        return decider.decide(state, command)
    except MemlogError as error:
        assert error.status < 500
        return None


@for_all(st.lists(EVENTS_OF_A_MEMORY, max_size=12))
def test_any_history_can_be_folded(history: list[Any]) -> None:
    state = MEMORY.fold(history)
    assert isinstance(state, Absent) == (ADDED not in history)


@for_all(st.lists(st.sampled_from([REGISTERED, AppPaused(app_id=A), AppResumed(app_id=A)]), max_size=8))
def test_any_history_of_an_app_can_be_folded(history: list[Any]) -> None:
    APP.fold(history)


@pytest.mark.guarantee("G2")
@pytest.mark.parametrize(
    ("decider", "commands"),
    [
        (MEMORY, MEMORY_COMMANDS),
        (APP, APP_COMMANDS),
        (CATEGORY, CATEGORY_COMMANDS),
        (USER, USER_COMMANDS),
        (ACCESS, RULE_COMMANDS),
        (ACCESS, DEFAULT_COMMANDS),
    ],
    ids=["memory", "app", "category", "user", "rule", "default"],
)
def test_the_same_command_twice_emits_nothing_the_second_time(
    decider: Decider[Any, Any, Any], commands: st.SearchStrategy[Any]
) -> None:
    @for_all(st.lists(commands, max_size=10), commands)
    @settings(max_examples=300)
    def holds(before: list[Any], command: Any) -> None:
        state = decider.initial
        for earlier in before:
            for event in attempt(decider, state, earlier) or ():
                state = decider.evolve(state, event)
        events = attempt(decider, state, command)
        if events is None:
            return
        for event in events:
            state = decider.evolve(state, event)
        assert not attempt(decider, state, command)  # nothing to do, or (removed, hidden) not there any more

    holds()


class Memories(RuleBasedStateMachine):
    """One memory under random commands, beside a model of it that knows only what was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[Any] = []
        self.versions: list[int] = []

    @rule(command=MEMORY_COMMANDS)
    def ask(self, command: Any) -> None:
        state = MEMORY.fold(self.history)
        events = attempt(MEMORY, state, command)
        assert events is None or len(events) <= 1
        assert attempt(MEMORY, state, command) == events, "a decision depends on the state and the command alone"
        self.history += events or ()

    @invariant()
    def versions_count_up(self) -> None:
        revisions = [event.version for event in self.history if isinstance(event, MemoryRevised)]
        assert revisions == list(range(2, 2 + len(revisions)))

    @invariant()
    def a_memory_is_added_once_and_first(self) -> None:
        assert [n for n, event in enumerate(self.history) if isinstance(event, MemoryAdded)] == [0][: len(self.history)]

    @invariant()
    def only_a_restore_follows_a_delete(self) -> None:
        for one, other in zip(self.history, self.history[1:], strict=False):
            assert not isinstance(one, MemoryDeleted) or isinstance(other, MemoryRestored)

    @invariant()
    def no_event_changes_nothing(self) -> None:
        state: Any = MEMORY.initial
        for event in self.history:
            after = MEMORY.evolve(state, event)
            assert after != state, event
            state = after

    @invariant()
    def the_fold_of_a_part_and_the_rest_is_the_fold(self) -> None:
        middle = len(self.history) // 2
        state = MEMORY.fold(self.history[:middle])
        for event in self.history[middle:]:
            state = MEMORY.evolve(state, event)
        assert state == MEMORY.fold(self.history)

    @invariant()
    def what_is_deleted_keeps_its_text(self) -> None:
        state = MEMORY.fold(self.history)
        if isinstance(state, Deleted):
            assert state.text in ("tea", "coffee", "tea ", "9:15", "9:45")


TestMemories = Memories.TestCase
TestMemories.settings = settings(max_examples=60, stateful_step_count=25)
