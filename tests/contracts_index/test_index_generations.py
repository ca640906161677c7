"""Generations of the index beside each other: made, fed, compared, switched to, dropped; on either shelf."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest
from contracts.codec import Recorded
from contracts.errors import ConfigurationError, Conflict, InvalidInput, Unavailable
from contracts.events import MemoryAdded, MemoryCategorized, MemoryDeleted, MemoryPaused, MemoryRevised
from contracts_index import shelves
from contracts_index.local_server import LocalServer, LocalWords
from contracts_index.shelves import SHELVES, Place, feed, rebuild, searched, states
from indexer import keeper as keeper_module
from indexer.keeper import IndexKeeper
from indexer.qdrant_server import ServerIndex
from indexer.server_shelf import ServerShelf
from indexer.shelf import Shelf
from support.recorded_events import OTHER_UID, recorded

LOG = [
    recorded(1, MemoryAdded(memory_id="a", text="Ada drinks tea in the morning", categories=("food",))),
    recorded(2, MemoryAdded(memory_id="b", text="Bob lives in Zürich")),
    recorded(3, MemoryAdded(memory_id="x", text="Somebody else's tea"), uid=OTHER_UID),
    recorded(4, MemoryRevised(memory_id="a", version=2, text="Ada drinks coffee", categories=("food",))),
    recorded(5, MemoryCategorized(memory_id="b", categories=("home",), by="classifier")),
    recorded(6, MemoryAdded(memory_id="c", text="Carla plays chess")),
    recorded(7, MemoryPaused(memory_id="c")),
    recorded(8, MemoryAdded(memory_id="d", text="Dora dances")),
    recorded(9, MemoryDeleted(memory_id="d")),
]


@pytest.fixture(params=sorted(SHELVES))
async def place(request: pytest.FixtureRequest, in_memory: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(ServerIndex, "settles_s", 0.3)  # nothing here writes for longer
    return await SHELVES[request.param](in_memory)


@pytest.fixture
async def keeper(place: Place) -> AsyncGenerator[IndexKeeper]:
    """The first generation has the log."""
    opened = await place.keeper()
    await feed(await opened.open(1), LOG)
    yield opened
    await opened.close()


def without(*sequences: int) -> list[Recorded]:
    return [replace(event, payload=None) if event.position.sequence in sequences else event for event in LOG]


async def test_the_first_generation_is_made_at_the_start_and_found_again(place: Place) -> None:
    for _ in range(2):
        keeper = await place.keeper()
        [generation] = await keeper.generations()
        assert (generation.number, generation.state, generation.embedder) == (1, "serving", "minilm/1")
        assert keeper.stale(generation) is None
        assert keeper.failure is None
        await keeper.close()


@pytest.mark.guarantee("G5")
@pytest.mark.parametrize("batch", [1, 4, 100])
async def test_a_generation_filled_anew_equals_the_serving_one(keeper: IndexKeeper, batch: int) -> None:
    number = await rebuild(keeper, LOG, batch=batch)
    assert await keeper.compare(number) is None
    assert await keeper.state_hash(number) == await keeper.state_hash(1)


@pytest.mark.guarantee("G5")
@pytest.mark.parametrize(("missed", "memory"), [((9,), "d"), ((6, 7), "c"), ((4,), "a"), ((5,), "b")])
async def test_a_difference_is_found_and_named(keeper: IndexKeeper, missed: tuple[int, ...], memory: str) -> None:
    number = await rebuild(keeper, without(*missed))
    found = await keeper.compare(number)
    assert found is not None and f"memory {memory}" in found
    assert await keeper.state_hash(number) != await keeper.state_hash(1)
    for word in ("Ada", "tea", "chess", "food", "home"):
        assert word not in found


@pytest.mark.guarantee("G5")
@pytest.mark.parametrize(("noise", "difference"), [(1e-3, None), (0.1, "has another vector")])
async def test_vectors_may_differ_in_their_last_bits_and_no_more(
    place: Place, keeper: IndexKeeper, noise: float, difference: str | None
) -> None:
    await keeper.close()
    place.embedders.known["minilm"].noise = noise
    again = await place.keeper()
    await again.open(1)
    number = await rebuild(again, LOG)
    found = await again.compare(number)
    assert (found is None) == (difference is None)
    assert difference is None or difference in (found or "")
    assert await again.state_hash(number) == await again.state_hash(1)
    await again.close()


@pytest.mark.guarantee("G13")
async def test_a_switch_shows_the_other_generation_with_its_own_embedder(place: Place, keeper: IndexKeeper) -> None:
    number = await rebuild(keeper, LOG, "openai:other")
    assert await searched(keeper, "coffee") == (1, ["a", "b"])
    asked = place.embedders.known
    for embedder in asked.values():
        embedder.asked.clear()
    await keeper.switch(number)
    assert await states(keeper) == {1: "retired", 2: "serving"}
    assert await searched(keeper, "Zürich and tea") == (2, ["b", "a"])
    assert (asked["minilm"].asked, asked["openai:other"].asked) == ([], ["Zürich and tea"])
    [_, serving] = await keeper.generations()
    assert (serving.embedder, serving.switched_at is not None) == ("openai:other/16", True)


@pytest.mark.guarantee("G13")
async def test_what_was_switched_to_serves_after_a_restart(place: Place, keeper: IndexKeeper) -> None:
    await keeper.switch(await rebuild(keeper, LOG, "openai:other"))
    await keeper.close()
    again = await place.keeper()
    serving = (await again.generations())[-1]
    assert again.stale(serving) is None, "the choice holds while the settings name no embedder"
    assert await searched(again, "coffee") == (2, ["a", "b"])
    await again.close()
    named = await place.keeper("minilm")
    assert "minilm is wanted" in (named.stale(serving) or "")
    assert await searched(named, "coffee") == (2, ["a", "b"]), "it serves until it is replaced"
    with pytest.raises(Conflict, match="MEMLOG_EMBEDDER"):
        await named.create("openai:other", False)
    assert (await named.create(None, False)).embedder == "minilm/1"
    await named.close()


async def test_a_way_back_is_a_switch_too(place: Place, keeper: IndexKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "_LEVEL_S", 0.1)
    await keeper.switch(await rebuild(keeper, LOG, "openai:other"))
    await keeper.release(1)
    await keeper.release(2)
    more = recorded(10, MemoryAdded(memory_id="e", text="Eve eats eggs"))
    await feed(await keeper.open(2), [more], epoch=2)
    await keeper.note(1, "following")
    store = await feed(await keeper.open(1), [], epoch=2)
    with pytest.raises(Conflict, match="behind"):
        await keeper.switch(1)
    await feed(store, [more], epoch=2)
    await keeper.switch(1)
    number, found = await searched(keeper, "eggs")
    assert (number, found[0], set(found)) == (1, "e", {"a", "b", "e"})
    assert await states(keeper) == {1: "serving", 2: "retired"}
    assert keeper.stale((await keeper.generations())[0]) is None


async def test_only_what_follows_with_all_that_the_serving_one_has_can_be_switched_to(
    keeper: IndexKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "_LEVEL_S", 0.1)
    number = await rebuild(keeper, LOG[:-1])
    with pytest.raises(Conflict, match="behind"):
        await keeper.switch(number)
    await feed(await keeper.open(number), LOG)
    await (await keeper.open(number)).claim(0, 2)
    with pytest.raises(Conflict, match="not fed"):
        await keeper.switch(number)
    await (await keeper.open(1)).claim(0, 2)
    await keeper.note(number, "paused")
    with pytest.raises(Conflict, match="does not follow"):
        await keeper.switch(number)
    with pytest.raises(Conflict, match="does not follow"):
        await keeper.switch(1)
    await keeper.note(number, "following")
    await keeper.switch(number)


@pytest.mark.guarantee("G13")
async def test_a_generation_whose_embedder_is_away_is_not_switched_to(place: Place, keeper: IndexKeeper) -> None:
    number = (await keeper.create("openai:other", False)).number
    place.embedders.broken["openai:other"] = Unavailable("it sleeps")
    await keeper.note(number, "following")
    with pytest.raises(Unavailable, match="it sleeps"):
        await feed(await keeper.open(number), LOG)
    with pytest.raises(Unavailable, match="it sleeps"):
        await keeper.switch(number)
    assert await searched(keeper, "coffee") == (1, ["a", "b"])


@pytest.mark.guarantee("G13")
@pytest.mark.parametrize(
    ("embedder", "error", "raised"),
    [
        ("nonsense", None, InvalidInput),
        ("openai:unknown", None, InvalidInput),
        ("openai:other", Unavailable("it sleeps"), Unavailable),
    ],
)
async def test_an_embedder_that_does_not_work_is_refused_before_anything_is_touched(
    place: Place, keeper: IndexKeeper, embedder: str, error: Unavailable | None, raised: type[Exception]
) -> None:
    if error is not None:
        place.embedders.broken[embedder] = error
    before = await keeper.generations()
    with pytest.raises(raised):
        await keeper.create(embedder, False)
    assert await keeper.generations() == before
    assert await searched(keeper, "coffee") == (1, ["a", "b"])


async def test_with_another_embedder_all_but_vectors_and_pieces_is_compared(keeper: IndexKeeper) -> None:
    equal = await rebuild(keeper, LOG, "openai:other")
    with pytest.raises(Conflict, match="all but vectors and texts is equal"):
        await keeper.compare(equal)
    other = await rebuild(keeper, without(5), "openai:other")
    assert "memory b" in (await keeper.compare(other) or "")


async def test_a_comparison_goes_on_while_writes_come_in(keeper: IndexKeeper) -> None:
    number = await rebuild(keeper, LOG)
    serving, other = await keeper.open(1), await keeper.open(number)
    written = 9

    async def write() -> None:
        nonlocal written
        while True:
            written += 1
            event = recorded(written, MemoryAdded(memory_id=f"m{written}", text=f"number {written} of many"))
            await serving.apply([event], 1)
            await asyncio.sleep(0.001)
            await other.apply([event], 1)

    writing = asyncio.create_task(write())
    try:
        while written < 50:
            assert await keeper.compare(number) is None
            await asyncio.sleep(0)
    finally:
        writing.cancel()


async def test_what_is_searched_is_not_dropped_from_under_the_search(keeper: IndexKeeper) -> None:
    number = await rebuild(keeper, LOG)
    async with keeper.searchable() as searching:
        await keeper.switch(number)
        await keeper.release(1)
        dropping = asyncio.create_task(keeper.drop(1))
        await asyncio.sleep(0.1)
        assert not dropping.done()
        assert await searching.index.checkpoint(0) is not None
    await dropping
    await keeper.drop(1)
    assert await states(keeper) == {2: "serving"}
    with pytest.raises(Conflict, match="serves"):
        await keeper.drop(2)
    with pytest.raises(Conflict, match="serves"):
        await keeper.note(2, "failed")
    await keeper.note(1, "failed")


@pytest.mark.guarantee("G13")
async def test_without_its_embedder_the_index_says_so_takes_what_needs_none_and_heals(
    place: Place, keeper: IndexKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keeper.close()
    place.embedders.broken["minilm"] = Unavailable("it sleeps")
    monkeypatch.setattr("indexer.embedding.late._AGAIN_S", 0.05)
    again = await place.keeper()
    assert "it sleeps" in (again.failure or "")
    with pytest.raises(Unavailable, match="it sleeps"):
        await searched(again, "coffee")
    store = await again.open(1)
    assert await store.checkpoint(0) is not None
    await feed(store, [recorded(10, MemoryPaused(memory_id="a"))])
    with pytest.raises(Unavailable, match="it sleeps"):
        await feed(store, [recorded(11, MemoryAdded(memory_id="e", text="Eve eats eggs"))])
    place.embedders.broken.clear()
    await asyncio.sleep(0.1)
    await again.watch()
    assert again.failure is None
    assert await searched(again, "coffee") == (1, ["b"])
    await again.close()


@pytest.mark.guarantee("G13")
async def test_an_embedder_that_became_another_one_is_not_used_with_what_it_made_before(
    place: Place, keeper: IndexKeeper
) -> None:
    await keeper.close()
    place.embedders.known["minilm"] = shelves.WordsEmbedder("minilm/2", 8)
    again = await place.keeper()
    with pytest.raises(Unavailable, match="minilm/2 now"):
        await searched(again, "coffee")
    assert "rebuild" in (again.stale((await again.generations())[0]) or "")
    await (await again.open(1)).claim(0, 1)
    await again.switch(await rebuild(again, LOG))
    assert await searched(again, "coffee") == (2, ["a", "b"])
    await again.close()


async def test_an_index_that_cannot_be_made_yet_is_made_later(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "_AGAIN_S", 0.05)
    place.embedders.broken["openai:other"] = Unavailable("it sleeps")
    keeper = await place.keeper("openai:other")
    assert "it sleeps" in (keeper.failure or "")
    for ask in (keeper.generations, lambda: searched(keeper, "coffee")):
        with pytest.raises(Unavailable, match="it sleeps"):
            await ask()
    place.embedders.broken.clear()
    await asyncio.sleep(0.1)
    await keeper.watch()
    assert (keeper.failure, await states(keeper)) == (None, {1: "serving"})
    await keeper.close()


async def test_an_embedder_that_cannot_work_is_refused_at_the_first_start(place: Place) -> None:
    with pytest.raises(ConfigurationError, match="no embedder openai:unknown"):
        await place.keeper("openai:unknown")


async def test_a_hash_of_the_state_does_not_depend_on_sequences_or_keys(place: Place, keeper: IndexKeeper) -> None:
    before = await keeper.state_hash(1)
    imported = [
        replace(event, position=replace(event.position, sequence=event.position.sequence + 5), sha256="0" * 64)
        for event in LOG
    ]
    place.keys.salt = "another log"
    number = await rebuild(keeper, imported)
    assert await keeper.state_hash(number) == before


@pytest.mark.guarantee("G6")
async def test_a_second_rebuild_embeds_nothing(place: Place) -> None:
    place.cached = True
    keeper = await place.keeper()
    await feed(await keeper.open(1), LOG)
    await keeper.close()
    asked = place.embedders.known["minilm"].asked
    assert len(asked) == len(set(asked)) > 0
    asked.clear()
    keeper = await place.keeper()
    await keeper.open(1)
    number = await rebuild(keeper, LOG)
    assert asked == []
    assert await keeper.compare(number) is None
    place.keys.destroyed.add(OTHER_UID)
    number = await rebuild(keeper, LOG)
    assert asked == ["Somebody else's tea"]
    await keeper.close()


@pytest.mark.guarantee("G4")
async def test_a_switch_of_one_instance_is_followed_by_the_next_search_of_another(
    in_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a server, where several instances answer searches: what is written after a switch is in the new one only."""
    client = LocalServer()
    monkeypatch.setattr(client, "close", _stays_open)

    async def make() -> Shelf:
        return ServerShelf(client, "memlog", LocalWords())

    place = Place(in_memory, make)
    one, other = await place.keeper(), await place.keeper()
    await feed(await one.open(1), LOG)
    assert await searched(other, "coffee") == (1, ["a", "b"])
    number = await rebuild(one, LOG, "openai:other")
    assert await searched(other, "coffee") == (1, ["a", "b"])
    await one.switch(number)
    await feed(await one.open(number), [recorded(10, MemoryAdded(memory_id="e", text="Eve eats eggs"))])
    found, memories = await searched(other, "eggs")
    assert (found, memories[0]) == (number, "e")
    assert other.shown is not None and other.shown.record.embedder == "openai:other/16"
    for keeper in (one, other):
        await keeper.close()


async def _stays_open() -> None:
    """The client is shared."""
