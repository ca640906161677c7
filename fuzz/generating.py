"""Hypothesis as a generator of cases: nothing is shrunk or kept, since a command repeats each."""

from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy

_C = TypeVar("_C")


def send_each(strategy: SearchStrategy[_C], count: int, send: Callable[[_C], None], of_seed: int | None) -> None:
    """Hand up to `count` cases of the strategy to `send`, fewer when it has no more. They are the same for the same
    seed, and for None."""

    def probe(case: _C) -> None:
        send(case)

    generated = settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=of_seed is None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),  # pyright: ignore[reportArgumentType]
    )(given(case=strategy)(probe))
    try:
        (generated if of_seed is None else seed(of_seed)(generated))()
    except Unsatisfiable:
        return  # nothing can be wrong with a request that takes nothing
