"""Embeddings from an endpoint that speaks the OpenAI API, and what happens when it does not."""

import asyncio
import random
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np
import pytest
from contracts.errors import ConfigurationError, InvalidInput, Unavailable
from indexer.embedding import remote
from indexer.embedding.choosing import EmbedderChoice, EmbedderOptions, SharedEmbeddings, open_embedding
from indexer.embedding.embedder import Embedding
from indexer.embedding.openai_embedder import OPENAI_URL
from pydantic import SecretStr
from support.faults import hang, status, text
from support.openai_server import OpenAIServer, openai_server

SMALL = EmbedderChoice("openai:small")


def _as_floats(_: OpenAIServer, row: list[float], _form: object) -> list[float]:
    return row


@pytest.fixture(scope="module")
async def running() -> AsyncGenerator[OpenAIServer]:
    async with openai_server() as server:
        yield server


@pytest.fixture
def server(running: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> OpenAIServer:
    fresh = OpenAIServer(running.url)
    for name in ("dimension", "models", "key", "refused", "faults", "always", "answers", "requests", "embedded"):
        setattr(running, name, getattr(fresh, name))
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    return running


@pytest.fixture
def options(server: OpenAIServer, tmp_path: Path) -> EmbedderOptions:
    return EmbedderOptions(tmp_path, base_url=server.url)


@pytest.fixture
async def embedding(server: OpenAIServer, options: EmbedderOptions) -> AsyncGenerator[Embedding]:
    opened = await open_embedding(SMALL, options)
    server.requests = 0
    server.embedded.clear()
    yield opened
    await opened.close()


@pytest.mark.guarantee("G13")
async def test_the_dimension_is_found_and_the_id_names_model_endpoint_and_dimension(
    embedding: Embedding, server: OpenAIServer
) -> None:
    assert embedding.embedder.dimension == 12
    assert embedding.embedder.id == f"openai:small@{server.url.split('/')[2]}/12"


@pytest.mark.parametrize("form", ["as asked", "floats"])
async def test_vectors_are_normalized_and_come_in_the_order_of_the_texts(
    embedding: Embedding, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    if form == "floats":  # what a server does that does not know base64
        monkeypatch.setattr(OpenAIServer, "_shown", _as_floats)
    made = await embedding.embed(["one", "two", "one"])
    expected = np.array(server.vectors(["one", "two", "one"]))
    assert np.allclose(made, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)
    assert (made.dtype, server.embedded) == (np.float32, ["one", "two"])
    assert (await embedding.embed([])).shape == (0, 12)


async def test_many_texts_go_in_several_requests(embedding: Embedding, server: OpenAIServer) -> None:
    texts = [f"text {number}" for number in range(300)]
    assert (await embedding.embed(texts)).shape == (300, 12)
    assert server.requests == 3
    assert sorted(server.embedded) == sorted(texts)
    await embedding.embed(["a" * 40_000, "b" * 40_000])
    assert server.requests == 5


@pytest.mark.parametrize("fault", [status(429), status(500), status(503), status(408)])
async def test_what_passes_is_tried_again(embedding: Embedding, server: OpenAIServer, fault: object) -> None:
    server.faults.extend([fault, fault])  # pyright: ignore[reportArgumentType]
    assert (await embedding.embed(["one"])).shape == (1, 12)
    assert server.requests == 3


@pytest.mark.guarantee("G13")
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (status(429), "HTTP 429"),
        (status(500), "HTTP 500"),
        (status(401), "refuses the key"),
        (status(404), "is not there"),
        (text("{not json"), "something else than embeddings"),
        (text("{}"), "something else than"),
        (text('{"data": []}'), "something else than"),
        (text('{"data": [{"index": 0, "embedding": [1, "x"]}]}'), "something else than"),
        (text('{"data": [{"index": 0, "embedding": "AAA"}]}'), "something else than"),
        (text('{"data": [{"index": 0, "embedding": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]}]}'), "something else than"),
        (text('{"data": [{"index": 0, "embedding": [1, 2, 3]}]}'), "it is another model now"),
    ],
)
async def test_what_an_endpoint_does_wrong_is_waited_out_and_said(
    embedding: Embedding, server: OpenAIServer, fault: object, why: str
) -> None:
    """Also what only a person can mend: a text that is not embedded now shall not be given up on."""
    server.always = fault  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(Unavailable, match=why):
        await embedding.embed(["one"])
    server.always = None
    assert (await embedding.embed(["one"])).shape == (1, 12)


async def test_an_endpoint_that_hangs_is_not_waited_for(
    embedding: Embedding, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_URGENT_S", 0.2)
    monkeypatch.setattr(remote, "_PATIENT_S", 0.3)
    server.always = hang
    for urgent in (True, False):
        with pytest.raises(Unavailable, match="does not answer in time"):
            await embedding.embed(["one"], urgent=urgent)


async def test_a_query_does_not_wait_for_what_is_being_indexed(embedding: Embedding, server: OpenAIServer) -> None:
    server.faults.extend([hang] * 4)
    indexing = asyncio.create_task(embedding.embed([f"text {number}" for number in range(1000)]))
    while server.requests < 4:  # noqa: ASYNC110 - requests are counted by the server
        await asyncio.sleep(0.01)
    assert (await asyncio.wait_for(embedding.embed(["query"], urgent=True), 60)).shape == (1, 12)
    assert not indexing.done()
    await embedding.close()
    with pytest.raises(Unavailable, match="closing"):
        await asyncio.wait_for(indexing, 60)
    with pytest.raises(Unavailable, match="closed"):
        await embedding.embed(["query"])


async def test_only_the_text_that_an_endpoint_refuses_is_given_up_on(
    embedding: Embedding, server: OpenAIServer
) -> None:
    server.refused = "unspeakable"
    with pytest.raises(InvalidInput, match="HTTP 400"):
        await embedding.embed(["an unspeakable text"])
    assert (await embedding.embed(["another"])).shape == (1, 12)
    server.always = status(400)
    with pytest.raises(Unavailable, match="HTTP 400"):
        await embedding.embed(["one"])


@pytest.mark.parametrize(
    ("spec", "fault", "kind", "why"),
    [
        ("openai:unknown", None, ConfigurationError, "MEMLOG_EMBEDDER_BASE_URL"),
        ("openai:small", status(401), ConfigurationError, "MEMLOG_EMBEDDER_API_KEY"),
        ("openai:small", status(400), ConfigurationError, "refuses the request"),
        ("openai:small", status(500), Unavailable, "HTTP 500"),
        ("openai:small", text("<html>"), Unavailable, "something else"),
    ],
)
async def test_an_embedder_that_does_not_work_is_refused_when_it_is_opened(
    server: OpenAIServer, options: EmbedderOptions, spec: str, fault: object, kind: type[Exception], why: str
) -> None:
    server.always = fault  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(kind, match=why):
        await open_embedding(options.choice(spec), options)


async def test_an_endpoint_that_is_not_there_is_unavailable(options: EmbedderOptions) -> None:
    nowhere = EmbedderChoice("openai:small", "http://127.0.0.1:9/v1")
    with pytest.raises(Unavailable, match="cannot be reached"):
        await open_embedding(nowhere, options)


@pytest.mark.parametrize("spec", ["", "gpt", "openai:", "openai: x", "minilm:x", "fastembed"])
def test_what_names_no_embedder_is_refused(options: EmbedderOptions, spec: str) -> None:
    with pytest.raises(InvalidInput, match="is no embedder"):
        options.choice(spec)


async def test_a_model_of_fastembed_needs_the_package(options: EmbedderOptions) -> None:
    with pytest.raises(ConfigurationError, match=r"memlog-indexer\[fastembed\]"):
        await open_embedding(options.choice("fastembed:BAAI/bge-small-en-v1.5"), options)


def test_a_key_is_shown_to_the_endpoint_that_it_is_for(tmp_path: Path) -> None:
    elsewhere = "http://localhost:11434/v1"
    own, openai_key = SecretStr("own"), SecretStr("of openai")
    default = EmbedderOptions(tmp_path, openai_key=openai_key)
    assert (default.key_for(OPENAI_URL), default.key_for(elsewhere)) == ("of openai", None)
    local = EmbedderOptions(tmp_path, base_url=elsewhere, api_key=own, openai_key=openai_key)
    assert (local.key_for(OPENAI_URL), local.key_for(elsewhere)) == ("of openai", "own")
    assert EmbedderOptions(tmp_path, base_url=elsewhere, openai_key=openai_key).key_for(elsewhere) is None
    both = EmbedderOptions(tmp_path, api_key=own, openai_key=openai_key)
    assert both.key_for(OPENAI_URL) == "own"


async def test_the_key_is_sent(server: OpenAIServer, options: EmbedderOptions, tmp_path: Path) -> None:
    server.key = "secret"
    with pytest.raises(ConfigurationError, match="refuses the key"):
        await open_embedding(SMALL, options)
    keyed = EmbedderOptions(tmp_path, base_url=server.url, api_key=SecretStr("secret"))
    await (await open_embedding(SMALL, keyed)).close()


async def test_an_embedder_is_opened_once_and_closed_when_nobody_uses_it(options: EmbedderOptions) -> None:
    opened: list[Embedding] = []

    async def open_(choice: EmbedderChoice) -> Embedding:
        opened.append(await open_embedding(choice, options))
        return opened[-1]

    shared = SharedEmbeddings(open_)
    first, second = await asyncio.gather(shared.take(SMALL), shared.take(SMALL))
    assert first is second
    await shared.give_back(SMALL)
    assert (await second.embed(["one"])).shape == (1, 12)
    await shared.give_back(SMALL)
    with pytest.raises(Unavailable):
        await second.embed(["one"])
    assert await shared.take(SMALL) is opened[1]
    await shared.close()


@pytest.mark.parametrize(
    ("alphabet", "bytes_a_token"),
    [
        ("abcdefghij    .", 3),
        ("äöüß  ", 2),
        ("记忆是某人可能想再次找到的文字", 1.5),
        ("🙂🙃😉😊", 4 / 3),
        ("0123456789", 1),
    ],
    ids=["words", "umlauts", "Chinese", "signs", "digits"],
)
async def test_long_texts_are_cut_into_pieces_that_together_are_all_of_the_text(
    embedding: Embedding, alphabet: str, bytes_a_token: float
) -> None:
    passage = "".join(random.Random(1).choices(alphabet, k=3000)).strip()
    pieces = embedding.embedder.chunks(passage)
    assert len(pieces) > 1
    assert all(len(piece.replace(" ", "").encode()) <= 480 * bytes_a_token for piece in pieces)
    at = 0
    for piece in pieces:
        start = passage.index(piece)
        assert start <= at
        at = max(at, start + len(piece))
    assert at == len(passage)
    assert embedding.embedder.chunks("short") == ("short",)


@pytest.mark.parametrize("nothing", [" " * 9000, "x" * 9000])
async def test_what_has_no_words_is_cut_too(embedding: Embedding, nothing: str) -> None:
    pieces = embedding.embedder.chunks(nothing)
    assert all(0 < len(piece) <= 1500 for piece in pieces)
    assert sum(map(len, pieces)) >= 9000
