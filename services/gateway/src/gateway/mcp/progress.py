"""Progress notifications: for calls that take long, where the client asked for them."""

import time

from contracts.api import Progress

from gateway.mcp.boundary import Context
from gateway.service import OnProgress


def reporter(ctx: Context) -> OnProgress | None:
    """What tells this message's sender how far its call is; None without a progress token. The value only grows, as
    the specification has it: memories done, or the seconds that it takes where nobody counts."""
    if ctx.meta is None or "progress_token" not in ctx.meta:
        return None
    began = time.monotonic()
    last = 0.0
    counted = False

    async def tell(progress: Progress | None) -> None:
        nonlocal last, counted
        if progress is not None:
            counted = True
            value, total = float(progress.done), float(progress.total)
            message = f"{progress.done} of {progress.total} memories"
        elif counted:
            return
        else:
            value, total, message = round(time.monotonic() - began, 3), None, "accepted, and under way"
        if value > last:
            last = value
            await ctx.session.report_progress(value, total, message)

    return tell
