"""Settings and archive policies as given/when/then."""

import pytest
from contracts.commands import ArchiveMemories, ChangeSettings, SetArchivePolicy
from contracts.errors import Conflict, NotFound
from contracts.events import ArchivePolicyRemoved, ArchivePolicySet, SettingsChanged
from hypothesis import given as for_all
from hypothesis import strategies as st
from memory_writer.domain.archive_policy import ARCHIVE_POLICY, PolicyCommand, Remove, Set
from memory_writer.domain.settings import SETTINGS
from pydantic import JsonValue, ValidationError
from runtime.decider import given

BRIEF: dict[str, JsonValue] = {"openmemory": {"custom_instructions": "be brief"}}
LONG: dict[str, JsonValue] = {"openmemory": {"custom_instructions": "be long"}}
MONTH = ArchivePolicySet(policy_id="p", after_days=30, app_id="a")
YEAR = ArchivePolicySet(policy_id="p", after_days=365, category="travel")
GONE = ArchivePolicyRemoved(policy_id="p")


def test_changing_settings_emits_all_of_them() -> None:
    assert given(SETTINGS).when(ChangeSettings(settings={**BRIEF})) == [SettingsChanged(settings={**BRIEF})]
    changed = given(SETTINGS, SettingsChanged(settings={**BRIEF})).when(ChangeSettings(settings={}))
    assert changed == [SettingsChanged(settings={})]


@pytest.mark.parametrize("before", [None, {}, BRIEF, LONG])
def test_settings_that_are_so_already_emit_nothing_whatever_was_before(before: dict[str, object] | None) -> None:
    command = ChangeSettings.model_validate({"settings": BRIEF, "before": before})
    assert given(SETTINGS, SettingsChanged(settings={**BRIEF})).when(command) == []
    assert given(SETTINGS).when(ChangeSettings(settings={}, before={})) == []


def test_who_saw_other_settings_does_not_replace_what_somebody_else_set_meanwhile() -> None:
    history = SettingsChanged(settings={**BRIEF})
    with pytest.raises(Conflict):
        given(SETTINGS, history).when(ChangeSettings(settings={**LONG}, before={}))
    assert given(SETTINGS, history).when(ChangeSettings(settings={**LONG}, before={**BRIEF})) == [
        SettingsChanged(settings={**LONG})
    ]
    with pytest.raises(Conflict):
        given(SETTINGS).when(ChangeSettings(settings={**LONG}, before={**BRIEF}))


def test_a_policy_is_set_replaced_and_removed() -> None:
    assert given(ARCHIVE_POLICY).when(Set(MONTH)) == [MONTH]
    assert given(ARCHIVE_POLICY, MONTH).when(Set(YEAR)) == [YEAR]
    assert given(ARCHIVE_POLICY, MONTH, YEAR).when(Remove("p")) == [GONE]
    assert given(ARCHIVE_POLICY, MONTH, GONE).when(Set(MONTH)) == [MONTH]


@pytest.mark.parametrize("history", [[], [MONTH, GONE]])
def test_a_policy_that_is_not_there_cannot_be_removed(history: list[ArchivePolicySet | ArchivePolicyRemoved]) -> None:
    with pytest.raises(NotFound):
        given(ARCHIVE_POLICY, *history).when(Remove("p"))


@for_all(st.lists(st.sampled_from([Set(MONTH), Set(YEAR), Remove("p")]), max_size=6))
def test_the_same_policy_twice_emits_nothing_the_second_time(commands: list[PolicyCommand]) -> None:
    history: list[ArchivePolicySet | ArchivePolicyRemoved] = []
    for command in commands:
        try:
            history += given(ARCHIVE_POLICY, *history).when(command)
        except NotFound:
            continue
        if isinstance(command, Set):
            assert given(ARCHIVE_POLICY, *history).when(command) == []


def test_a_policy_is_about_one_thing() -> None:
    with pytest.raises(ValidationError):
        SetArchivePolicy(policy_id="p", after_days=1, app_id="a", category="travel")
    with pytest.raises(ValidationError):
        SetArchivePolicy(policy_id="p", after_days=-1)


def test_each_memory_that_is_put_away_unless_it_changed_comes_with_its_sequence() -> None:
    with pytest.raises(ValidationError):
        ArchiveMemories(memory_ids=("m", "n"), unchanged_since=(1,))
    assert ArchiveMemories(memory_ids=("m",), unchanged_since=(1,)).unchanged_since == (1,)
