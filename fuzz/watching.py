"""The processes of a Memlog while it is fuzzed: whether all of them live on, and what memory they hold."""

import statistics
import threading
from dataclasses import dataclass, field

import psutil

from bench.server import Server

_EVERY_S = 2.0
_WARM = 0.3
"""The part of a run in which caches fill and libraries load."""
_GROWTH, _GROWTH_MB = 0.2, 24.0
"""What may come on top afterwards, since what is stored grows too: this part of it, and so much for small ones."""


@dataclass(slots=True)
class Watch:
    """As a context manager: looks every 2 s from a thread of its own."""

    server: Server
    seen: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    dead: list[str] = field(default_factory=list[str])
    _first: dict[int, str] = field(default_factory=dict[int, str])
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Watch":
        self._first = self._lasting()
        self._thread = threading.Thread(target=self._run, name="watch")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()
        alive = self._lasting()
        self.dead = [name for pid, name in self._first.items() if pid not in alive]

    def _lasting(self) -> dict[int, str]:
        """Those that are there from start to stop: the supervisor and its children. PostgreSQL's own come and go."""
        root = self.server.tree()[0]
        found = {root.pid: "memlog"}
        for child in root.children():
            if child.status() != psutil.STATUS_ZOMBIE:
                found[child.pid] = child.name()
        return found

    def _run(self) -> None:
        while True:
            for part, megabytes in self.server.memory_of_parts_mb().items():
                self.seen.setdefault(part, []).append(megabytes)
            if self._stop.wait(_EVERY_S):
                return

    def growth(self) -> list[tuple[str, float, float, bool]]:
        """By part: megabytes (PSS) after the warm-up and at the end, medians of a tenth of the run each, and whether
        that is stable."""
        rows: list[tuple[str, float, float, bool]] = []
        for part, values in sorted(self.seen.items()):
            span = max(1, len(values) // 10)
            start = int(len(values) * _WARM)
            before, after = statistics.median(values[start : start + span]), statistics.median(values[-span:])
            rows.append((part, before, after, after <= before + max(_GROWTH * before, _GROWTH_MB)))
        return rows
