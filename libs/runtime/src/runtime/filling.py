"""The process that fills a generation: `python -m <service> fill <projection> <number>`, started by `runtime.building`.

It says on stdout how far it is, a line of JSON each, and ends when its stdin does: that is how it notices that the
service which started it is gone.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping

import structlog
from contracts.errors import ConcurrencyConflict, MemlogError, Unavailable
from pydantic import BaseModel

from runtime.errors import NATS_FAILURES
from runtime.logging import configure_logging
from runtime.replay import Log, Progress, replay
from runtime.service import Context, open_context, run
from runtime.settings import load_settings
from runtime.store import ProjectionStore
from runtime.tasks import end
from runtime.telemetry import span
from runtime.tracing import tracing

log = structlog.get_logger()
NICENESS = 10
FAILED, LATER = 1, 75
"""Exit statuses: it cannot work like this; what it needs is away, try again (EX_TEMPFAIL of sysexits.h)."""
_SAY_EVERY = 0.25


class Said(BaseModel):
    """A line on stdout: events passed of how many, and what the service counts besides; or why it ended."""

    events: int = 0
    of: int = 0
    counts: dict[str, int] = {}
    failure: str | None = None


Settle = Callable[[], Awaitable[None]]


async def fill(
    context: Context,
    stream_of: Callable[[int], str],
    stores: Mapping[str, ProjectionStore],
    settle: Settle | None = None,
    *,
    said: Callable[[Progress], None] | None = None,
    counts: Callable[[], dict[str, int]] = dict,
) -> None:
    """Fill the stores up to near the end of the log; then `settle` them, once, and catch up with what came meanwhile.
    `counts` is told with the progress. Raises as `runtime.replay.replay`."""
    log_ = Log(context.client, context.js, context.events, context.keys, context.shards)
    epoch = await context.leases.fresh_epoch()
    say = said or _Saying(counts)
    with span(f"fill {' '.join(stores)}", {}):
        progress = await replay(log_, stream_of, stores, epoch, said=say)
        if settle is not None:
            await settle()
            progress = await replay(log_, stream_of, stores, epoch, said=say)
    if said is None:
        _say(Said(events=progress.events, of=progress.of, counts=counts()))


class _Saying:
    """Progress on stdout, not more often than anybody wants to know."""

    def __init__(self, counts: Callable[[], dict[str, int]]) -> None:
        self._counts = counts
        self._next = 0.0

    def __call__(self, progress: Progress) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._next or progress.events >= progress.of:
            self._next = now + _SAY_EVERY
            _say(Said(events=progress.events, of=progress.of, counts=self._counts()))


def _say(said: Said) -> None:
    sys.stdout.write(said.model_dump_json(exclude_defaults=True) + "\n")
    sys.stdout.flush()


def run_filling(name: str, serve: Callable[[Context], Awaitable[None]]) -> None:
    """Entry point: `serve` fills. Exit status 0 when it is done, `FAILED` with the reason on stdout, `LATER`."""
    os.nice(NICENESS)
    try:
        settings = load_settings()
        configure_logging(name, "error", settings.log_format, sys.stderr)

        async def main() -> None:
            async with open_context(name, settings, asyncio.Event()) as context:
                await _until_alone(serve(context))

        with tracing(name):
            run(main())
    except (Unavailable, ConcurrencyConflict, *NATS_FAILURES) as error:
        _say(Said(failure=str(error) or type(error).__name__))
        sys.exit(LATER)
    except MemlogError as error:
        _say(Said(failure=error.message))
        sys.exit(FAILED)


async def _until_alone(work: Awaitable[None]) -> None:
    """Do the work, unless nobody is there any more who wants it, or a signal asks to stop: batches are whole, so what
    was done is kept."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    working = asyncio.ensure_future(work)
    others = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(reader.read())]
    try:
        await asyncio.wait([working, *others], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        sys.exit(LATER)
    finally:
        await end(working, *others, within=2.0)
