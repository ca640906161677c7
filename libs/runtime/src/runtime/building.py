"""The process that fills a generation, seen from the service that starts it (the other side is `runtime.filling`)."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from contracts.generations import RebuildProgress
from pydantic import ValidationError

from runtime.filling import Said

log = structlog.get_logger()
_WINDOW_S = 15.0
"""Over which the rate is taken."""
_STOP_S = 5.0
_LINE = 1024 * 1024


class Pace:
    """How fast a rebuild gets on. Times are of a monotonic clock, in seconds."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._seen: deque[tuple[float, int]] = deque()
        self._of = 0
        self.counts: dict[str, int] = {}

    def note(self, events: int, of: int, now: float, counts: dict[str, int] | None = None) -> None:
        self._seen.append((now, events))
        self._of = of
        self.counts = counts or {}
        while len(self._seen) > 2 and now - self._seen[0][0] > _WINDOW_S:
            self._seen.popleft()

    def progress(self) -> RebuildProgress | None:
        """None before anything was noted."""
        if not self._seen:
            return None
        (began, first), (now, events) = self._seen[0], self._seen[-1]
        rate = (events - first) / (now - began) if now > began else 0.0
        left = max(0, self._of - events)
        return RebuildProgress(
            number=self.number,
            events=events,
            of=self._of,
            rate=round(rate, 1),
            seconds_left=0.0 if left == 0 else round(left / rate, 1) if rate > 0 else None,
            counts=self.counts,
        )


@dataclass(frozen=True, slots=True)
class Built:
    """How such a process ended: its exit status (see `runtime.filling`; negative: a signal), why it failed in its own
    words, and how many events it had passed."""

    code: int
    why: str | None
    events: int


class Builder:
    """One such process at a time."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None
        self.pace: Pace | None = None

    async def build(self, number: int, command: Sequence[str]) -> Built:
        """Fill the generation. Cancelled, it stops the process first."""
        pace = self.pace = Pace(number)
        process = self._process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(self._environment),
            # Held open, and closed by the kernel when this process dies: that is how it notices.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=_LINE,
        )
        log.info("fill_started", generation=number, pid=process.pid)
        last: list[str] = []
        reading = asyncio.ensure_future(self._complaints(process, last))
        failure: str | None = None
        try:
            assert process.stdout is not None
            async for line in process.stdout:
                with contextlib.suppress(ValidationError):
                    said = Said.model_validate_json(line)
                    failure = said.failure
                    if said.of:
                        pace.note(said.events, said.of, time.monotonic(), said.counts)
            code = await process.wait()
            await reading
            log.info("fill_ended", generation=number, exit_code=code, failure=failure, **pace.counts)
            at = pace.progress()
            return Built(code, failure or (last[-1] if last else None), 0 if at is None else at.events)
        finally:
            await self.stop()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            self._process, self.pace = None, None

    async def stop(self) -> None:
        """Ask the process to stop, and see to it that it does; what it committed is kept."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        await process.wait()

    async def _complaints(self, process: asyncio.subprocess.Process, last: list[str]) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            text = line.decode(errors="replace").strip()
            if text:
                log.warning("fill_says", line=text[:500])
                last[:] = [text[:500]]
