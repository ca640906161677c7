"""Settings in OpenMemory's shape: what can be used is told from what cannot, by its path, and no key is repeated."""

from typing import Any

import pytest
from contracts.configuration import (
    MINILM,
    OPENAI_URL,
    Configuration,
    base_url,
    checked_embedder,
    checked_llm,
    embedder_spec,
    hidden,
    is_hidden,
    stored_configuration,
)
from contracts.errors import InvalidInput
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

KEY = "sk-proj-abcdefghijklmnop0123456789"


def section(provider: str = "openai", model: str = "m", **config: Any) -> dict[str, Any]:
    return {"provider": provider, "config": {"model": model, **config}}


@pytest.mark.parametrize(
    ("given_", "where"),
    [
        (section("OpenAI"), OPENAI_URL),
        (section("ollama"), "http://localhost:11434/v1"),
        (section("ollama", ollama_base_url="http://box:11434"), "http://box:11434/v1"),
        (section("ollama", base_url="http://box:11434/v1/"), "http://box:11434/v1"),
        (section("LM Studio"), "http://localhost:1234/v1"),
        (section("lmstudio", base_url="http://127.0.0.1:1/api"), "http://127.0.0.1:1/api"),
        (section("vllm"), "http://localhost:8000/v1"),
        (section("mistral ai"), None),
        (section("aws bedrock"), None),
    ],
)
def test_a_provider_that_speaks_the_openai_api_has_an_address_and_others_are_refused(
    given_: dict[str, Any], where: str | None
) -> None:
    if where is None and given_["provider"] != "mistral ai":
        with pytest.raises(InvalidInput, match=r"mem0\.llm\.provider: .*not supported"):
            checked_llm(given_)
    else:
        assert base_url(checked_llm(given_)) == (where or "https://api.mistral.ai/v1")


@pytest.mark.parametrize(
    "key", [KEY, "env:", "env:lower_case", "env:gsk_abcdef123", f"env:{KEY}", "file:relative", "file:", "", "env:A\nB"]
)
def test_a_key_itself_is_refused_and_never_repeated(key: str) -> None:
    for check in (checked_llm, checked_embedder):
        with pytest.raises(InvalidInput, match=r"config\.api_key: a key is never stored") as refused:
            check(section(api_key=key))
        assert len(key) < 6 or key not in str(refused.value)


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"temperature": 3}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"base_url": "ftp://x"}, "base_url"),
        ({"base_url": "http://user:pass@host/v1"}, "base_url"),
        ({"base_url": "http://"}, "base_url"),
        ({"base_url": "http://[::1"}, "base_url"),
        ({"base_url": "http://host:99999/v1"}, "base_url"),
        ({"base_url": "http://host/v1?key=1"}, "base_url"),
        ({"base_url": "http://h\u2028ost/"}, "base_url"),
        ({"base_url": "http://a", "ollama_base_url": "http://b"}, "ollama_base_url"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(config: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^mem0\.llm\.config\.{path}: "):
        checked_llm(section(**config))


def test_what_is_missing_is_named_by_its_path() -> None:
    with pytest.raises(InvalidInput, match=r"^mem0\.llm\.config\.model: is missing"):
        checked_llm({"provider": "openai", "config": {}})
    with pytest.raises(InvalidInput, match=r"^mem0\.embedder\.provider: is missing"):
        checked_embedder({"config": {"model": "x"}})


@pytest.mark.parametrize(
    ("given_", "spec"),
    [
        (section("minilm", "all-MiniLM-L6-v2"), "minilm"),
        (section("fastembed", "BAAI/bge-small-en-v1.5"), "fastembed:BAAI/bge-small-en-v1.5"),
        (section("openai", "text-embedding-3-small"), f"openai:text-embedding-3-small@{OPENAI_URL}"),
        (section("ollama", "nomic-embed-text"), "openai:nomic-embed-text@http://localhost:11434/v1"),
    ],
)
def test_an_embedder_is_named_as_the_command_line_names_it(given_: dict[str, Any], spec: str) -> None:
    assert embedder_spec(checked_embedder(given_)) == spec


@pytest.mark.parametrize(
    "given_",
    [
        section("minilm", "another"),
        section("minilm", "all-MiniLM-L6-v2", base_url="http://x"),
        section("fastembed", "m", api_key="env:X"),
        section("hugging face", "m"),
        section("openai", "two words"),
    ],
)
def test_an_embedder_that_cannot_be_is_refused(given_: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=r"^mem0\.embedder\."):
        checked_embedder(given_)


def test_a_reference_is_shown_by_its_kind_alone() -> None:
    assert [hidden(each) for each in ("env:OPENAI_API_KEY", "file:/run/secrets/key", None)] == [
        "env:***",
        "file:***",
        None,
    ]
    assert is_hidden("env:***") and not is_hidden("env:OPENAI_API_KEY")


def test_nothing_set_is_all_defaults_and_fields_of_a_newer_version_are_passed_over() -> None:
    assert stored_configuration({}) == Configuration()
    assert stored_configuration({"mem0": {"reranker": {}}, "more": 1}) == Configuration()
    assert embedder_spec(MINILM) == "minilm"


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["model", "config", "x"]), below),
    max_leaves=9,
)


@given(st.dictionaries(st.sampled_from(["provider", "config", "mem0", "openmemory"]), _JSON))
def test_junk_is_refused_in_words(junk: dict[str, JsonValue]) -> None:
    for read in (checked_llm, checked_embedder, stored_configuration):
        try:
            read(junk)
        except InvalidInput as error:
            assert error.message
