"""Ending background work."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

_CANCEL_AGAIN_S = 0.25


async def end(*tasks: "asyncio.Future[Any]", within: float = float("inf")) -> bool:
    """Cancel the tasks and wait until all have ended; False when some have not after `within` seconds.

    Cancelling once is not enough: `asyncio.wait_for` of Python 3.11, on which the requests of nats-py stand, forgets
    a cancellation that meets the answer (python/cpython#86296).
    """
    deadline = time.monotonic() + within
    while pending := [task for task in tasks if not task.done()]:
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=min(_CANCEL_AGAIN_S, left))
    return True


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Await what has to be done whole, such as giving back what is held. A cancellation meanwhile (`end` repeats its
    own) comes out afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
