"""What a language model is asked about a text, and what is made of its answers: nothing that was said gets lost."""

import json
from datetime import UTC, datetime

import pytest
from contracts.commands import FactDecision
from hypothesis import given as for_all
from hypothesis import strategies as st
from memory_writer.extraction.deciding import (
    MAX_FACTS,
    Decision,
    Facts,
    Known,
    decided,
    decisions_prompt,
    facts_prompt,
    question,
)
from pydantic import ValidationError

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
TEA, CAT = Known("m-tea", 3, "Likes tea"), Known("m-cat", 1, "Has a cat")


def decision(fact: int, event: str, memory: int | None = None, text: str | None = None) -> Decision:
    return Decision.model_validate({"fact": fact, "event": event, "memory": memory, "text": text})


def test_prompts_say_which_day_it_is_and_add_what_the_user_wants_observed() -> None:
    for prompt in (facts_prompt, decisions_prompt):
        plain, custom = prompt(AT, None), prompt(AT, "Never store {names} of children.")
        assert "Today is Monday, 2026-11-23." in plain
        assert custom.startswith(plain)
        assert "Never store {names} of children." in custom


def test_the_model_sees_numbers_and_no_ids() -> None:
    asked = question(["Likes coffee", "Trinkt süßen Tee"], [TEA, CAT])
    assert json.loads(asked) == {
        "memories": [{"memory": 0, "text": "Likes tea"}, {"memory": 1, "text": "Has a cat"}],
        "facts": [{"fact": 0, "text": "Likes coffee"}, {"fact": 1, "text": "Trinkt süßen Tee"}],
    }
    assert "süßen" in asked
    assert "m-tea" not in asked


def test_each_decision_carries_the_memory_as_the_model_saw_it() -> None:
    answers = [decision(0, "UPDATE", 0, "Likes coffee more than tea"), decision(1, "DELETE", 1), decision(2, "ADD")]
    assert decided(["Prefers coffee", "The cat died", "Lives in Bern"], [TEA, CAT], answers) == (
        FactDecision(
            event="UPDATE",
            text="Likes coffee more than tea",
            memory_id="m-tea",
            version=3,
            previous_text="Likes tea",
        ),
        FactDecision(event="DELETE", text="The cat died", memory_id="m-cat", version=1, previous_text="Has a cat"),
        FactDecision(event="ADD", text="Lives in Bern"),
    )


def test_an_update_without_a_text_takes_the_fact_and_none_names_the_memory_that_says_it() -> None:
    answers = [decision(0, "UPDATE", 1, ""), decision(1, "NONE", 0)]
    updated, known = decided(["Has two cats", "Tea is nice"], [TEA, CAT], answers)
    assert (updated.text, updated.memory_id) == ("Has two cats", "m-cat")
    assert known == FactDecision(event="NONE", text="Tea is nice", memory_id="m-tea")


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([], id="forgotten"),
        pytest.param([decision(0, "UPDATE", 7, "x")], id="a memory that is not there"),
        pytest.param([decision(0, "UPDATE", -1, "x")], id="a negative number"),
        pytest.param([decision(0, "DELETE", None)], id="no memory"),
        pytest.param([decision(0, "NONE", None)], id="known by no memory"),
        pytest.param([decision(5, "NONE", 0)], id="about another fact"),
        pytest.param([decision(0, "ADD", 0, "something else")], id="add with another text"),
        pytest.param([decision(0, "ADD"), decision(0, "NONE", 0)], id="twice: the first counts"),
    ],
)
def test_a_fact_that_is_forgotten_or_decided_in_a_way_that_cannot_be_is_added(answers: list[Decision]) -> None:
    assert decided(["Likes coffee"], [TEA], answers) == (FactDecision(event="ADD", text="Likes coffee"),)


def test_a_memory_is_changed_once_and_a_second_fact_for_it_is_added() -> None:
    answers = [decision(0, "UPDATE", 0, "A"), decision(1, "UPDATE", 0, "B"), decision(2, "DELETE", 0)]
    assert [(d.event, d.text) for d in decided(["a", "b", "c"], [TEA], answers)] == [
        ("UPDATE", "A"),
        ("ADD", "b"),
        ("ADD", "c"),
    ]


_ANSWERS = st.lists(
    st.builds(
        Decision,
        fact=st.integers(-1, 5),
        event=st.sampled_from(["ADD", "UPDATE", "DELETE", "NONE"]),
        memory=st.none() | st.integers(-1, 3),
        text=st.none() | st.text(max_size=5),
    ),
    max_size=8,
)


@for_all(facts=st.lists(st.text(min_size=1, max_size=5), max_size=5), answers=_ANSWERS)
def test_whatever_the_model_answers_each_fact_has_one_decision_and_no_memory_is_changed_twice(
    facts: list[str], answers: list[Decision]
) -> None:
    found = decided(facts, [TEA, CAT], answers)
    assert len(found) == len(facts)
    assert all(each.text == fact for each, fact in zip(found, facts, strict=True) if each.event != "UPDATE")
    changed = [each.memory_id for each in found if each.event in ("UPDATE", "DELETE")]
    assert len(changed) == len(set(changed))
    assert all((each.memory_id is None) == (each.event == "ADD") for each in found)


def test_facts_come_once_each_and_in_a_form_that_every_store_takes() -> None:
    said = '{"facts": [" Likes tea ", "Likes  tea", "", "a\\u0000b", "half \\ud83d pair"]}'
    assert Facts.model_validate(json.loads(said)).facts == ["Likes tea", "ab", "half  pair"]


@pytest.mark.parametrize("facts", [["x" * 4001], [str(number) for number in range(MAX_FACTS + 1)]])
def test_an_answer_that_is_no_list_of_short_facts_is_wrong(facts: list[str]) -> None:
    with pytest.raises(ValidationError):
        Facts(facts=facts)
