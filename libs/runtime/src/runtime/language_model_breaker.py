"""Leaving an endpoint alone that does not answer (circuit breaker): nobody waits for what is known to be away, and one
question at a time finds out when it is back."""

import random
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from contracts.errors import LanguageModelAway

_FIRST_S, _MOST_S = 1.0, 60.0
_SOON_S = 0.5


class Breaker:
    """Open while the endpoint is away: a question was tried in vain, and no other was answered meanwhile."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.reason: str | None = None
        """Why it is open; None while it is closed."""
        self._clock = clock
        self._pause = _FIRST_S
        self._until = 0.0
        self._probing = False
        self._answers = 0

    @property
    def open(self) -> bool:
        """Whether the endpoint counts as away."""
        return self.reason is not None

    @property
    def left(self) -> float:
        """Seconds until a question would be let through."""
        return 0.0 if self.reason is None else max(0.0, self._until - self._clock())

    def check(self) -> None:
        """Raises `LanguageModelAway` when a question would not be let through now."""
        if self.reason is not None and (self._probing or self.left > 0):
            raise LanguageModelAway(self.reason, max(self.left, _SOON_S))

    @contextmanager
    def question(self) -> Generator[bool]:
        """Around one question: yields whether it is the one that finds out. Raises `LanguageModelAway` instead when it
        is open, and opens when one comes out of the block."""
        self.check()
        probe = self.reason is not None
        self._probing = self._probing or probe
        before = self._answers
        try:
            yield probe
        except LanguageModelAway as away:
            if probe or (self.reason is None and self._answers == before):
                self._open(away)
            raise
        finally:
            if probe:
                self._probing = False

    def answered(self) -> None:
        """It answers, whatever it says."""
        self._answers += 1
        self.reason, self._pause = None, _FIRST_S

    def _open(self, away: LanguageModelAway) -> None:
        self.reason = away.message
        pause = max(self._pause * random.uniform(0.75, 1.0), away.retry_after or 0.0)
        self._until = self._clock() + min(pause, _MOST_S)
        self._pause = min(self._pause * 2, _MOST_S)
