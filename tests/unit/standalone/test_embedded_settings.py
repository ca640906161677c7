"""What the embedded form makes of its settings before anything is started."""

from pathlib import Path

import pytest
from contracts.errors import ConfigurationError
from gateway.auth.tokens import read_admin_token
from runtime.settings import Settings
from standalone.embedded import ensure_admin_token, reachable
from standalone.home import Home


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "localhost"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("::1", "[::1]"),
        ("192.168.1.20", "192.168.1.20"),
        ("box.local", "box.local"),
    ],
)
def test_a_server_that_listens_everywhere_is_reached_here_by_a_loopback_address(host: str, here: str) -> None:
    assert reachable(host) == here


@pytest.mark.parametrize("auth", ["token", "oidc"])
def test_a_home_with_authentication_gets_an_admin_token_once(auth: str, tmp_path: Path) -> None:
    settings = Settings.model_validate({"auth": auth})
    file = tmp_path / "admin-token"
    assert ensure_admin_token(Home(tmp_path), settings) == file
    assert file.stat().st_mode & 0o777 == 0o600
    token = read_admin_token(file, settings.secrets_path)
    assert ensure_admin_token(Home(tmp_path), settings) == file
    assert read_admin_token(file, settings.secrets_path) == token
    (tmp_path / "other").mkdir()
    other = ensure_admin_token(Home(tmp_path / "other"), settings)
    assert other is not None and read_admin_token(other, settings.secrets_path) != token


def test_without_authentication_there_is_no_admin_token(tmp_path: Path) -> None:
    assert ensure_admin_token(Home(tmp_path), Settings()) is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_named_is_never_made_and_never_taken_as_it_is(tmp_path: Path) -> None:
    named = tmp_path / "mine"
    settings = Settings(auth="token", admin_token_file=named)
    with pytest.raises(ConfigurationError, match="is missing"):
        ensure_admin_token(Home(tmp_path), settings)
    named.touch(0o600)
    named.write_text("short")
    with pytest.raises(ConfigurationError, match="32"):
        ensure_admin_token(Home(tmp_path), settings)
    named.write_text("long enough to be relied on".replace(" ", "-") * 2)
    assert ensure_admin_token(Home(tmp_path), settings) == named
    assert not (tmp_path / "admin-token").exists()
