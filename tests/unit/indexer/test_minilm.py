import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from contracts.errors import ConfigurationError
from hypothesis import given, settings
from hypothesis import strategies as st
from indexer.embedding.chunking import split_spans
from indexer.embedding.minilm import MiniLM
from indexer.embedding.minilm_files import MODEL_FILE, WEIGHTS_FILE, ModelFiles

GOLDEN = Path(__file__).parents[4] / "shared" / "data" / "minilm-golden.json"


def golden() -> tuple[list[str], np.ndarray]:
    items = json.loads(GOLDEN.read_text())["items"]
    vectors = np.array([item["vector"] for item in items], np.float64)
    return [item["text"] for item in items], vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_vectors_are_those_of_sentence_transformers(minilm: MiniLM) -> None:
    texts, expected = golden()
    vectors = minilm.embed(texts)
    assert vectors.shape == (20, minilm.dimension)
    assert vectors.dtype == np.float32
    assert (vectors * expected).sum(axis=1).min() >= 0.9999


def test_a_text_has_the_same_vector_alone_and_in_a_batch(minilm: MiniLM) -> None:
    texts, _ = golden()
    alone = np.concatenate([minilm.embed([text]) for text in texts])
    together = minilm.embed(texts * 3)[20:40]
    assert (alone * together).sum(axis=1).min() >= 0.99999
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_no_texts_give_no_rows_and_an_empty_text_a_vector(minilm: MiniLM) -> None:
    assert minilm.embed([]).shape == (0, 384)
    assert np.isfinite(minilm.embed([""])).all()


def test_the_id_names_the_weights(minilm: MiniLM) -> None:
    assert minilm.id == "minilm-l6-v2/53aa51172d14"


def test_weights_with_another_hash_are_refused(minilm_cache: Path, tmp_path: Path) -> None:
    published = ModelFiles.find()
    shutil.copy(published.tokenizer, tmp_path)
    weights = bytearray(published.weights.read_bytes())
    weights[-1] ^= 1
    (tmp_path / published.weights.name).write_bytes(weights)
    with pytest.raises(ConfigurationError, match="not the published one"):
        MiniLM.open(minilm_cache, model_folder=tmp_path)


def test_missing_weights_are_a_clear_error(minilm_cache: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="missing"):
        MiniLM.open(minilm_cache, model_folder=tmp_path)


@pytest.mark.parametrize("damaged", [MODEL_FILE, WEIGHTS_FILE, "manifest.json"])
def test_a_damaged_cache_is_built_again(minilm: MiniLM, minilm_cache: Path, tmp_path: Path, damaged: str) -> None:
    [entry] = minilm_cache.iterdir()
    copy = shutil.copytree(entry, tmp_path / entry.name)
    whole = (copy / damaged).read_bytes()
    (copy / damaged).write_bytes(whole[: len(whole) // 2])
    again = MiniLM.open(tmp_path)
    assert (copy / damaged).read_bytes() == whole
    assert np.array_equal(again.embed(["tea"]), minilm.embed(["tea"]))
    assert list(tmp_path.iterdir()) == [copy], "scratch folders are left behind"


def assert_covers(text: str, pieces: tuple[str, ...]) -> None:
    """Each piece stands in the text where the ones before it end, or earlier (they overlap), and nothing is
    left out."""
    covered, start = 0, 0
    for piece in pieces:
        start = text.index(piece, start)
        assert start <= covered
        covered = max(covered, start + len(piece))
        start += 1
    assert covered == len(text)


def test_a_short_text_is_one_piece(minilm: MiniLM) -> None:
    for text in ("", "  ", "Coffee, black.", "word " * 254):
        assert minilm.chunks(text) == (text,)


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"Sentence number {i} tells of topic {7 * i}. " for i in range(200)),
        "  " + "word " * 1000,
        "\n".join(f"line {i}" for i in range(900)),
        "".join(f"日本語の文{i}。" for i in range(300)),
        "x" * 5000 + " " + "y1 " * 500 + "é" * 3000,
        "".join(f"w{i}-" for i in range(2000)),
        "!" * 3000,
    ],
)
def test_the_pieces_of_a_long_text_cover_it_and_fit_the_window(minilm: MiniLM, text: str) -> None:
    pieces = minilm.chunks(text)
    assert len(pieces) > 1
    assert all(minilm.chunks(piece) == (piece,) for piece in pieces)
    if len(set(pieces)) == len(pieces):
        assert_covers(text, pieces)


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_a_text_has_no_more_tokens_than_bytes(minilm: MiniLM, text: str) -> None:
    """So that a short one need not be cut into tokens to know that it fits: also of scripts that are taken apart."""
    tokens = vars(minilm)["_tokenizer"].encode(text, add_special_tokens=False).ids
    assert len(tokens) <= len(text.encode())


def test_pieces_end_with_a_sentence_and_overlap(minilm: MiniLM) -> None:
    sentences = [f"Sentence number {i} tells of topic {7 * i}. " for i in range(200)]
    pieces = minilm.chunks("".join(sentences))
    for piece, following in itertools.pairwise(pieces):
        assert re.search(r"topic \d+\. $", piece)
        assert any(following.startswith(s) and s in piece for s in sentences)


def test_the_tail_of_a_long_text_has_a_piece_of_its_own_meaning(minilm: MiniLM) -> None:
    text = "The meeting went on about budgets and quarterly plans. " * 80 + "My cat is called Miso."
    query, tail, whole = minilm.embed(["What is the name of my cat?", minilm.chunks(text)[-1][-60:], text])
    assert query @ tail > query @ whole + 0.2


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "bb", ".", "\n", "ccc"]), min_size=1, max_size=80),
    st.integers(4, 12),
    st.integers(0, 3),
)
def test_spans_cover_the_text_whatever_the_words(parts: list[str], window: int, overlap: int) -> None:
    text = " ".join(parts) + " "
    tokens = [(match.start(), match.end()) for match in re.finditer(r"\S+", text)]
    spans = split_spans(text, tokens, list(range(len(tokens))), window, overlap)
    assert spans[0][0] == 0
    assert spans[-1][1] == len(text)
    for (start, end), (next_start, next_end) in itertools.pairwise(spans):
        assert start < next_start <= end < next_end
    for start, end in spans:
        assert sum(start <= token < end for token, _ in tokens) <= window
