"""What is found by its meaning and its words, with the real embedder, in every index."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from contracts_index.adapters import Open, apply
from indexer.embedding.minilm import MiniLM
from indexer.embedding.remembering import text_hash
from indexer.index import (
    MemoryIndex,
    PutVersion,
    SearchFilter,
)
from support.keys import KEY

ANN = SearchFilter("ann")


@pytest.fixture
async def meaning(open_index: Open, tmp_path: Path, minilm: MiniLM) -> AsyncGenerator[MemoryIndex]:
    """An index for the real embedder's vectors."""
    opened = await open_index(tmp_path / "meaning", minilm.id, minilm.dimension)
    yield opened
    await opened.close()


def remembered(minilm: MiniLM, memory_id: str, sequence: int, text: str) -> PutVersion:
    chunks = minilm.chunks(text)
    hashes = tuple(text_hash(KEY, chunk) for chunk in chunks)
    vectors = minilm.embed(chunks)
    return PutVersion(memory_id, "ann", "claude", 1, "active", (), 1000, 1000, chunks, vectors, hashes, sequence)


async def ask(index: MemoryIndex, minilm: MiniLM, query: str, limit: int = 3) -> list[str]:
    return [hit.memory_id for hit in await index.search(minilm.embed([query])[0], query, ANN, limit)]


async def test_a_memory_is_found_by_a_paraphrase_and_by_a_rare_word(meaning: MemoryIndex, minilm: MiniLM) -> None:
    texts = {
        "coffee": "I prefer dark roast coffee in the morning.",
        "dog": "My dog Biscuit is afraid of thunder.",
        "flight": "The flight to Lisbon leaves at 9:15 with code TP1337.",
        "allergy": "I am allergic to peanuts.",
        "work": "The staging server is rebooted every Friday.",
    }
    await apply(meaning, *(remembered(minilm, name, i, text) for i, (name, text) in enumerate(texts.items(), 1)))
    assert (await ask(meaning, minilm, "Which hot drink do I like after waking up?"))[0] == "coffee"
    assert (await ask(meaning, minilm, "What frightens my puppy?"))[0] == "dog"
    assert (await ask(meaning, minilm, "TP1337"))[0] == "flight"
    assert (await ask(meaning, minilm, "rebooting servers"))[0] == "work"
    assert len(await ask(meaning, minilm, "the of and", limit=10)) == 5, "stop words alone still search by meaning"
    assert len(await ask(meaning, minilm, "", limit=10)) == 5


async def test_a_long_text_is_found_by_its_tail_and_does_not_crowd_out_others(
    meaning: MemoryIndex, minilm: MiniLM
) -> None:
    filler = "The quarterly budget meeting went through the planning of budgets again. "
    await apply(
        meaning,
        remembered(minilm, "long", 1, filler * 250 + "The wifi password of the cabin is periwinkle-42."),
        *(remembered(minilm, f"short{i}", 2 + i, f"Budget note number {i}.") for i in range(3)),
    )
    assert (await ask(meaning, minilm, "How do I get online in the cabin?"))[0] == "long"
    assert set(await ask(meaning, minilm, "quarterly budget meeting", limit=4)) == {
        "long",
        "short0",
        "short1",
        "short2",
    }
    assert await meaning.count(ANN) == 4


async def test_scores_are_between_0_and_1_and_higher_for_the_better_match(meaning: MemoryIndex, minilm: MiniLM) -> None:
    text = "I prefer dark roast coffee in the morning."
    await apply(meaning, remembered(minilm, "same", 1, text), remembered(minilm, "other", 2, "Trains are late."))
    same, other = await meaning.search(minilm.embed([text])[0], text, ANN, 10)
    assert (same.memory_id, same.version) == ("same", 1)
    assert 0 <= other.score < 0.2 < 0.5 < same.score <= 1
