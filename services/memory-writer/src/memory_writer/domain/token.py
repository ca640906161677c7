"""The token aggregate: what a bearer may do in the name of an app, until it is revoked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from contracts.commands import IssueToken, RevokeToken
from contracts.errors import Conflict, NotFound
from contracts.events import TokenIssued, TokenRevoked
from runtime.decider import Decider

# Events (a storage format)

TokenEvent = TokenIssued | TokenRevoked

# Fold


@dataclass(frozen=True, slots=True)
class Unknown:
    """There is no such token."""


@dataclass(frozen=True, slots=True)
class Issued:
    """It counts, unless it has expired: time is no event."""

    token: TokenIssued


@dataclass(frozen=True, slots=True)
class Revoked:
    token: TokenIssued


Token = Unknown | Issued | Revoked


def evolve(state: Token, event: TokenEvent) -> Token:
    match event:
        case TokenIssued():
            return Issued(event) if isinstance(state, Unknown) else state
        case TokenRevoked():
            return Revoked(state.token) if isinstance(state, Issued) else state
        case _:
            assert_never(event)


# Decisions

TokenCommand = IssueToken | RevokeToken


def decide(state: Token, command: TokenCommand) -> Sequence[TokenEvent]:
    """The events that follow; empty when it is so already. Raises `NotFound` for revoking what was never issued,
    `Conflict` for issuing another token under an id that is taken."""
    match command:
        case IssueToken():
            issued = TokenIssued(**command.model_dump())
            if isinstance(state, Unknown):
                return (issued,)
            if state.token != issued:
                raise Conflict("a token with this id was issued before, and it is another one")
            return ()
        case RevokeToken(token_id=token_id):
            match state:
                case Issued():
                    return (TokenRevoked(token_id=token_id),)
                case Revoked():
                    return ()
                case Unknown():
                    raise NotFound("the token was not found")
                case _:
                    assert_never(state)
        case _:
            assert_never(command)


TOKEN: Decider[TokenCommand, TokenEvent, Token] = Decider(decide, evolve, Unknown())
