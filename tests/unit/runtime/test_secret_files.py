"""Secrets that come as files, as containers mount them."""

from pathlib import Path
from typing import get_args

import pytest
from contracts.errors import ConfigurationError
from pydantic import SecretStr
from runtime.keys import MasterKey
from runtime.settings import Settings, load_settings
from runtime.stored_settings import resolve_key

SECRETS = sorted(
    name
    for name, field in Settings.model_fields.items()
    if SecretStr in (field.annotation, *get_args(field.annotation))
)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    for name in ("OPENAI_API_KEY", *(f"MEMLOG_{each.upper()}{end}" for each in SECRETS for end in ("", "_FILE"))):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", SECRETS)
def test_each_secret_can_stand_in_a_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    file.write_text("of the file\n")
    monkeypatch.setenv(f"MEMLOG_{name.upper()}_FILE", str(file))
    settings = load_settings()
    assert getattr(settings, name).get_secret_value() == "of the file"
    assert "of the file" not in repr(settings)


def test_a_secret_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    file.write_text("one")
    monkeypatch.setenv("MEMLOG_NATS_PASSWORD", "another")
    monkeypatch.setenv("MEMLOG_NATS_PASSWORD_FILE", str(file))
    with pytest.raises(ConfigurationError, match="both set"):
        load_settings()


def test_a_file_that_is_empty_says_nothing_and_one_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "llm"
    file.write_text("\n")
    monkeypatch.setenv("MEMLOG_LLM_API_KEY_FILE", str(file))
    assert load_settings().llm_api_key is None
    file.unlink()
    with pytest.raises(ConfigurationError, match=r"MEMLOG_LLM_API_KEY_FILE: .*llm cannot be read"):
        load_settings()


def test_settings_that_are_paths_already_are_no_secrets_of_that_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMLOG_MASTER_KEY_FILE", str(tmp_path / "not there yet"))
    assert load_settings().master_key_file == tmp_path / "not there yet"


def test_a_mounted_master_key_has_whatever_mode_it_was_mounted_with(tmp_path: Path) -> None:
    mounted, elsewhere = tmp_path / "secrets" / "master_key", tmp_path / "master_key"
    mounted.parent.mkdir()
    for file in (mounted, elsewhere):
        MasterKey.create(file)
        file.chmod(0o444)
    MasterKey.load(mounted, tmp_path / "secrets")
    with pytest.raises(ConfigurationError, match="chmod 600"):
        MasterKey.load(elsewhere, tmp_path / "secrets")
    linked = mounted.with_name("linked")
    linked.symlink_to(elsewhere)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        MasterKey.load(linked, tmp_path / "secrets")


def test_stored_settings_cannot_name_the_files_of_memlogs_own_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, mine = tmp_path / "password", tmp_path / "my_key"
    file.write_text("secret")
    mine.write_text("mine")
    settings = Settings(secrets_path=tmp_path, llm_base_url="http://mine/v1", admin_token_file=tmp_path / "admin")
    (tmp_path / "admin").write_text("secret")
    monkeypatch.setenv("MEMLOG_NATS_PASSWORD_FILE", str(file))
    for own in (file, tmp_path / "admin"):
        with pytest.raises(ConfigurationError, match="Memlog's own"):
            resolve_key(f"file:{own}", "http://mine/v1", settings)
    monkeypatch.setenv("MEMLOG_LLM_API_KEY_FILE", str(mine))
    assert resolve_key(f"file:{mine}", "http://mine/v1", settings) == "mine"
    with pytest.raises(ConfigurationError, match="Memlog's own"):
        resolve_key(f"file:{mine}", "http://elsewhere/v1", settings)
