"""Work of a command that takes its time, and cleans up behind itself when it is stopped."""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any

_TERMINATED = 128 + signal.SIGTERM


def carry_out(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end; SIGTERM ends it in order, as Ctrl-C does. Only errors are logged, to stderr."""
    from runtime.logging import configure_logging
    from runtime.service import run

    configure_logging("memlog", "error", "console")

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await work

    try:
        run(main())
    except asyncio.CancelledError:
        sys.exit(_TERMINATED)
