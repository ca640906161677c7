"""The app aggregate: a client of one user, which the user may pause."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from contracts.errors import AppIsPaused, NotFound
from contracts.events import AppPaused, AppRegistered, AppResumed
from runtime.decider import Decider

# Events (a storage format)

AppEvent = AppRegistered | AppPaused | AppResumed

# Fold


@dataclass(frozen=True, slots=True)
class Unknown:
    """The user has no such app."""


@dataclass(frozen=True, slots=True)
class Running:
    app_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Paused:
    app_id: str
    name: str


App = Unknown | Running | Paused


def evolve(state: App, event: AppEvent) -> App:
    match event:
        case AppRegistered():
            return Running(event.app_id, event.name)
        case AppPaused():
            return Paused(state.app_id, state.name) if isinstance(state, Running) else state
        case AppResumed():
            return Running(state.app_id, state.name) if isinstance(state, Paused) else state
        case _:
            assert_never(event)


# Decisions


@dataclass(frozen=True, slots=True)
class Register:
    app_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Pause:
    app_id: str


@dataclass(frozen=True, slots=True)
class Resume:
    app_id: str


AppCommand = Register | Pause | Resume


def decide(state: App, command: AppCommand) -> Sequence[AppEvent]:
    """The events that follow; empty when it is so already. Raises `NotFound` for an unknown app."""
    match command:
        case Register():
            if isinstance(state, Unknown):
                return (AppRegistered(app_id=command.app_id, name=command.name),)
            return ()
        case Pause():
            match state:
                case Running():
                    return (AppPaused(app_id=state.app_id),)
                case Paused():
                    return ()
                case Unknown():
                    raise NotFound(f"app {command.app_id} was not found")
                case _:
                    assert_never(state)
        case Resume():
            match state:
                case Paused():
                    return (AppResumed(app_id=state.app_id),)
                case Running():
                    return ()
                case Unknown():
                    raise NotFound(f"app {command.app_id} was not found")
                case _:
                    assert_never(state)
        case _:
            assert_never(command)


def require_running(state: App) -> None:
    """An app may write only while it runs: fail closed. Raises `AppIsPaused`, `NotFound`."""
    match state:
        case Running():
            return
        case Paused():
            raise AppIsPaused(f"app '{state.name}' is paused: resume it in Memlog before it can write")
        case Unknown():
            raise NotFound("this app is not registered")
        case _:
            assert_never(state)


APP: Decider[AppCommand, AppEvent, App] = Decider(decide, evolve, Unknown())
