"""What a fuzzer sent, what came back, and what should not have."""

import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table

_SAY_EVERY_S = 5.0


@dataclass(slots=True)
class Tally:
    """`wanted` cases of `name`. `failures` holds, by what went wrong, a command that repeats the first of its kind."""

    name: str
    wanted: int
    failures: dict[str, str] = field(default_factory=dict[str, str])
    statuses: Counter[str] = field(default_factory=Counter[str])
    times: Counter[str] = field(default_factory=Counter[str])
    progress: TextIO = field(default_factory=lambda: sys.stderr)
    _said: float = 0.0

    @property
    def cases(self) -> int:
        return self.statuses.total()

    @property
    def left(self) -> int:
        return max(0, self.wanted - self.cases)

    def answered(self, status: int | str) -> None:
        """A case was answered so, or a word for what came instead of an answer."""
        self.statuses[str(status)] += 1
        now = time.monotonic()
        if now - self._said > _SAY_EVERY_S or not self.left:
            self._said = now
            print(
                f"{self.name}: {self.cases} of {self.wanted}, {len(self.failures)} kinds of failure", file=self.progress
            )

    def failed(self, what: str, repeat: str) -> None:
        self.times[what] += 1
        if what not in self.failures:
            self.failures[what] = repeat
            print(f"{self.name}: {what}\n  {repeat}", file=self.progress)


def curl(method: str, url: str, headers: dict[str, str], body: bytes, folder: Path) -> str:
    """A command for a shell that sends this request; its body is a file in `folder`."""
    path = folder / f"{len(list(folder.iterdir()))}.body"
    path.write_bytes(body)
    named = [f"-H {_quoted(f'{name}: {value}')}" for name, value in headers.items()]
    return " ".join(["curl -sS -i --path-as-is", f"-X {method}", *named, f"--data-binary @{path}", _quoted(url)])


def _quoted(text: str) -> str:
    """For bash, whatever characters there are."""
    plain = text.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + "".join(c if c.isprintable() else "".join(f"\\x{b:02x}" for b in c.encode()) for c in plain) + "'"


def show(tallies: list[Tally], console: Console) -> None:
    """A table of cases by status, and the failures, each with a command that repeats it."""
    table = Table("status", *(tally.name for tally in tallies))
    for status in sorted({status for tally in tallies for status in tally.statuses}):
        table.add_row(status, *(str(tally.statuses[status] or "") for tally in tallies))
    table.add_section()
    table.add_row("cases", *(str(tally.cases) for tally in tallies))
    table.add_row("kinds of failure", *(str(len(tally.failures)) for tally in tallies))
    console.print(table)
    for tally in tallies:
        for what, repeat in tally.failures.items():
            console.print(f"{tally.name}: {what} ({tally.times[what]} times)", style="red", markup=False)
            console.print(f"  {repeat}", markup=False, soft_wrap=True, highlight=False)
