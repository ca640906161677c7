"""Generations in folders: what a crash, an earlier version or another process leaves there."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from contracts.errors import ConfigurationError, Unavailable
from contracts_index.adapters import apply, put
from contracts_index.shelves import Place, feed, on_edge, rebuild, searched, states
from contracts_index.test_index_generations import LOG
from indexer.edge_shelf import EdgeShelf
from indexer.qdrant_edge import EdgeIndex
from support.recorded_events import UID


@pytest.fixture
async def place(in_memory: Path) -> Place:
    return await on_edge(in_memory)


@pytest.fixture
def folder(in_memory: Path) -> Path:
    return in_memory / "index"


def move_nothing(_: Path) -> None:
    """What there is before an earlier version's index is adopted."""


def move_shard(folder: Path) -> None:
    (folder / "g1").mkdir()
    (folder / "shard").rename(folder / "g1" / "shard")


def move_all(folder: Path) -> None:
    move_shard(folder)
    (folder / "index.json").rename(folder / "g1" / "index.json")


@pytest.mark.guarantee("G5")
@pytest.mark.parametrize("interrupted", [move_nothing, move_shard, move_all])
async def test_the_index_of_an_earlier_version_serves_until_it_is_rebuilt(
    place: Place, folder: Path, interrupted: Callable[[Path], None]
) -> None:
    earlier = EdgeIndex.open(folder, "minilm/1", 8)
    await apply(earlier, put("a", 1, "Ada drinks coffee", uid=UID))
    await earlier.close()
    interrupted(folder)
    for _ in range(2):
        keeper = await place.keeper()
        [adopted] = await keeper.generations()
        assert (adopted.state, adopted.version, adopted.embedder) == ("serving", 1, "minilm/1")
        assert "version 1" in (keeper.stale(adopted) or "")
        assert await searched(keeper, "coffee") == (1, ["a"])
        assert not (folder / "shard").exists()
        await keeper.close()


@pytest.mark.parametrize("left", ["", "{", '{"format": 99, "generations": []}', '{"format": 1, "generations": [{}]}'])
async def test_without_a_register_that_can_be_read_the_index_is_filled_anew(
    place: Place, folder: Path, left: str
) -> None:
    keeper = await place.keeper()
    await feed(await keeper.open(1), LOG)
    await keeper.switch(await rebuild(keeper, LOG))
    await keeper.close()
    (folder / "generations.json").write_text(left)
    again = await place.keeper()
    assert await states(again) == {1: "serving"}
    assert await (await again.open(1)).checkpoint(0) is None
    assert not (folder / "g2").exists()
    await again.close()


async def test_what_no_generation_owns_is_removed_at_the_start(place: Place, folder: Path) -> None:
    await (await place.keeper()).close()
    await EdgeIndex.open(folder / "g7", "minilm/1", 8).close()
    await (await place.keeper()).close()
    assert [(folder / name).exists() for name in ("g1", "g7")] == [True, False]


@pytest.mark.parametrize("step", ["indexer.edge_shelf.os.fsync", "indexer.edge_shelf.Path.replace"])
async def test_a_generation_that_could_not_be_registered_is_not_there(
    place: Place, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    keeper = await place.keeper()
    await feed(await keeper.open(1), LOG)
    number = await rebuild(keeper, LOG)
    before = json.loads((folder / "generations.json").read_text())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(step, full)
        with pytest.raises(Unavailable, match="No space left"):
            await keeper.switch(number)
        with pytest.raises(Unavailable, match="No space left"):
            await keeper.create(None, False)
    assert json.loads((folder / "generations.json").read_text()) == before
    assert await searched(keeper, "coffee") == (1, ["a", "b"])
    await keeper.switch(number)
    assert await searched(keeper, "coffee") == (2, ["a", "b"])
    await keeper.close()


async def test_one_process_has_the_folder_and_one_a_generation(place: Place, folder: Path) -> None:
    keeper = await place.keeper()
    with pytest.raises(ConfigurationError, match="open in another process"):
        EdgeShelf.open(folder)
    number = (await keeper.create(None, False)).number
    filling = EdgeIndex.open(folder / f"g{number}", "minilm/1", 8)
    with pytest.raises(Unavailable, match="open in another process"):
        await keeper.open(number)
    looking = EdgeShelf.look(folder)
    assert [record.number for record in await looking.records()] == [1, number]
    await filling.close()
    await keeper.open(number)
    await keeper.close()
