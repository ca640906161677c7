"""The settings aggregate: all that was set, as one value."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.commands import ChangeSettings
from contracts.errors import Conflict
from contracts.events import SettingsChanged
from runtime.decider import Decider

# Events (a storage format)

SettingsEvent = SettingsChanged

# Fold


@dataclass(frozen=True, slots=True)
class Unset:
    """Nobody changed anything: all is as by default."""


Settings = Unset | SettingsChanged
"""What was set last is all that there is. Defaults stand nowhere in the log."""


def evolve(state: Settings, event: SettingsEvent) -> Settings:
    return event


# Decisions


def decide(state: Settings, command: ChangeSettings) -> Sequence[SettingsEvent]:
    """The event that follows; none when it is so already. Raises `Conflict` when somebody else was quicker."""
    now = state.settings if isinstance(state, SettingsChanged) else {}
    if now == command.settings:
        return ()
    if command.before is not None and now != command.before:
        raise Conflict("somebody else changed the settings meanwhile: read them again, and change them then")
    return (SettingsChanged(settings=command.settings),)


SETTINGS: Decider[ChangeSettings, SettingsEvent, Settings] = Decider(decide, evolve, Unset())
