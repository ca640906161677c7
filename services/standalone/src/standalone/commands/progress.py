"""Bars on stderr for long work, when somebody looks."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager


@contextmanager
def bars() -> Generator[Callable[[str, int], Callable[[int], object]]]:
    """Shows one bar after the other: called with what is being done and how much there is, it returns what is told of
    each step."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<10}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as shown:

        def show(doing: str, total: int) -> Callable[[int], object]:
            for task in shown.task_ids:
                shown.remove_task(task)
            task = shown.add_task(doing, total=max(total, 1))
            return lambda steps: shown.update(task, advance=steps)

        yield show
