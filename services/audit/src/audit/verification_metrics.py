"""How the last verification ended, as metrics."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from contracts.verification import Verification
from runtime.metrics import CHECKS, VERIFIED, Value

_TOLD = {"ok": 1.0, "differs": 0.0}


async def tell_results(view: Callable[[], Verification]) -> None:
    """Tell until cancelled."""

    def checks() -> list[Value]:
        return [(_TOLD[each.state], {"check": each.name}) for each in view().checks if each.state in _TOLD]

    def finished() -> list[Value]:
        at = view().finished_at
        return [] if at is None else [(datetime.fromisoformat(at).timestamp(), {})]

    with CHECKS.known(checks), VERIFIED.known(finished):
        await asyncio.get_running_loop().create_future()
