"""Tokens as given/when/then: one is issued once, and what was revoked stays so."""

from typing import Any

import pytest
from contracts.commands import IssueToken, RevokeToken
from contracts.errors import Conflict, MemlogError, NotFound
from contracts.events import TokenIssued, TokenRevoked
from hypothesis import given as for_all
from hypothesis import strategies as st
from memory_writer.domain.token import TOKEN, Issued, Revoked, TokenCommand, TokenEvent
from pydantic import ValidationError
from runtime.decider import given

ID = "018f3a5c555570008000000000000005"
ASKED: dict[str, Any] = {"token_id": ID, "hash": "ab" * 32, "user": "ada", "app": "cursor", "scopes": ("read",)}
ISSUE = IssueToken(**ASKED)
OTHER = ISSUE.model_copy(update={"hash": "cd" * 32})
ISSUED, REVOKED = TokenIssued(**ASKED), TokenRevoked(token_id=ID)
REVOKE = RevokeToken(token_id=ID)


def test_issuing_a_token_emits_it_as_it_was_asked_for() -> None:
    assert given(TOKEN).when(ISSUE) == [ISSUED]


@pytest.mark.parametrize("history", [[ISSUED], [ISSUED, REVOKED]], ids=["issued", "revoked"])
def test_a_token_is_issued_once_and_never_replaced(history: list[TokenEvent]) -> None:
    assert given(TOKEN, *history).when(ISSUE) == []
    with pytest.raises(Conflict):
        given(TOKEN, *history).when(OTHER)


def test_a_token_is_revoked_once() -> None:
    assert given(TOKEN, ISSUED).when(REVOKE) == [REVOKED]
    assert given(TOKEN, ISSUED, REVOKED).when(REVOKE) == []


def test_what_was_never_issued_cannot_be_revoked() -> None:
    with pytest.raises(NotFound):
        given(TOKEN).when(REVOKE)


@for_all(st.lists(st.sampled_from([ISSUE, OTHER, REVOKE]), max_size=8))
def test_the_same_command_twice_emits_nothing_the_second_time_and_nothing_undoes_a_revocation(
    commands: list[TokenCommand],
) -> None:
    history: list[TokenEvent] = []
    for command in commands:
        try:
            history += given(TOKEN, *history).when(command)
        except MemlogError:
            continue
        assert given(TOKEN, *history).when(command) == []
    state = TOKEN.initial
    for event in history:
        state = TOKEN.evolve(state, event)
    assert isinstance(state, Revoked) == (REVOKED in history)
    assert isinstance(state, Issued) == (len(history) == 1)
    assert len(history) <= 2


@pytest.mark.parametrize("scopes", [(), ("everything",)], ids=["none", "unknown"])
def test_a_token_has_scopes_that_there_are(scopes: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        IssueToken.model_validate({**ASKED, "scopes": scopes})
