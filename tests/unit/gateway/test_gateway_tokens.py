"""The operator's token stands in a file that nobody else may read, and proves who the operator is."""

import os
from pathlib import Path

import pytest
from contracts.errors import ConfigurationError
from gateway.auth.identity import Unauthenticated
from gateway.auth.tokens import OperatorAuthenticator, read_admin_token
from gateway.service import Scope

TOKEN = "0123456789abcdef" * 4
ELSEWHERE = Path("/nowhere/secrets")


def admin_file(folder: Path, content: str = f"{TOKEN}\n", mode: int = 0o600) -> Path:
    file = folder / "admin-token"
    file.write_text(content)
    file.chmod(mode)
    return file


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440], ids=oct)
def test_a_file_that_its_owner_or_group_alone_can_read_holds_the_token(mode: int, tmp_path: Path) -> None:
    assert read_admin_token(admin_file(tmp_path, mode=mode), ELSEWHERE) == TOKEN


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o602, 0o666], ids=oct)
def test_a_file_that_others_can_read_or_change_is_refused_with_what_to_do(mode: int, tmp_path: Path) -> None:
    file = admin_file(tmp_path, mode=mode)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {file}"):
        read_admin_token(file, ELSEWHERE)


def test_a_secret_of_a_container_has_the_mode_that_it_was_mounted_with(tmp_path: Path) -> None:
    mounted, secrets = tmp_path / "..2026", tmp_path / "secrets"
    mounted.mkdir()
    secrets.mkdir()
    inside = admin_file(secrets, mode=0o444)
    assert read_admin_token(inside, secrets) == TOKEN
    (secrets / "linked").symlink_to(admin_file(mounted, mode=0o444))
    with pytest.raises(ConfigurationError):  # it only looks as if it were there
        read_admin_token(secrets / "linked", secrets)


@pytest.mark.parametrize(
    "content",
    ["", "short", "x" * 31, f"{'x' * 20} {'y' * 20}", f"{TOKEN}\n{TOKEN}", "ключ" * 20, f"memlog_{TOKEN}", "x" * 5000],
    ids=["empty", "short", "31 characters", "a space", "two lines", "not ASCII", "like those in the log", "too long"],
)
def test_what_is_no_token_to_rely_on_is_refused_and_not_shown(content: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_admin_token(admin_file(tmp_path, content), ELSEWHERE)
    assert "openssl rand -hex 32" in refused.value.message
    assert not content or content not in refused.value.message


def test_a_file_that_is_not_there_or_is_none_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="openssl rand"):
        read_admin_token(tmp_path / "none", ELSEWHERE)
    with pytest.raises(ConfigurationError, match="is not a file"):
        read_admin_token(tmp_path, ELSEWHERE)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ConfigurationError, match="is not a file"):
        read_admin_token(tmp_path / "pipe", ELSEWHERE)


async def test_the_operator_is_the_default_user_in_person_and_may_do_everything() -> None:
    operator = await OperatorAuthenticator(TOKEN, "ada").authenticate(TOKEN)
    assert (operator.user, operator.app, operator.credential, operator.operator) == (
        "ada",
        "dashboard",
        "operator",
        True,
    )
    assert operator.scopes == frozenset(Scope)


@pytest.mark.parametrize("bearer", ["", TOKEN[:-1], f"{TOKEN}0", TOKEN.upper(), "ключ", "\udc80"], ids=ascii)
async def test_nothing_else_is_the_operators_token(bearer: str) -> None:
    operator = OperatorAuthenticator(TOKEN, "ada")
    assert operator.knows(TOKEN)
    assert not operator.knows(bearer)
    with pytest.raises(Unauthenticated):
        await operator.authenticate(bearer)
