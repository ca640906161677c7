"""The rules, as given/when/then, and what holds for all of them whatever the history."""

from collections.abc import Sequence
from typing import Any

import pytest
from contracts.commands import AddMemory, CategorizeMemory, RegisterUser, ReviseMemory
from contracts.errors import AppIsPaused, Conflict, MemlogError, NotFound
from contracts.events import (
    AccessRuleRemoved,
    AccessRuleSet,
    AppPaused,
    AppRegistered,
    AppResumed,
    CategoryDefined,
    CategoryRemoved,
    DefaultAccessChanged,
    MemoryAdded,
    MemoryArchived,
    MemoryCategorized,
    MemoryDeleted,
    MemoryPaused,
    MemoryRestored,
    MemoryResumed,
    MemoryRevised,
    MemoryUnarchived,
    UserRegistered,
)
from contracts.messages import Event
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from memory_writer.domain import access
from memory_writer.domain.access import ACCESS
from memory_writer.domain.app import APP, Pause, Register, Resume, require_running
from memory_writer.domain.category import CATEGORY, Define, Remove
from memory_writer.domain.memory import (
    MEMORY,
    Absent,
    Add,
    Become,
    Categorize,
    Deleted,
    MemoryEvent,
    Revise,
    same_text,
)
from memory_writer.domain.user import USER
from runtime.decider import Decider, given

M, A, C = "m-1", "a-1", "c-1"
ADDED = MemoryAdded(memory_id=M, text="tea")
REVISED = MemoryRevised(memory_id=M, version=2, text="coffee")
DELETED = MemoryDeleted(memory_id=M)
PAUSED, RESUMED = MemoryPaused(memory_id=M), MemoryResumed(memory_id=M)
ARCHIVED, UNARCHIVED = MemoryArchived(memory_id=M), MemoryUnarchived(memory_id=M)
RESTORED = MemoryRestored(memory_id=M)


def add(text: str = "tea", **fields: Any) -> Add:
    return Add(M, AddMemory(text=text, **fields))


def revise(text: str, only_active: bool = False) -> Revise:
    return Revise(ReviseMemory(memory_id=M, text=text, only_active=only_active))


def categorize(*categories: str, by: str = "person", version: int | None = None) -> Categorize:
    return Categorize(CategorizeMemory(memory_id=M, categories=categories, by=by, version=version))  # pyright: ignore[reportArgumentType]


# -- memory ------------------------------------------------------------------------------------------------------


def test_adding_a_memory_emits_memory_added_with_all_that_was_given() -> None:
    command = add("tea", metadata={"n": [1, None]}, categories=("drinks",))
    assert given(MEMORY).when(command) == [
        MemoryAdded(memory_id=M, text="tea", metadata={"n": [1, None]}, categories=("drinks",))
    ]


@pytest.mark.parametrize("text", ["tea", " tea\n", "tea  "])
def test_adding_what_is_remembered_already_emits_nothing(text: str) -> None:
    assert given(MEMORY, ADDED).when(add(text)) == []


@pytest.mark.parametrize("history", [[ADDED, REVISED], [ADDED, DELETED], [ADDED, PAUSED], [ADDED, ARCHIVED]])
def test_an_add_never_overwrites_a_memory_that_is_something_else(history: list[MemoryEvent]) -> None:
    with pytest.raises(Conflict):
        given(MEMORY, *history).when(add())


def test_revising_a_memory_emits_the_next_version() -> None:
    assert given(MEMORY, ADDED).when(revise("coffee")) == [REVISED]
    assert given(MEMORY, ADDED, REVISED).when(revise("tea")) == [MemoryRevised(memory_id=M, version=3, text="tea")]


def test_revising_to_the_same_text_emits_nothing_and_white_space_counts() -> None:
    assert given(MEMORY, ADDED).when(revise("tea")) == []
    assert given(MEMORY, ADDED).when(revise("tea ")) == [MemoryRevised(memory_id=M, version=2, text="tea ")]


@pytest.mark.parametrize("history", [[], [ADDED, DELETED]])
def test_what_is_not_there_cannot_be_changed(history: list[MemoryEvent]) -> None:
    commands = [revise("x"), categorize("a"), Become(M, "paused"), Become(M, "archived"), Become(M, "active")]
    for command in commands:
        with pytest.raises(NotFound):
            given(MEMORY, *history).when(command)


@pytest.mark.guarantee("G8")
@pytest.mark.parametrize("hidden", [PAUSED, ARCHIVED])
def test_to_an_app_a_memory_that_is_not_active_is_not_there(hidden: MemoryEvent) -> None:
    commands = [
        revise("x", only_active=True),
        *(Become(M, s, only_active=True) for s in ("paused", "deleted", "active")),
    ]
    for command in commands:
        with pytest.raises(NotFound):
            given(MEMORY, ADDED, hidden).when(command)


@pytest.mark.parametrize("history", [[ADDED], [ADDED, PAUSED], [ADDED, ARCHIVED], [ADDED, REVISED]])
def test_forgetting_a_memory_in_any_state_emits_memory_deleted(history: list[MemoryEvent]) -> None:
    assert given(MEMORY, *history).when(Become(M, "deleted")) == [DELETED]


def test_forgetting_what_is_forgotten_emits_nothing_and_what_never_was_is_not_found() -> None:
    assert given(MEMORY, ADDED, DELETED).when(Become(M, "deleted")) == []
    with pytest.raises(NotFound):
        given(MEMORY).when(Become(M, "deleted"))


@pytest.mark.parametrize(
    ("history", "to", "expected"),
    [
        ([ADDED], "paused", [PAUSED]),
        ([ADDED], "archived", [ARCHIVED]),
        ([ADDED], "active", []),
        ([ADDED, PAUSED], "paused", []),
        ([ADDED, PAUSED], "active", [RESUMED]),
        ([ADDED, PAUSED], "archived", [ARCHIVED]),
        ([ADDED, ARCHIVED], "active", [UNARCHIVED]),
        ([ADDED, ARCHIVED], "paused", [PAUSED]),
        ([ADDED, ARCHIVED, PAUSED], "active", [RESUMED]),
        ([ADDED, DELETED], "restored", [RESTORED]),
        ([ADDED], "restored", []),
        ([ADDED, PAUSED], "restored", []),
        ([ADDED, DELETED, RESTORED], "active", []),
    ],
)
def test_a_memory_moves_between_states(history: list[MemoryEvent], to: Any, expected: list[MemoryEvent]) -> None:
    assert given(MEMORY, *history).when(Become(M, to)) == expected


def test_a_restored_memory_is_as_it_was() -> None:
    state = MEMORY.fold([ADDED, REVISED, categorized("a")])
    assert MEMORY.fold([ADDED, REVISED, categorized("a"), DELETED, RESTORED]) == state


def categorized(*categories: str, by: Any = "person") -> MemoryCategorized:
    return MemoryCategorized(memory_id=M, categories=categories, by=by)


def test_a_persons_choice_of_categories_wins_over_every_model() -> None:
    assert given(MEMORY, ADDED).when(categorize("a", by="model")) == [categorized("a", by="model")]
    assert given(MEMORY, ADDED, categorized("a", by="model")).when(categorize("b")) == [categorized("b")]
    for by in ("model", "classifier"):
        assert given(MEMORY, ADDED, categorized("b")).when(categorize("c", by=by)) == []


def test_categories_of_an_older_text_are_dropped() -> None:
    assert given(MEMORY, ADDED, REVISED).when(categorize("a", by="model", version=1)) == []
    assert given(MEMORY, ADDED, REVISED).when(categorize("a", by="model", version=2)) != []


def test_a_new_text_keeps_what_a_person_chose_and_nothing_else() -> None:
    [kept] = given(MEMORY, ADDED, categorized("a")).when(revise("x"))
    [dropped] = given(MEMORY, ADDED, categorized("a", by="model")).when(revise("x"))
    assert isinstance(kept, MemoryRevised)
    assert isinstance(dropped, MemoryRevised)
    assert (kept.categories, dropped.categories) == (("a",), ())


@for_all(st.text(), st.text())
def test_identical_means_the_same_after_normalization(one: str, other: str) -> None:
    assert same_text(one, one)
    assert same_text(one, other) == same_text(other, one)


# -- app, user, category -----------------------------------------------------------------------------------------

REGISTERED = AppRegistered(app_id=A, name="claude")


def test_an_app_is_registered_once() -> None:
    assert given(APP).when(Register(A, "claude")) == [REGISTERED]
    assert given(APP, REGISTERED).when(Register(A, "claude")) == []
    assert given(APP, REGISTERED, AppPaused(app_id=A)).when(Register(A, "claude")) == []


def test_an_app_is_paused_and_resumed() -> None:
    assert given(APP, REGISTERED).when(Pause(A)) == [AppPaused(app_id=A)]
    assert given(APP, REGISTERED, AppPaused(app_id=A)).when(Pause(A)) == []
    assert given(APP, REGISTERED, AppPaused(app_id=A)).when(Resume(A)) == [AppResumed(app_id=A)]
    assert given(APP, REGISTERED).when(Resume(A)) == []


@pytest.mark.guarantee("G8")
def test_only_a_running_app_may_write() -> None:
    require_running(APP.fold([REGISTERED]))
    require_running(APP.fold([REGISTERED, AppPaused(app_id=A), AppResumed(app_id=A)]))
    with pytest.raises(AppIsPaused):
        require_running(APP.fold([REGISTERED, AppPaused(app_id=A)]))
    for history in ([], [AppPaused(app_id=A)], [AppResumed(app_id=A)]):
        with pytest.raises(NotFound):
            require_running(APP.fold(history))


@pytest.mark.parametrize("command", [Pause(A), Resume(A)])
def test_an_unknown_app_is_not_found(command: Pause | Resume) -> None:
    with pytest.raises(NotFound):
        given(APP).when(command)


def test_a_user_is_registered_once() -> None:
    assert given(USER).when(RegisterUser(name="Ada")) == [UserRegistered(name="Ada")]
    assert given(USER, UserRegistered(name="Ada")).when(RegisterUser(name="Grace")) == []


def test_a_category_is_defined_described_anew_and_removed() -> None:
    defined = CategoryDefined(category_id=C, name="Tea", description="")
    assert given(CATEGORY).when(Define(C, "Tea", "")) == [defined]
    assert given(CATEGORY, defined).when(Define(C, "Tea", "")) == []
    assert given(CATEGORY, defined).when(Define(C, "Tea", "hot")) == [
        CategoryDefined(category_id=C, name="Tea", description="hot")
    ]
    assert given(CATEGORY, defined).when(Remove(C)) == [CategoryRemoved(category_id=C)]
    for history in ([], [defined, CategoryRemoved(category_id=C)]):
        with pytest.raises(NotFound):
            given(CATEGORY, *history).when(Remove(C))


# -- access ------------------------------------------------------------------------------------------------------

ALLOWED = AccessRuleSet(rule_id="r-1", app_id=A, effect="allow", category="tea")
DENIED = AccessRuleSet(rule_id="r-1", app_id=A, effect="deny", category="tea")
OWN_ONLY, ALL = DefaultAccessChanged(policy="own"), DefaultAccessChanged(policy="allow")
REMOVED = AccessRuleRemoved(rule_id="r-1")


def test_a_rule_is_set_replaced_by_another_effect_and_removed() -> None:
    assert given(ACCESS).when(access.Set(ALLOWED)) == [ALLOWED]
    assert given(ACCESS, ALLOWED).when(access.Set(ALLOWED)) == []
    assert given(ACCESS, ALLOWED).when(access.Set(DENIED)) == [DENIED]
    assert given(ACCESS, ALLOWED, DENIED).when(access.Remove("r-1")) == [REMOVED]
    assert given(ACCESS, ALLOWED, REMOVED).when(access.Set(ALLOWED)) == [ALLOWED]


def test_a_rule_that_is_not_there_cannot_be_removed() -> None:
    for history in ([], [ALLOWED, REMOVED]):
        with pytest.raises(NotFound):
            given(ACCESS, *history).when(access.Remove("r-1"))


def test_every_app_may_read_everything_until_the_default_is_changed() -> None:
    assert given(ACCESS).when(access.ChangeDefault("allow")) == []
    assert given(ACCESS).when(access.ChangeDefault("own")) == [OWN_ONLY]
    assert given(ACCESS, OWN_ONLY).when(access.ChangeDefault("own")) == []
    assert given(ACCESS, OWN_ONLY).when(access.ChangeDefault("allow")) == [ALL]


# -- whatever the history ----------------------------------------------------------------------------------------

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
