"""`memlog rebuild` and `memlog projections`: derived stores, filled anew from the log beside what serves."""

import sys
import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from contracts.errors import Conflict, MemlogError

from standalone.commands.options import ExitStatus, HomeOption, JsonOption, TokenOption, UrlOption, memlog_at

if TYPE_CHECKING:
    from contracts.generations import GenerationView, ProjectionView, RebuildProgress
    from rich.progress import Progress, TaskID

    from standalone.rest_client import RestClient

_PATH = "/api/v1/projections"
_LOOK_EVERY_S = 0.25
_UNFINISHED = ("building", "paused", "following", "failed")

app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    help="The derived stores (read-models, access-log, index): how far each is, and its generations. Without a "
    "command, all are shown.",
    epilog="Fill one anew with: memlog rebuild read-model",
)
Which = Literal["read-models", "read-model", "access-log", "index"]
NameArgument = Annotated[Which, typer.Argument(help="Which store.")]
NumberOption = Annotated[
    int | None,
    typer.Option("--generation", metavar="N", help="Which generation.", show_default="the one that is meant"),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Although it differs from what serves.")]


def rebuild(
    name: NameArgument,
    from_scratch: Annotated[
        bool,
        typer.Option(
            "--from-scratch", help="Begin anew instead of going on with an unfinished rebuild; embed each text again."
        ),
    ] = False,
    embedder: Annotated[
        str | None,
        typer.Option(help="Of the index: minilm, fastembed:MODEL or openai:MODEL.", show_default="the one in use"),
    ] = None,
    hold: Annotated[
        bool, typer.Option("--hold", help="Do not switch to it: `memlog projections switch` does.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the end.")] = False,
    home: HomeOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fill a derived store anew from the log, beside the one that serves, and switch to it when it is equal. Reads and
    writes go on meanwhile. An unfinished rebuild is gone on with.

    Examples:

      memlog rebuild read-model

      memlog rebuild index --embedder openai:text-embedding-3-small --hold

      memlog rebuild access-log --detach --json
    """
    from contracts.generations import ProjectionView

    with memlog_at(home, url, token) as memlog:
        body = {"from_scratch": from_scratch, "hold": hold, "embedder": embedder}
        view = memlog.call("POST", f"{_PATH}/{name}/rebuild", ProjectionView, body)
        number = _unfinished(view)
        if not detach and number is not None:
            view = _watch(memlog, view, number, quiet=as_json)
    if as_json:
        typer.echo(view.model_dump_json(indent=2, exclude_none=True))
    elif detach:
        typer.echo(f"{view.name}: generation {number} is being filled. See: memlog projections")
    else:
        typer.echo(_outcome(view, number))


@app.callback()
def list_(
    context: typer.Context,
    state_hash: Annotated[bool, typer.Option("--state-hash", help="Hash what each holds; reads all of it.")] = False,
    home: HomeOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all derived stores and their generations.

    Examples:

      memlog projections

      memlog projections --state-hash --json

      memlog projections rollback read-models
    """
    if context.invoked_subcommand is not None:
        return
    from contracts.generations import ProjectionList

    with memlog_at(home, url, token) as memlog:
        found = memlog.get(_PATH, ProjectionList, state_hash=state_hash)
    if as_json:
        typer.echo(found.model_dump_json(indent=2, exclude_none=True))
        return
    _show(found.projections)


@app.command()
def pause(
    name: NameArgument, number: NumberOption = None, home: HomeOption = None, url: UrlOption = None,
    token: TokenOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Halt a rebuild; what is filled is kept.

    Example:

      memlog projections pause index
    """
    _change(name, "pause", {"number": number}, home, url, token, as_json)


@app.command()
def resume(
    name: NameArgument, number: NumberOption = None, home: HomeOption = None, url: UrlOption = None,
    token: TokenOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Go on with a rebuild that was paused, or has failed.

    Example:

      memlog projections resume index
    """
    _change(name, "resume", {"number": number}, home, url, token, as_json)


@app.command()
def cancel(
    name: NameArgument, number: NumberOption = None, home: HomeOption = None, url: UrlOption = None,
    token: TokenOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Give a rebuild up, and remove what it filled.

    Example:

      memlog projections cancel read-models
    """
    _change(name, "cancel", {"number": number}, home, url, token, as_json)


@app.command()
def switch(
    name: NameArgument, number: NumberOption = None, force: ForceOption = False, home: HomeOption = None,
    url: UrlOption = None, token: TokenOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Let reads see the generation that follows.

    Examples:

      memlog projections switch index

      memlog projections switch read-models --force
    """
    _change(name, "switch", {"number": number, "force": force}, home, url, token, as_json)


@app.command()
def rollback(
    name: NameArgument, number: NumberOption = None, force: ForceOption = False, home: HomeOption = None,
    url: UrlOption = None, token: TokenOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Let reads see the generation that served before; it is caught up first.

    Example:

      memlog projections rollback read-models
    """
    _change(name, "rollback", {"number": number, "force": force}, home, url, token, as_json)


@app.command()
def drop(
    name: NameArgument,
    number: Annotated[int, typer.Argument(metavar="N", help="As `memlog projections` shows it.")],
    home: HomeOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a generation that neither serves nor is being built.

    Example:

      memlog projections drop read-models 1
    """
    from contracts.generations import ProjectionView

    with memlog_at(home, url, token) as memlog:
        view = memlog.call("DELETE", f"{_PATH}/{name}/generations/{number}", ProjectionView)
    _print(view, as_json)


def _change(
    name: str, action: str, body: dict[str, object], home: HomeOption, url: UrlOption, token: TokenOption, as_json: bool
) -> None:
    from contracts.generations import ProjectionView

    with memlog_at(home, url, token) as memlog:
        view = memlog.call("POST", f"{_PATH}/{name}/{action}", ProjectionView, body)
    _print(view, as_json)


def _print(view: "ProjectionView", as_json: bool) -> None:
    if as_json:
        typer.echo(view.model_dump_json(indent=2, exclude_none=True))
    else:
        _show([view])


def _show(projections: "list[ProjectionView]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for view in projections:
        where = ", ".join(f"{shard}-{at}" for shard, at in view.positions.items()) or "nowhere"
        console.print(f"[bold]{view.name}[/]  at {where}, {view.lag:,} events behind the log")
        if view.state_hash is not None:
            console.print(f"  state {view.state_hash}")
        table = Table.grid(padding=(0, 2))
        for generation in view.generations:
            what = f"version {generation.version}" + (f", {generation.embedder}" if generation.embedder else "")
            table.add_row("", str(generation.number), generation.state, what, Text(_details(view, generation)))
        console.print(table)
        if view.failure is not None:
            console.print(Text(f"  {view.failure}", "red"))


def _details(view: "ProjectionView", generation: "GenerationView") -> str:
    at = view.rebuild
    if at is not None and at.number == generation.number:
        left = "" if at.seconds_left is None else f", about {at.seconds_left:,.0f} s left"
        return f"{at.events:,} of {at.of:,} events, {at.rate:,.0f} a second{left}{_counts(at)}"
    if generation.failure is not None:
        return generation.failure
    if generation.parity is not None and generation.state != "serving":
        return generation.parity + (f": {generation.difference}" if generation.difference else "")
    return ""


def _counts(at: "RebuildProgress") -> str:
    return "".join(f", {count:,} {name.replace('_', ' ')}" for name, count in at.counts.items())


def _unfinished(view: "ProjectionView") -> int | None:
    numbers = [each.number for each in view.generations if each.state in _UNFINISHED]
    return max(numbers, default=None)


def _find(view: "ProjectionView", number: int | None) -> "GenerationView | None":
    return next((each for each in view.generations if each.number == number), None)


def _watch(memlog: "RestClient", view: "ProjectionView", number: int, *, quiet: bool) -> "ProjectionView":
    """Follow the rebuild to its end; Ctrl-C leaves it running."""
    from contracts.generations import ProjectionView
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("Filling {task.fields[name]}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"),
    )  # fmt: skip
    hidden = quiet or not sys.stderr.isatty()
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True, disable=hidden) as shown:
            task = shown.add_task("", total=None, name=view.name, pace="")
            while not _ended(view, number):
                _advance(shown, task, view)
                time.sleep(_LOOK_EVERY_S)
                view = memlog.get(f"{_PATH}/{view.name}", ProjectionView)
    except KeyboardInterrupt:
        typer.echo(
            f"Not waiting any more; the rebuild goes on. See: memlog projections   Halt it: memlog projections pause "
            f"{view.name}",
            err=True,
        )
        raise typer.Exit(ExitStatus.FAILED) from None
    return view


def _advance(shown: "Progress", task: "TaskID", view: "ProjectionView") -> None:
    at = view.rebuild
    if at is not None:
        left = "" if at.seconds_left is None else f"{at.seconds_left:,.0f} s left"
        shown.update(task, completed=at.events, total=at.of, pace=f"{at.rate:,.0f} a second  {left}{_counts(at)}")


def _ended(view: "ProjectionView", number: int) -> bool:
    """Whether nothing happens any more by itself."""
    generation = _find(view, number)
    if generation is None or generation.state in ("serving", "retired", "failed", "paused"):
        return True
    # Compared, and not switched to: it was to be held, or it differs.
    held = generation.hold or generation.parity == "differs"
    return generation.state == "following" and generation.parity is not None and held


def _outcome(view: "ProjectionView", number: int | None) -> str:
    generation = _find(view, number)
    if generation is None:
        raise MemlogError(f"generation {number} of {view.name} was cancelled")
    match generation.state:
        case "serving":
            back = f"memlog projections rollback {view.name}"
            return f"{view.name}: generation {number} serves now. Back to the one before: {back}"
        case "following" if generation.parity == "differs":
            raise Conflict(
                f"generation {number} of {view.name} differs from the one that serves, so it was not switched to: "
                f"{generation.difference}. All the same: memlog projections switch {view.name} --force"
            )
        case "following":
            return (
                f"{view.name}: generation {number} is filled and follows. Switch: memlog projections switch {view.name}"
            )
        case "failed":
            raise Conflict(f"generation {number} of {view.name} failed: {generation.failure}")
        case state:
            return f"{view.name}: generation {number} is {state}"
