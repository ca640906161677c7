"""`memlog verify` and `memlog anchor`: proving that nothing of the log, or of what is derived from it, changed."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from contracts.errors import Unavailable
from contracts.verification import Anchor, AnchorReply, ChainHead, Check, Difference, Verification
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text
from runtime.logging import configure_logging

from standalone.commands.options import (
    ExitStatus,
    HomeOption,
    JsonOption,
    TokenOption,
    UrlOption,
    address_file,
    memlog_at,
)
from standalone.failures import NotReachable, file_errors
from standalone.home import Home
from standalone.log_access import has_log
from standalone.rest_client import RestClient

_PATH = "/api/v1/verification"
_LOOK_S = 0.2
_AT_ONCE = 1000
"""Heads in one request."""

AnchorOption = Annotated[
    list[Path] | None,
    typer.Option("--anchor", metavar="FILE", help="Compare with the anchors in this file, too; may be given again."),
]
Show = Callable[[Verification], object]
Checking = Callable[[Sequence[ChainHead]], Awaitable[AnchorReply]]
_STYLES = {"ok": "green", "differs": "bold red", "failed": "red", "skipped": "yellow"}


def verify(
    anchor: AnchorOption = None,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the fresh fold of the derived stores.")] = False,
    home: HomeOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify the log against its audit chain, and each derived store against the log. Exit status 1 when something
    differs; the first difference is named.

    A Memlog that runs verifies while it serves. One that is stopped, or refuses to start, is verified with its two
    servers alone: all but the index, and the fresh fold of the derived stores.

    Examples:

      memlog verify

      memlog verify --anchor /mnt/elsewhere/anchors.jsonl

      memlog verify --quick --json | jq .result
    """
    files = anchor or []
    for file in files:
        with file_errors(file):
            file.open("rb").close()
    with _board() as show:
        asked = url or os.environ.get("MEMLOG_URL")
        here = asked is None and has_log(Home.at(home))
        if here and not address_file(home).exists():
            result = _of_stopped(home, files, show)
        else:
            try:
                result = _of_running(memlog_at(home, asked, token), files, show, stores=not quick)
            except NotReachable:
                if not here:
                    raise
                result = _of_stopped(home, files, show)
    if as_json:
        typer.echo(result.model_dump_json(indent=2, exclude_none=True))
    else:
        _say(result)
    raise typer.Exit(ExitStatus.DONE if result.result == "equal" else ExitStatus.FAILED)


def anchor(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Append to this file.", show_default="stdout")
    ] = None,
    home: HomeOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Export the heads of the audit chains: a line of JSON. Kept where nobody who can write to the data folder can,
    it proves later that nothing was cut off or changed: memlog verify --anchor FILE.

    Examples:

      memlog anchor --output /mnt/elsewhere/anchors.jsonl

      memlog anchor | ssh elsewhere 'cat >> anchors.jsonl'
    """
    with memlog_at(home, url, token) as memlog:
        found = memlog.get("/api/v1/anchors", Anchor)
    if output is None:
        typer.echo(found.model_dump_json())
        return
    from audit import anchors  # with all that the audit needs: time of every other command

    with file_errors(output):
        anchors.append(output, found)
    heads = ", ".join(f"{head.stream} at {head.sequence}" for head in found.heads)
    typer.echo(f"Added the chain heads of {heads} to {output}.")


def _of_running(
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


def _of_stopped(home: Path | None, files: Sequence[Path], show: Show) -> Verification:
    from standalone.stopped import stopped  # see `anchor`

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
    from audit import anchors  # see `anchor`

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
def _board() -> Generator[Show]:
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


def _say(found: Verification) -> None:
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
