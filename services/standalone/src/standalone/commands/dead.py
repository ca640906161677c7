"""`memlog dead`: what parts of Memlog gave up on, for a person to decide."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from contracts.errors import MemlogError

from standalone.commands.options import (
    ExitStatus,
    HomeOption,
    JsonOption,
    TokenOption,
    UrlOption,
    UserOption,
    memlog_at,
    progress,
)
from standalone.failures import NotReachable

if TYPE_CHECKING:
    from contracts.dead_letters import DeadLetter

    from standalone.rest_client import RestClient

_PATH = "/api/v1/dead-letters"
_PAGE = 500

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Messages that a part of Memlog gave up on. What is about the same memory (or app, or user) waits behind "
    "the first of them; everything else goes on.",
    epilog="Look with: memlog dead list\n\nRemove the cause, then try again: memlog dead redrive --all",
)
IdsArgument = Annotated[list[int] | None, typer.Argument(metavar="ID", help="As `memlog dead list` shows it.")]


@app.command("list")
def list_(
    home: HomeOption = None, url: UrlOption = None, token: TokenOption = None, as_json: JsonOption = False
) -> None:
    """List what was given up on, oldest first, with the reason.

    Examples:

      memlog dead list

      memlog dead list --json | jq '.[].reason'
    """
    with memlog_at(home, url, token) as memlog:
        letters = _all(memlog)
    if as_json:
        typer.echo(json.dumps([letter.model_dump() for letter in letters], indent=2))
        return
    if not letters:
        typer.echo("No dead letters: nothing was given up on.")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("id", "part", "about"):
        table.add_column(column, no_wrap=True)
    table.add_column("waits", justify="right")
    table.add_column("reason", overflow="fold")
    first = _first_of_each(letters)
    for letter in first:
        about = f"{letter.aggregate.kind} {letter.aggregate.id[:8]}…"
        table.add_row(str(letter.id), letter.consumer, about, str(letter.count - 1), Text(letter.reason))
    console.print(table)
    console.print(f"\n{len(letters)} dead letters about {len(first)} things. One in full: memlog dead show ID")


@app.command()
def show(
    letter_id: Annotated[int, typer.Argument(metavar="ID", help="As `memlog dead list` shows it.")],
    user: UserOption = None,
    home: HomeOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one with its message. The content is shown to the user whose it is.

    Examples:

      memlog dead show 1

      memlog dead show 1 --user ada --json
    """
    from contracts.dead_letters import DeadLetterDetail

    with memlog_at(home, url, token) as memlog:
        letter = memlog.get(f"{_PATH}/{letter_id}", DeadLetterDetail, user_id=user)
    if as_json:
        typer.echo(letter.model_dump_json(indent=2, exclude_none=True))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    message = letter.message
    table = Table.grid(padding=(0, 2))
    for name, value in (
        ("Id", str(letter.id)),
        ("Given up by", f"{letter.consumer} (shard {letter.shard}) at {letter.at}"),
        ("Reason", letter.reason),
        ("About", f"{letter.aggregate.kind} {letter.aggregate.id}"),
        ("Original", f"{letter.sequence} of {letter.stream}"),
        ("Message", f"{message.type} {message.event_id}"),
        ("Happened", f"{message.occurred_at}, by {message.actor}"),
        ("Request", message.correlation_id),
        ("Content", json.dumps(message.data, indent=2, ensure_ascii=False) if message.data else message.unreadable),
    ):
        table.add_row(Text(name, "bold"), Text(value or "-"))
    Console(highlight=False).print(table)
    typer.echo(f"\nTry again: memlog dead redrive {letter.id}   Go on without it: memlog dead drop {letter.id}")


@app.command()
def redrive(
    ids: IdsArgument = None,
    all_: Annotated[bool, typer.Option("--all", help="All that there are.")] = False,
    home: HomeOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try again, with all that waits behind it. What fails again stays; the exit status is then 1.

    Examples:

      memlog dead redrive 1

      memlog dead redrive --all
    """
    with memlog_at(home, url, token) as memlog:
        _each(memlog, "POST", "/redrive", _chosen(memlog, ids, all_), as_json)


@app.command()
def drop(
    ids: IdsArgument = None,
    all_: Annotated[bool, typer.Option("--all", help="All that there are.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    home: HomeOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on without it, for good: what waits behind it is applied, up to the next that cannot be. The log keeps the
    original.

    Examples:

      memlog dead drop 1

      memlog dead drop --all --yes
    """
    with memlog_at(home, url, token) as memlog:
        chosen = _chosen(memlog, ids, all_)
        if chosen and not yes:
            if not sys.stdin.isatty():
                raise typer.BadParameter("nobody can be asked here: say --yes", param_hint="drop")
            typer.confirm(f"Go on without {len(chosen)} of them, for good?", abort=True)
        _each(memlog, "DELETE", "", chosen, as_json)


def _all(memlog: "RestClient") -> "list[DeadLetter]":
    from contracts.dead_letters import DeadLetterPage

    letters: list[DeadLetter] = []
    after: int | None = 0
    while after is not None:
        page = memlog.get(_PATH, DeadLetterPage, after=after, limit=_PAGE)
        letters += page.dead_letters
        after = page.next
    return letters


def _first_of_each(letters: "list[DeadLetter]") -> "list[DeadLetter]":
    """The one that the others about the same thing wait behind."""
    first: dict[tuple[str, str], DeadLetter] = {}
    for letter in letters:
        first.setdefault((letter.consumer, letter.subject), letter)
    return [*first.values()]


def _chosen(memlog: "RestClient", ids: list[int] | None, all_: bool) -> list[int]:
    if bool(ids) == all_:
        raise typer.BadParameter("say which: ids, or --all", param_hint="ID")
    return [*dict.fromkeys(ids)] if ids else [letter.id for letter in _first_of_each(_all(memlog))]


def _each(memlog: "RestClient", method: str, action: str, ids: list[int], as_json: bool) -> None:
    from contracts.dead_letters import Redriven

    done: list[Redriven] = []
    failures: list[tuple[int, MemlogError]] = []
    for letter_id in progress(ids, "Working"):
        try:
            done.append(memlog.call(method, f"{_PATH}/{letter_id}{action}", Redriven))
        except NotReachable:
            raise
        except MemlogError as error:
            failures.append((letter_id, error))
    if as_json:
        results = [result.model_dump(exclude_none=True) for result in done]
        failed = [
            {"id": letter_id, "status": "failed", "code": e.code, "error": e.message} for letter_id, e in failures
        ]
        typer.echo(json.dumps([*results, *failed], indent=2))
    else:
        words = {"healed": "healed", "sent_again": "sent to its writer again", "dropped": "dropped", "failed": "failed"}
        for result in done:
            waits = f", with {result.letters - 1} behind it" if result.letters > 1 else ""
            if result.status == "dropped":
                waits = f"; others about it stay: {result.error}" if result.error else ""
            typer.echo(f"{result.id}: {words[result.status]} ({result.aggregate.kind} {result.aggregate.id}){waits}")
        for letter_id, error in failures:
            typer.echo(f"{letter_id}: {error.message}", err=True)
        if not ids:
            typer.echo("No dead letters: nothing was given up on.")
    if failures:
        raise typer.Exit(ExitStatus.FAILED)
