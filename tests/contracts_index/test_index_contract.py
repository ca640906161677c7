"""What every index must do (`indexer.index.MemoryIndex`), whichever store is behind it."""

import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from contracts.access import Access
from contracts.errors import ConfigurationError
from contracts_index.adapters import DIMENSION, EMBEDDER, Open, apply, at, found, put, revise, vector
from indexer.index import (
    Change,
    MemoryIndex,
    Remove,
    SearchFilter,
    SetCategories,
    SetState,
)

ANN = SearchFilter("ann")
EVERYTHING = Access("claude", "all", (), (), (), ())
OWN, NOTHING = replace(EVERYTHING, base="own"), replace(EVERYTHING, base="none")
ALL_STATES = SearchFilter("ann", states=("active", "paused", "archived", "deleted"))


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (ANN, "abc"),
        (SearchFilter("ann", states=("paused",)), "p"),
        (SearchFilter("ann", states=("active", "paused")), "abcp"),
        (SearchFilter("ann", app_ids=("claude",)), "ac"),
        (SearchFilter("ann", app_ids=("claude", "cursor")), "abc"),
        (SearchFilter("ann", app_ids=("unknown",)), ""),
        (SearchFilter("ann", categories=("food",)), "a"),
        (SearchFilter("ann", categories=("food", "work")), "ab"),
        (SearchFilter("ann", memory_ids=("a", "b", "x", "p")), "ab"),
        (SearchFilter("ann", exclude_app_ids=("claude",)), "b"),
        (SearchFilter("ann", exclude_memory_ids=("a", "c", "x")), "b"),
        (SearchFilter("ann", created_from=2000), "bc"),
        (SearchFilter("ann", created_to=2000), "ab"),
        (SearchFilter("ann", created_from=2000, created_to=2000), "b"),
        (SearchFilter("ann", app_ids=("claude",), categories=("home",), created_to=1000), "a"),
        (SearchFilter("ann", app_ids=("claude",), exclude_memory_ids=("a", "c")), ""),
        (SearchFilter("ann", states=()), ""),
        (SearchFilter("ann", app_ids=()), ""),
        (SearchFilter("ann", categories=()), ""),
        (SearchFilter("ann", memory_ids=()), ""),
        (SearchFilter("bob"), "x"),
        (SearchFilter("bob", memory_ids=("a", "b")), ""),
        (SearchFilter("nobody"), ""),
        (SearchFilter("an"), ""),
        (SearchFilter("ann", access=EVERYTHING), "abc"),
        (SearchFilter("ann", access=NOTHING), ""),
        (SearchFilter("ann", access=OWN), "ac"),
        (SearchFilter("ann", access=replace(OWN, app_id="unknown")), ""),
        (SearchFilter("ann", access=replace(EVERYTHING, denied_memories=("a", "x"))), "bc"),
        (SearchFilter("ann", access=replace(NOTHING, allowed_memories=("a", "p", "x"))), "a"),
        (SearchFilter("ann", access=replace(NOTHING, allowed_memories=("a",), denied_memories=("a",))), ""),
        (SearchFilter("ann", access=replace(EVERYTHING, denied_categories=("food", "work"))), "c"),
        (SearchFilter("ann", access=replace(NOTHING, allowed_categories=("home",))), "a"),
        (SearchFilter("ann", access=replace(NOTHING, allowed_categories=("home",), denied_categories=("food",))), ""),
        (SearchFilter("ann", access=replace(OWN, allowed_categories=("work",))), "abc"),
        (SearchFilter("ann", access=replace(OWN, denied_categories=("food",), allowed_memories=("b",))), "bc"),
        (SearchFilter("ann", access=replace(EVERYTHING, denied_categories=("food",), allowed_memories=("a",))), "abc"),
        (SearchFilter("ann", categories=("work",), access=OWN), ""),
        (SearchFilter("ann", states=("paused",), access=replace(NOTHING, allowed_memories=("p",))), "p"),
        (SearchFilter("bob", access=EVERYTHING), "x"),
    ],
)
async def test_only_what_the_filter_allows_is_found(index: MemoryIndex, where: SearchFilter, expected: str) -> None:
    await apply(
        index,
        put("a", 1, categories=("food", "home"), created_at=1000),
        put("b", 2, app_id="cursor", categories=("work",), created_at=2000),
        put("c", 3, created_at=3000),
        put("p", 4, state="paused"),
        put("x", 5, uid="bob", categories=("food",)),
    )
    assert set(await found(index, where)) == set(expected)
    assert set(await found(index, where, text="text of a b c p x")) == set(expected)


async def test_the_limit_bounds_the_memories_found(index: MemoryIndex) -> None:
    await apply(index, *(put(f"m{i}", i, "one", "two", "three") for i in range(1, 51)))
    for limit in (0, 1, 7, 50, 99):
        assert len(await index.search(vector(0), "one", ANN, limit)) == min(limit, 50)


async def test_scores_tell_nothing_of_another_users_words(index: MemoryIndex) -> None:
    await apply(index, put("a", 1, "marzipan is sweet"), put("b", 2, "trains are late"))
    before = await index.search(vector(0), "marzipan", ANN, 10)
    await apply(index, *(put(f"x{i}", 2 + i, "marzipan", uid="bob") for i in range(1, 30)))
    assert await index.search(vector(0), "marzipan", ANN, 10) == before


async def test_a_change_of_state_hides_and_shows_again(index: MemoryIndex) -> None:
    await apply(index, put("a", 1, "one", "two"), put("b", 2))
    await apply(index, SetState("a", "paused", 2000, 3))
    assert set(await found(index)) == {"b"}
    assert set(await found(index, SearchFilter("ann", states=("paused",)))) == {"a"}
    await apply(index, SetState("a", "active", 3000, 4))
    assert set(await found(index)) == {"a", "b"}


async def test_a_deleted_memory_is_hidden_and_restored_as_it_was(index: MemoryIndex) -> None:
    await apply(index, put("a", 1, "one", "two", categories=("food",)), put("b", 2))
    before = await index.search(vector(1), "one", ANN, 10)
    await apply(index, SetState("a", "deleted", 2000, 3))
    assert set(await found(index)) == {"b"}
    await apply(index, SetState("a", "active", 3000, 4))
    assert await index.search(vector(1), "one", ANN, 10) == before
    assert set(await found(index, SearchFilter("ann", categories=("food",)))) == {"a"}


async def test_a_stale_write_after_a_deletion_does_not_bring_the_memory_back(index: MemoryIndex) -> None:
    await apply(index, put("a", 1, "one", "two"), SetState("a", "deleted", 2000, 5))
    await apply(index, put("a", 1, "one", "two"), put("a", 3, version=2), SetState("a", "active", 2000, 4))
    await apply(index, put("a", 5), revise("a", 4, version=3))
    assert await found(index) == {}


async def test_a_change_of_categories_replaces_them(index: MemoryIndex) -> None:
    await apply(index, put("a", 1, "one", "two", categories=("food",)), put("b", 2, categories=("food",)))
    await apply(index, SetCategories("a", ("work", "home"), 2000, 3), SetCategories("b", (), 2000, 4))
    assert set(await found(index, SearchFilter("ann", categories=("food",)))) == set()
    assert set(await found(index, SearchFilter("ann", categories=("home",)))) == {"a"}
    assert set(await found(index)) == {"a", "b"}


async def test_a_revision_replaces_the_old_versions_points(index: MemoryIndex) -> None:
    await apply(index, put("a", 1, "alpha", "beta", "gamma"), put("b", 2, "delta"))
    await apply(index, put("a", 3, "epsilon", version=2))
    assert await found(index) == {"a": 2, "b": 1}
    [first, *_] = await index.search(vector(0), "epsilon", ANN, 10)
    assert (first.memory_id, first.version) == ("a", 2)
    gone = {hit.memory_id: hit.score for hit in await index.search(vector(0), "alpha beta gamma", ANN, 10)}
    unmatched = {hit.memory_id: hit.score for hit in await index.search(vector(0), "zeta", ANN, 10)}
    assert gone == unmatched


async def test_a_replaced_text_is_found_by_a_search_of_the_past_only(index: MemoryIndex) -> None:
    await apply(index, put("a", 1, "alpha", "beta", categories=("food",)), put("b", 2, "delta"), put("x", 3, uid="bob"))
    await apply(index, revise("a", 4, "gamma", version=2))
    await apply(index, revise("a", 5, "epsilon", version=3), revise("b", 6, "zeta", version=2))
    await apply(index, SetCategories("a", ("work",), 2000, 7), SetState("a", "deleted", 2000, 8))
    assert await found(index, ALL_STATES) == {"a": 3, "b": 2}
    assert await found(index, SearchFilter("ann", ALL_STATES.states, categories=("food",))) == {}
    for version, text in enumerate(("alpha beta", "gamma", "epsilon"), 1):
        where = SearchFilter("ann", past={version: ("a",), 1: ("b", "a") if version == 1 else ("b",)})
        assert await found(index, where) == {"a": version, "b": 1}
        best = (await index.search(vector(0), text, where, 10))[0]
        assert (best.memory_id, best.version) == ("a", version)
    assert await found(index, SearchFilter("ann", past={1: ("x",), 2: ("x",), 4: ("a",)})) == {}
    for nothing in ({}, {1: ()}):
        assert await found(index, SearchFilter("ann", past=nothing)) == {}
    assert await found(index, SearchFilter("ann", app_ids=("cursor",), past={1: ("a",)})) == {}


async def test_texts_replaced_within_one_batch_are_kept_as_well(index: MemoryIndex) -> None:
    history: list[Change] = [
        put("a", 1, "alpha", "beta"),
        revise("a", 2, "gamma", version=2, categories=("food",)),
        SetCategories("a", ("work",), 2000, 3),
        revise("a", 4, "epsilon", version=3),
    ]
    await apply(index, *history)
    for _ in range(2):
        assert await found(index, ALL_STATES) == {"a": 3}
        for version in (1, 2, 3):
            assert await found(index, SearchFilter("ann", past={version: ("a",)})) == {"a": version}
        await index.refold(0, history)


async def test_a_removed_memory_is_not_in_the_past_either(index: MemoryIndex) -> None:
    await apply(index, put("a", 1), revise("a", 2, version=2), put("b", 3))
    await apply(index, Remove("a", 4))
    assert await found(index, SearchFilter("ann", past={1: ("a", "b"), 2: ("a",)})) == {"b": 1}
    await apply(index, put("a", 5, version=1), revise("a", 6, version=2), Remove("a", 7))
    assert await found(index, SearchFilter("ann", past={1: ("a", "b"), 2: ("a",)})) == {"b": 1}


async def test_a_refold_leaves_no_version_that_its_changes_do_not_lead_to(index: MemoryIndex) -> None:
    await apply(index, put("a", 1), revise("a", 2, version=2), revise("a", 3, version=3))
    await index.refold(0, [put("a", 1), revise("a", 3, version=3)])
    assert await found(index, SearchFilter("ann", past={2: ("a",)})) == {}
    assert await found(index, SearchFilter("ann", past={1: ("a",)})) == {"a": 1}
    assert await found(index) == {"a": 3}


async def test_a_revision_keeps_app_state_and_time_of_creation_and_brings_its_categories(index: MemoryIndex) -> None:
    where = SearchFilter(
        "ann", ("paused",), app_ids=("cursor",), categories=("work",), created_from=1000, created_to=1000
    )
    await apply(index, put("a", 1, "one", "two", app_id="cursor"), put("b", 2))
    await apply(index, SetState("a", "paused", 2000, 3))
    await apply(index, SetCategories("a", ("food", "work"), 2000, 4))
    await apply(index, revise("a", 5, "three", version=2, categories=("work",)))
    assert await found(index, where) == {"a": 2}
    assert await found(index) == {"b": 1}
    await apply(index, revise("a", 6, version=3), SetState("a", "active", 3000, 7), revise("a", 5, version=9))
    assert await found(index) == {"a": 3, "b": 1}


async def test_a_revision_may_bring_a_state_along(index: MemoryIndex) -> None:
    await apply(index, put("a", 1), put("b", 2, state="paused"))
    await apply(index, revise("a", 3, version=2, state="archived"), revise("b", 4, version=2, state="active"))
    assert await found(index) == {"b": 2}
    assert await found(index, SearchFilter("ann", states=("archived",))) == {"a": 2}


async def test_a_revision_of_a_memory_unknown_or_removed_is_dropped(index: MemoryIndex) -> None:
    await apply(index, put("a", 1), Remove("a", 2))
    await apply(index, revise("a", 3, version=2), revise("b", 4, version=2))
    assert await found(index, ALL_STATES) == {}


async def test_changes_of_one_batch_are_applied_in_order(index: MemoryIndex) -> None:
    await apply(
        index,
        put("a", 1, "one", "two"),
        SetState("a", "paused", 2000, 2),
        SetCategories("a", ("work",), 2000, 3),
        put("a", 4, "three", version=2, state="paused", categories=("work",)),
        SetState("a", "active", 2000, 5),
        put("b", 6),
        Remove("b", 7),
        put("c", 8),
        Remove("c", 9),
        put("c", 10, version=2),
    )
    assert await found(index, SearchFilter("ann", categories=("work",))) == {"a": 2}
    assert await found(index, ALL_STATES) == {"a": 2, "c": 2}


async def test_a_stale_write_after_a_removal_does_not_bring_the_memory_back(index: MemoryIndex) -> None:
    await apply(index, put("a", 1, "one", "two"), put("b", 2))
    await apply(index, Remove("a", 5))
    await apply(index, put("a", 3, version=2))
    await apply(index, put("a", 5), SetState("a", "active", 2000, 6), SetCategories("a", ("work",), 2000, 7))
    assert set(await found(index, ALL_STATES)) == {"b"}


async def test_a_memory_removed_before_it_was_seen_stays_removed(index: MemoryIndex) -> None:
    await apply(index, Remove("a", 5))
    await apply(index, put("a", 4))
    assert await found(index) == {}


async def test_a_removed_memory_can_be_restored_by_a_later_version(index: MemoryIndex) -> None:
    await apply(index, put("a", 1))
    await apply(index, Remove("a", 2))
    await apply(index, put("a", 3, version=1))
    assert await found(index) == {"a": 1}


async def test_changes_of_a_memory_never_seen_are_dropped(index: MemoryIndex) -> None:
    await apply(index, SetState("a", "active", 2000, 1), SetCategories("a", ("work",), 2000, 2))
    assert await found(index, ALL_STATES) == {}


async def test_a_batch_applied_twice_changes_nothing(index: MemoryIndex) -> None:
    batch: list[Change] = [
        put("a", 1, "one", "two", categories=("food",)),
        put("b", 2),
        SetState("b", "paused", 2000, 3),
        put("c", 4),
        Remove("c", 5),
    ]
    await apply(index, *batch)
    before = (await found(index), await found(index, ALL_STATES), await index.search(vector(1), "one", ANN, 10))
    await apply(index, *batch)
    assert (await found(index), await found(index, ALL_STATES), await index.search(vector(1), "one", ANN, 10)) == before
    assert await index.checkpoint(0) == at(5)


async def test_a_batch_without_changes_moves_the_checkpoint_of_its_shard_only(index: MemoryIndex) -> None:
    assert await index.checkpoint(0) is None
    await index.apply([], at(7))
    await index.apply([], at(3, shard=2))
    assert (await index.checkpoint(0), await index.checkpoint(1), await index.checkpoint(2)) == (
        at(7),
        None,
        at(3, shard=2),
    )
    assert await found(index, ALL_STATES) == {}


async def test_a_store_error_leaves_the_checkpoint_where_it_was(index: MemoryIndex) -> None:
    await apply(index, put("a", 1))
    wrong = replace(put("b", 2), vectors=np.ones((1, DIMENSION + 1), np.float32))
    with pytest.raises(Exception, match="dimension"):
        await apply(index, wrong)
    assert await index.checkpoint(0) == at(1)
    await apply(index, put("b", 2))
    assert await found(index) == {"a": 1, "b": 1}


async def test_refolding_replaces_what_a_memory_led_to_and_leaves_the_rest_and_the_checkpoint(
    index: MemoryIndex,
) -> None:
    await apply(index, put("a", 1, "one", "two", "three"), put("b", 2), SetState("a", "paused", 2000, 6))
    history = [put("a", 1, "four", categories=("food",)), SetCategories("a", ("work",), 2000, 3)]
    for _ in range(2):  # a call that was interrupted is made again
        await index.refold(0, [*history, revise("a", 4, "five", version=2, categories=("home",))])
        assert await found(index, ALL_STATES) == {"a": 2, "b": 1}
        assert await found(index, SearchFilter("ann", categories=("home",))) == {"a": 2}
    assert await index.checkpoint(0) == at(6)
    await apply(index, SetState("a", "archived", 3000, 7))
    assert await found(index) == {"b": 1}
    assert await found(index, SearchFilter("ann", states=("archived",))) == {"a": 2}


async def test_refolding_to_nothing_removes_the_memory_and_leaves_a_tombstone(index: MemoryIndex) -> None:
    await apply(index, put("a", 1, "one"), put("b", 2), put("c", 3), SetState("a", "paused", 2000, 6))
    await index.refold(0, [Remove("a", 6)])
    await index.refold(0, [SetState("c", "paused", 2000, 6)])
    assert await found(index, ALL_STATES) == {"b": 1}
    await apply(index, put("a", 5), put("c", 5), SetState("a", "active", 3000, 7))
    assert await found(index, ALL_STATES) == {"b": 1}


async def test_a_memory_never_seen_can_be_refolded(index: MemoryIndex) -> None:
    await index.refold(0, [put("a", 1, "one"), SetState("a", "paused", 2000, 2)])
    assert await found(index, SearchFilter("ann", states=("paused",))) == {"a": 1}
    assert await index.checkpoint(0) is None


async def test_everything_survives_closing_and_opening_again(open_index: Open, tmp_path: Path) -> None:
    first = await open_index(tmp_path, EMBEDDER, DIMENSION)
    await apply(first, put("a", 1, "one", "two"), put("b", 2), Remove("b", 3), SetState("a", "paused", 2000, 4))
    answer = await first.search(vector(1), "one", ALL_STATES, 10)
    await first.close()
    again = await open_index(tmp_path, EMBEDDER, DIMENSION)
    assert await again.checkpoint(0) == at(4)
    assert await again.search(vector(1), "one", ALL_STATES, 10) == answer
    await apply(again, put("b", 2))
    assert await found(again, ALL_STATES) == {"a": 1}
    await again.close()


def write_20_batches_and_be_killed(adapter: str, folder: Path) -> None:
    tests = Path(__file__).parents[1]
    command = [sys.executable, "-m", "contracts_index.adapters", adapter, str(folder)]
    with subprocess.Popen(
        command, cwd=tests, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ}
    ) as writer:
        assert writer.stdin and writer.stdout
        for sequence in range(1, 21):
            writer.stdin.write(b"\n")
            writer.stdin.flush()
            assert int(writer.stdout.readline()) == sequence
        writer.kill()


async def test_everything_applied_survives_kill_9_of_the_writer(open_index: Open, adapter: str, tmp_path: Path) -> None:
    await asyncio.to_thread(write_20_batches_and_be_killed, adapter, tmp_path)
    again = await open_index(tmp_path, EMBEDDER, DIMENSION)
    assert await again.checkpoint(0) == at(20)
    assert await found(again) == {f"m{i}": 1 for i in range(1, 21)}
    await again.close()


@pytest.mark.parametrize(("embedder", "dimension"), [("other/1", DIMENSION), (EMBEDDER, DIMENSION * 2)])
async def test_an_index_of_another_embedder_is_refused(
    open_index: Open, tmp_path: Path, embedder: str, dimension: int
) -> None:
    first = await open_index(tmp_path, EMBEDDER, DIMENSION)
    await apply(first, put("a", 1))
    await first.close()
    with pytest.raises(ConfigurationError, match="rebuild"):
        await open_index(tmp_path, embedder, dimension)
    again = await open_index(tmp_path, EMBEDDER, DIMENSION)
    assert await found(again) == {"a": 1}
    await again.close()
