"""Which language model is wanted, and where its key comes from: no key goes where it was not meant to go."""

from pathlib import Path
from typing import Any

import pytest
from contracts.errors import ConfigurationError
from pydantic import JsonValue
from runtime.settings import Settings
from runtime.stored_settings import resolve_key, wanted_language_model

OPENAI = "https://api.openai.com/v1"
ELSEWHERE = "https://models.example/v1"


def stored(**config: Any) -> dict[str, JsonValue]:
    return {"mem0": {"llm": {"provider": "openai", "config": {"model": "gpt-4o-mini", **config}}}}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    for name in ("OPENAI_API_KEY", "MEMLOG_LLM", "MEMLOG_LLM_API_KEY", "GROQ_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_nothing_set_means_no_language_model_even_with_a_key_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert wanted_language_model(Settings(), {}) is None
    assert wanted_language_model(Settings(), {"openmemory": {"custom_instructions": "x"}}) is None


def test_what_is_stored_counts_with_the_defaults_of_what_it_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    choice = wanted_language_model(Settings(), stored())
    assert choice is not None
    assert (choice.model, choice.base_url, choice.api_key) == ("gpt-4o-mini", OPENAI, "k")
    assert (choice.temperature, choice.max_tokens) == (0.0, 2000)
    warm = wanted_language_model(Settings(), stored(temperature=0.7, max_tokens=99, base_url="http://localhost:9/v1"))
    assert warm is not None
    assert (warm.base_url, warm.api_key, warm.temperature, warm.max_tokens) == ("http://localhost:9/v1", None, 0.7, 99)


def test_the_environment_wins_over_what_is_stored() -> None:
    settings = Settings(llm="llama3", llm_base_url="http://localhost:11434/v1")
    choice = wanted_language_model(settings, stored(api_key="env:NOT_THERE"))
    assert choice is not None
    assert (choice.model, choice.base_url, choice.api_key) == ("llama3", "http://localhost:11434/v1", None)


def test_a_key_comes_from_where_the_reference_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "from-env")
    file = tmp_path / "key"
    file.write_text("from-file\n")
    for reference, key in (("env:GROQ_API_KEY", "from-env"), (f"file:{file}", "from-file")):
        choice = wanted_language_model(Settings(secrets_path=tmp_path), stored(base_url=ELSEWHERE, api_key=reference))
        assert choice is not None and choice.api_key == key


def test_openais_key_and_memlogs_own_secrets_are_shown_to_nobody_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("OPENAI_API_KEY", "MEMLOG_LLM_API_KEY", "MEMLOG_POSTGRES_DSN", "MEMLOG_QDRANT_API_KEY"):
        monkeypatch.setenv(name, "secret")
    master = tmp_path / "master.key"
    master.write_text("00" * 32)
    linked = tmp_path / "innocent"
    linked.symlink_to(master)
    settings = Settings(master_key_file=master, secrets_path=tmp_path)
    for reference in (
        "env:OPENAI_API_KEY",
        "env:MEMLOG_LLM_API_KEY",
        "env:MEMLOG_POSTGRES_DSN",
        "env:MEMLOG_QDRANT_API_KEY",
        f"file:{master}",
        f"file:{linked}",
    ):
        with pytest.raises(ConfigurationError) as refused:
            resolve_key(reference, ELSEWHERE, settings)
        assert "secret" not in refused.value.message
    assert resolve_key("env:OPENAI_API_KEY", OPENAI, settings) == "secret"
    own = Settings(llm_base_url=ELSEWHERE)
    assert resolve_key("env:MEMLOG_LLM_API_KEY", ELSEWHERE, own) == "secret"


@pytest.mark.parametrize("content", ["", "two words", "two\nlines", "ключ", "x" * 5000])
def test_what_is_no_key_is_not_sent(content: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    for reference in (f"file:{file}", "env:NOT_THERE", f"file:{tmp_path}", f"file:{tmp_path}/none", "file:/dev/zero"):
        with pytest.raises(ConfigurationError):
            resolve_key(reference, ELSEWHERE, Settings(secrets_path=tmp_path))


def test_only_what_is_meant_to_be_a_key_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "secret")
    monkeypatch.setenv("GROQ_PASSWORD", "secret")
    inside, outside = tmp_path / "secrets" / "key", tmp_path / "key"
    inside.parent.mkdir()
    inside.write_text("secret\n")
    outside.write_text("secret\n")
    (inside.parent / "linked").symlink_to(outside)
    settings = Settings(secrets_path=inside.parent)
    assert resolve_key("env:GROQ_API_KEY", ELSEWHERE, settings) == "secret"
    assert resolve_key(f"file:{inside}", ELSEWHERE, settings) == "secret"
    for reference in (
        "env:GROQ_PASSWORD",
        f"file:{outside}",
        f"file:{inside.parent}/linked",
        f"file:{inside.parent}/../key",
    ):
        with pytest.raises(ConfigurationError) as refused:
            resolve_key(reference, ELSEWHERE, settings)
        assert "secret" not in refused.value.message.replace(str(tmp_path), "").replace("secrets", "")
