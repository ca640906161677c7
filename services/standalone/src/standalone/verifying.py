"""What `memlog verify` does: the verification of a Memlog that runs or is stopped, shown while it goes on."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path

from contracts.errors import Unavailable
from contracts.verification import Anchor, AnchorReply, ChainHead, Check, Difference, Verification
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text
from runtime.logging import configure_logging

from standalone.failures import file_errors
from standalone.rest_client import RestClient

_PATH = "/api/v1/verification"
_LOOK_S = 0.2
_AT_ONCE = 1000
"""Heads in one request."""

Show = Callable[[Verification], object]
Checking = Callable[[Sequence[ChainHead]], Awaitable[AnchorReply]]
_STYLES = {"ok": "green", "differs": "bold red", "failed": "red", "skipped": "yellow"}


def of_running(
    at: AbstractContextManager[RestClient], files: Sequence[Path], show: Show, *, stores: bool
) -> Verification:
    with at as memlog:
        found = memlog.call("POST", _PATH, Verification, {"stores": stores})
        while found.state == "running":
            show(found)
            time.sleep(_LOOK_S)
            found = memlog.get(_PATH, Verification)
        if found.state != "done":
            raise Unavailable("the verification was interrupted: the audit was started again. Verify once more")

        async def check(heads: Sequence[ChainHead]) -> AnchorReply:
            body = {"heads": [head.model_dump() for head in heads]}
            return memlog.call("POST", "/api/v1/anchors/check", AnchorReply, body)

        return asyncio.run(_with_files(found, files, check))


def of_stopped(home: Path | None, files: Sequence[Path], show: Show) -> Verification:
    from standalone.stopped import stopped  # with all of the audit, which a Memlog that runs has itself

    configure_logging("memlog", "error", "console")

    async def do() -> Verification:
        async with stopped(home) as log:
            return await _with_files(await log.verify(show), files, log.check)

    return asyncio.run(do())


async def _with_files(found: Verification, files: Sequence[Path], check: Checking) -> Verification:
    """The verification with a check of each file of anchors."""
    more = [await _file(file, check) for file in files]
    differs = found.result == "equal" and any(each.state == "differs" for each in more)
    return found.model_copy(update={"checks": [*found.checks, *more], "result": "differs" if differs else found.result})


async def _file(file: Path, check: Checking) -> Check:
    from audit import anchors  # see `of_stopped`

    done = 0
    difference: Difference | None = None
    with file_errors(file):
        lines = anchors.read(file)
        while difference is None and (chunk := list(islice(lines, _AT_ONCE))):
            heads = [head for line in chunk if isinstance(line, Anchor) for head in line.heads]
            for start in range(0, len(heads), _AT_ONCE):
                reply = await check(heads[start : start + _AT_ONCE])
                done += reply.checked
                difference = difference or reply.difference
            difference = difference or next((line for line in chunk if isinstance(line, Difference)), None)
    state = "ok" if difference is None else "differs"
    return Check(name=f"anchors in {file}", state=state, done=done, of=done, difference=difference)


@contextmanager
def board() -> Generator[Show]:
    """A bar for each check that has begun, on stderr, when somebody looks."""
    columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as shown:
        tasks: dict[str, TaskID] = {}

        def show(found: Verification) -> None:
            for check in found.checks:
                if check.state == "waiting":
                    continue
                if check.name not in tasks:
                    tasks[check.name] = shown.add_task(check.name, total=None)
                over = check.state != "running"
                total = max(check.of, check.done) if check.of or over else None
                shown.update(tasks[check.name], completed=check.done, total=total)

        yield show


def say(found: Verification) -> None:
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("check", no_wrap=True)
    table.add_column("result", no_wrap=True)
    table.add_column("compared", justify="right")
    table.add_column("", overflow="fold")
    for check in found.checks:
        words = check.detail or ""
        if check.difference is not None:
            words = _in_words(check.difference)
        table.add_row(check.name, Text(check.state, _STYLES.get(check.state, "")), f"{check.done:,}", Text(words))
    console.print(table)
    first = next((check.difference for check in found.checks if check.difference is not None), None)
    if first is not None:
        console.print(Text(f"\nFirst difference: {_in_words(first)}", "bold red"), soft_wrap=True)
        console.print("What to do: docs/operations.md, 'Verify and anchor'.")
    elif found.result == "equal":
        console.print("\n[bold green]Nothing differs.[/]")
    else:
        console.print("\n[bold red]Not everything could be verified.[/] Nothing differs in what was.")


def _in_words(difference: Difference) -> str:
    at = f" at {difference.sequence}" if difference.sequence else ""
    return f"{difference.kind} in {difference.where}{at}: {difference.detail}"
