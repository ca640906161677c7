"""How far a write is, told to whoever waits for it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import structlog
from contracts.api import Progress
from nats.aio.client import Client
from runtime.tasks import end

from gateway.asking import OnProgress
from gateway.use_cases.operations import ask_progress

_EVERY_S = 0.5


@asynccontextmanager
async def reported(client: Client, command_id: str, on_progress: OnProgress | None) -> AsyncGenerator[None]:
    """While the block waits for this command, tell how far the writer is with it, for the first time after half a
    second."""
    if on_progress is None:
        yield
        return
    telling = asyncio.create_task(_tell(client, command_id, on_progress))
    try:
        yield
    finally:
        await end(telling)
        if not telling.cancelled() and (error := telling.exception()) is not None:
            # Progress is a courtesy: the write does not fail with it.
            structlog.get_logger("gateway").warning("progress_not_told", reason=type(error).__name__)


async def _tell(client: Client, command_id: str, on_progress: OnProgress) -> None:
    while True:
        await asyncio.sleep(_EVERY_S)
        await on_progress(await ask_progress(client, command_id))


def shares(on_progress: OnProgress | None, parts: Sequence[Sequence[str]]) -> list[OnProgress | None]:
    """For each part of a change of many memories, what to tell its progress: all of them together are told on."""
    if on_progress is None:
        return [None] * len(parts)
    done = [0] * len(parts)
    total = sum(map(len, parts))

    def share(number: int) -> OnProgress:
        async def told(progress: Progress | None) -> None:
            if progress is not None:
                done[number] = progress.done
                progress = Progress(done=sum(done), total=total)
            await on_progress(progress)

        return told

    return [share(number) for number in range(len(parts))]
