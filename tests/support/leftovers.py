"""Asyncio tasks that a piece of work leaves behind, in a loop that others use too."""

import asyncio
from collections import Counter


def tasks_by_kind() -> Counter[str]:
    """How many tasks of each coroutine function are there. Not which ones: who waits with a bound, as for the end of a
    server that the whole session uses, does so in one task after the other."""
    return Counter(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks())


async def no_task_beyond(before: Counter[str]) -> bool:
    """Whether there are no more tasks of any kind than `before`, for `eventually`."""
    return tasks_by_kind() <= before
