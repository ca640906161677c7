"""The local classifier: what it chooses from, and how good it is on texts that it was not tuned on."""

from typing import Any

import numpy as np
import pytest
from categorizer.decision import MOST, NEAR, NEAR_OWN, Candidate, Vectors, choose, own_phrases, seed_phrases
from contracts.categories import SEED_CATEGORIES
from hypothesis import given
from hypothesis import strategies as st
from indexer.embedding.minilm import MiniLM
from support.categorized import labelled, own, own_quality, quality, seeds


def towards(angle: float) -> Vectors:
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def candidate(name: str, score: float, own: bool = False) -> Candidate:
    """Has this score for `TEXT`."""
    return Candidate.of(name, own, towards(float(np.arccos(score)))[None])


TEXT = towards(0.0)


def test_every_category_that_memlog_brings_along_has_examples() -> None:
    phrases = seed_phrases()
    assert list(phrases) == [name for name, _ in SEED_CATEGORIES]
    assert len(phrases) == 20
    assert all(len(said) == len(set(said)) >= 7 for said in phrases.values())


def test_nothing_is_chosen_when_nothing_is_near() -> None:
    assert choose(TEXT, [candidate("a", NEAR - 0.01), candidate("b", NEAR_OWN - 0.01, own=True)]) == ()
    assert choose(TEXT, []) == ()


def test_only_what_is_about_as_near_as_the_best_is_chosen_beside_it() -> None:
    assert choose(TEXT, [candidate("second", 0.49), candidate("far", 0.4), candidate("best", 0.5)]) == (
        "best",
        "second",
    )


def test_at_most_three_are_chosen_and_the_users_own_come_first() -> None:
    many = [candidate(f"seed {n}", 0.9) for n in range(4)]
    assert len(choose(TEXT, many)) == MOST
    assert choose(TEXT, [*many, candidate("mine", NEAR_OWN + 0.01, own=True)])[0] == "mine"


def test_an_own_category_takes_the_place_of_no_other_unless_it_must() -> None:
    assert choose(TEXT, [candidate("mine", 0.95, own=True), candidate("seed", 0.5)]) == ("mine", "seed")


@pytest.mark.parametrize("description", ["", "  ", ",,;"])
def test_a_category_without_a_description_is_known_by_its_name(description: str) -> None:
    assert own_phrases("chess", description)[0] == "chess"


def test_a_description_is_compared_as_a_whole_and_in_parts() -> None:
    assert own_phrases("garden", "Plants, vegetables and watering.") == (
        "garden",
        "garden: Plants, vegetables and watering.",
        "Plants",
        "vegetables",
        "watering",
    )


@given(st.text(min_size=1, max_size=80), st.text(max_size=2000))
def test_any_description_gives_a_bounded_number_of_phrases(name: str, description: str) -> None:
    phrases = own_phrases(name, description)
    assert 1 <= len(phrases) <= 12
    assert len(set(phrases)) == len(phrases)


def test_on_held_out_texts_it_is_as_good_as_it_says(minilm: MiniLM) -> None:
    found = quality(minilm, labelled(held_out=True), seeds(minilm))
    assert found.precision >= 0.85, found.wrong
    assert found.recall >= 0.80, found.wrong


def test_on_held_out_texts_it_finds_what_belongs_to_the_users_own_categories(minilm: MiniLM) -> None:
    found = own_quality(minilm, held_out=True)
    assert found.precision >= 0.60, found.wrong
    assert found.recall >= 0.65, found.wrong


def test_the_labels_are_of_categories_that_exist() -> None:
    known = {name for name, _ in SEED_CATEGORIES}
    texts = [*labelled(held_out=False), *labelled(held_out=True)]
    assert all(each.expect | each.may <= known for each in texts)
    assert len({each.text for each in texts}) == len(texts) >= 100
    examples = {phrase for said in seed_phrases().values() for phrase in said}
    assert not examples & {each.text for each in texts}, "an example must not be tested on itself"


def test_a_category_of_the_users_own_is_chosen_beside_those_brought_along(minilm: MiniLM) -> None:
    candidates: list[Any] = [own(minilm, "beekeeping", "My bees, hives, honey harvest and mites"), *seeds(minilm)]
    bees, taxes = minilm.embed(["The second hive has lost its queen bee", "I have to file my tax return by May"])
    assert choose(bees, candidates)[0] == "beekeeping"
    assert "beekeeping" not in choose(taxes, candidates)
