"""What probes ask of a process: whether it lives, and whether each service in it can do its work."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from contracts.api import ServiceHealth

from runtime.metrics import READY, Value
from runtime.tasks import end

_BEAT_S = 1.0
_STUCK_S = 20.0
"""An event loop that has not turned for so long does not come back: the longest work on one takes a few seconds."""


class Connection(Protocol):
    """What of a NATS connection matters here."""

    @property
    def is_connected(self) -> bool: ...


@dataclass(slots=True)
class Probe:
    """One service of this process. `describe`: what it says of its own health, once it can."""

    name: str
    client: Connection
    ready: asyncio.Event
    stop: asyncio.Event
    describe: Callable[[], ServiceHealth] | None = None

    def trouble(self) -> str | None:
        """Why the service cannot work at the moment, None when it can. To be called on its event loop. It names no
        detail: those stand in `/api/v1/health`, for whom they are meant."""
        if self.stop.is_set():
            return "stopping"
        if not self.ready.is_set():
            return "starting"
        if not self.client.is_connected:
            return "no connection to NATS"
        return None if self.describe is None or self.describe().ok else "not well"


@dataclass(slots=True)
class Probes:
    """Of one process: `expected` names its services, each of which says how it is from its start on."""

    expected: tuple[str, ...] = ()
    stuck_after: float = _STUCK_S
    _services: dict[str, Probe] = field(default_factory=dict[str, Probe])
    _beat: float = field(default_factory=time.monotonic)

    def add(self, probe: Probe) -> None:
        self._services[probe.name] = probe

    def alive(self) -> bool:
        """Whether the event loop turns. Any thread may ask."""
        return time.monotonic() - self._beat < self.stuck_after

    def troubles(self) -> dict[str, str]:
        """Service to why it cannot work; empty when all can. To be called on the event loop."""
        found = {name: "starting" for name in self.expected if name not in self._services}
        for name, probe in self._services.items():
            why = probe.trouble()
            if why is not None:
                found[name] = why
        return found

    @asynccontextmanager
    async def beating(self) -> AsyncGenerator[None]:
        """Notice, for the length of the block, that this event loop turns."""

        troubles: dict[str, str] = {}

        async def beat() -> None:
            nonlocal troubles
            while True:
                self._beat = time.monotonic()
                troubles = self.troubles()
                await asyncio.sleep(_BEAT_S)

        def ready() -> list[Value]:
            return [(float(name not in troubles), {"part": name}) for name in {*self.expected, *troubles}]

        beating = asyncio.create_task(beat())
        try:
            with READY.known(ready):
                yield
        finally:
            await end(beating)
