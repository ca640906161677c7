"""The user aggregate: for now, that the user exists."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from contracts.commands import RegisterUser
from contracts.events import UserRegistered
from runtime.decider import Decider

# Events (a storage format)

UserEvent = UserRegistered

# Fold


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody was registered under this uid."""


@dataclass(frozen=True, slots=True)
class Registered:
    name: str


User = Unknown | Registered


def evolve(state: User, event: UserEvent) -> User:
    return Registered(event.name)


# Decisions


def decide(state: User, command: RegisterUser) -> Sequence[UserEvent]:
    """Registers once; afterwards there is nothing to do."""
    match state:
        case Unknown():
            return (UserRegistered(name=command.name),)
        case Registered():
            return ()
        case _:
            assert_never(state)


USER: Decider[RegisterUser, UserEvent, User] = Decider(decide, evolve, Unknown())
