"""Who is connected to this gateway: open streams, and clients that call now and then."""

import time
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from contracts.connections import Connection, Kind

from gateway.asking import Caller

CALLS_S = 300.0
"""How long after its last call a client counts as connected that has no stream."""
_MOST = 4096
"""Clients without a stream that are remembered: whoever may call can call itself anything."""


@dataclass(slots=True, eq=False)
class Connected:
    """One connection. Times are epoch seconds."""

    caller: Caller
    kind: Kind
    since: float
    last_call: float | None = None


class Connections:
    """`clock`: epoch seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._streams: set[Connected] = set()
        self._calling: OrderedDict[tuple[str, str], Connected] = OrderedDict()

    @contextmanager
    def stream(self, caller: Caller, kind: Kind) -> Generator[Connected]:
        """Connected until the block ends. Calls that come over it are noted by `called`."""
        opened = Connected(caller, kind, self._clock())
        self._streams.add(opened)
        try:
            yield opened
        finally:
            self._streams.discard(opened)

    def called(self, over: Connected | Caller) -> None:
        """A call over a stream, or by a client that has none."""
        now = self._clock()
        if isinstance(over, Caller):
            over = self._row(over, now)
        over.last_call = now

    def of(self, user: str) -> list[Connection]:
        """Those of the user, newest first."""
        now = self._clock()
        found = [each for each in (*self._streams, *self._calling.values()) if each.caller.user == user]
        return [
            Connection(
                app=each.caller.app,
                kind=each.kind,
                since=int(each.since),
                last_call=None if each.last_call is None else int(each.last_call),
            )
            for each in sorted(found, key=lambda each: -each.since)
            if each.kind != "calls" or not _is_over(each, now)
        ]

    def _row(self, caller: Caller, now: float) -> Connected:
        """What is known of a client's calls; anew when the ones before are long past."""
        key = caller.user, caller.app
        row = self._calling.get(key)
        if row is None or _is_over(row, now):
            row = self._calling[key] = Connected(caller, "calls", now)
        self._calling.move_to_end(key)
        if len(self._calling) > _MOST:
            self._calling.popitem(last=False)
        return row


def _is_over(row: Connected, now: float) -> bool:
    return row.last_call is not None and now - row.last_call > CALLS_S
