"""How long and how much is measured, and what every benchmark is given."""

import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from bench.corpus import Corpus
from bench.load import DISTURBED, until_quiet
from bench.texts import Texts


@dataclass(frozen=True, slots=True)
class Sizes:
    """Seconds a row; how many memories the users of filled homes have, ascending; reads to replay; starts; how often
    a page is opened."""

    add_s: float
    search_s: float
    filter_s: float
    list_s: float
    form_s: float
    sustained_s: float
    held: tuple[int, int, int]
    reads: int
    starts: int
    openings: int


FULL = Sizes(
    add_s=6.0,
    search_s=6.0,
    filter_s=3.0,
    list_s=2.0,
    form_s=3.0,
    sustained_s=20.0,
    held=(1_000, 10_000, 50_000),
    reads=10_000,
    starts=3,
    openings=9,
)
QUICK = Sizes(
    add_s=1.0,
    search_s=1.0,
    filter_s=0.5,
    list_s=0.5,
    form_s=0.5,
    sustained_s=4.0,
    held=(200, 500, 1_000),
    reads=500,
    starts=1,
    openings=2,
)


class Row(Protocol):
    """A row of a table."""

    @property
    def name(self) -> str: ...

    @property
    def other_cpu(self) -> float: ...


_Row = TypeVar("_Row", bound=Row)


@dataclass(slots=True)
class Plan:
    """`texts` never repeats itself over all benchmarks of a run, nor what is in `corpus`; `scratch` is an empty
    folder."""

    sizes: Sizes
    scratch: Path
    texts: Texts
    corpus: Corpus
    patience_s: float = 0.0
    _started: float = 0.0

    def home(self, name: str) -> Path:
        return self.scratch / name

    async def undisturbed(self, measure: Callable[[], Awaitable[_Row]]) -> _Row:
        """`measure`, again while others were busy and patience lasts; the least disturbed row."""
        deadline = time.monotonic() + self.patience_s
        rows: list[_Row] = []
        while True:
            await until_quiet(deadline - time.monotonic())
            rows.append(await measure())
            if rows[-1].other_cpu < DISTURBED or time.monotonic() >= deadline:
                return min(rows, key=lambda row: row.other_cpu)
            self.say(f"{rows[-1].name}: others used {rows[-1].other_cpu} cores; again")

    def say(self, text: str) -> None:
        """Progress, on stderr."""
        self._started = self._started or time.monotonic()
        sys.stderr.write(f"[{time.monotonic() - self._started:6.1f} s] {text}\n")


def thousands(count: int) -> str:
    """10000 as `10k`, 500 as `500`."""
    return f"{count // 1000}k" if count % 1000 == 0 else str(count)
