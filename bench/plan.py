"""How long and how much is measured, and what every benchmark is given."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.texts import Texts


@dataclass(frozen=True, slots=True)
class Sizes:
    """Seconds a row, and memories of one user."""

    add_s: float
    search_s: float
    list_s: float
    sustained_s: float
    small: int
    large: int
    starts: int


FULL = Sizes(add_s=6.0, search_s=8.0, list_s=3.0, sustained_s=20.0, small=1_000, large=10_000, starts=3)
QUICK = Sizes(add_s=2.0, search_s=2.0, list_s=1.0, sustained_s=5.0, small=500, large=2_000, starts=1)


@dataclass(slots=True)
class Plan:
    """`texts` never repeats itself over all benchmarks of a run; `scratch` is an empty folder."""

    sizes: Sizes
    scratch: Path
    texts: Texts
    _started: float = 0.0

    def home(self, name: str) -> Path:
        return self.scratch / name

    def say(self, text: str) -> None:
        """Progress, on stderr."""
        self._started = self._started or time.monotonic()
        sys.stderr.write(f"[{time.monotonic() - self._started:6.1f} s] {text}\n")


def thousands(count: int) -> str:
    """10000 as `10k`, 500 as `500`."""
    return f"{count // 1000}k" if count % 1000 == 0 else str(count)
