"""The rules, as given/when/then."""

from typing import Any

import pytest
from contracts.commands import RegisterUser
from contracts.errors import AppIsPaused, Conflict, NotFound
from contracts.events import (
    AccessRuleRemoved,
    AppPaused,
    AppResumed,
    CategoryDefined,
    CategoryRemoved,
    DefaultAccessChanged,
    MemoryAdded,
    MemoryRevised,
    UserRegistered,
)
from hypothesis import given as for_all
from hypothesis import strategies as st
from memory_writer.domain import access
from memory_writer.domain.access import ACCESS
from memory_writer.domain.app import APP, Pause, Register, Resume, require_running
from memory_writer.domain.category import CATEGORY, Define, Remove
from memory_writer.domain.memory import (
    MEMORY,
    Become,
    MemoryEvent,
    same_text,
)
from memory_writer.domain.user import USER
from runtime.decider import given
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
