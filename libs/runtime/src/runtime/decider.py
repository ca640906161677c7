"""The decider (Chassaing, "Functional Event Sourcing Decider"): decide, evolve, initial, all pure.

Domain modules are written in its shape: Events / Fold / Decisions.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Generic, TypeVar

C = TypeVar("C")
E = TypeVar("E")
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Decider(Generic[C, E, S]):
    """`decide(state, command) → events` (raises `MemlogError` to refuse), `evolve(state, event) → state`."""

    decide: Callable[[S, C], Sequence[E]]
    evolve: Callable[[S, E], S]
    initial: S

    def fold(self, events: Iterable[E]) -> S:
        """The state that a history leads to."""
        return reduce(self.evolve, events, self.initial)


@dataclass(frozen=True, slots=True)
class Scenario(Generic[C, E, S]):
    """`given(decider, *events).when(command)` → the new events, for tests and documentation."""

    decider: Decider[C, E, S]
    history: tuple[E, ...]

    def when(self, command: C) -> list[E]:
        return list(self.decider.decide(self.decider.fold(self.history), command))


def given(decider: Decider[C, E, S], *history: E) -> Scenario[C, E, S]:
    """Start of a given/when/then sentence."""
    return Scenario(decider, history)
