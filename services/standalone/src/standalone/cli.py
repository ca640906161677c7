"""The `memlog` command: what it is made of, and how it ends."""

import json
import sys
from typing import Annotated

import typer
from contracts.errors import MemlogError

from standalone.commands import (
    backup,
    dead,
    export,
    keys,
    mcp,
    memories,
    projections,
    reprocess,
    status,
    tokens,
    up,
    verify,
)
from standalone.commands.options import ExitStatus
from standalone.failures import NotReachable

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A private, local-first memory for MCP clients. Every memory comes from a replayable event log.",
    epilog="Start with: memlog up   (then connect a client to the address that it prints)\n\n"
    "Exit status: 0 done, 1 failed or refused (stderr says why), 2 wrong usage, 3 no Memlog answers.",
    rich_markup_mode=None,
)
app.command()(up.up)
app.command()(status.status)
app.command()(memories.add)
app.command()(memories.search)
app.command("list")(memories.list_)
app.command()(reprocess.reprocess)
app.command()(mcp.mcp)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(export.export)
app.command("import")(export.import_)
app.add_typer(tokens.app, name="token")
app.add_typer(keys.app, name="keys")
app.add_typer(dead.app, name="dead")
app.command()(verify.verify)
app.command()(verify.anchor)
app.command()(projections.rebuild)
app.add_typer(projections.app, name="projections")


def main() -> None:
    """Entry point: errors that Memlog raises on purpose are one clear sentence, never a stack trace; with `--json`,
    one line of JSON."""
    try:
        app()
    except MemlogError as error:
        said = json.dumps({"code": error.code, "detail": error.message}) if "--json" in sys.argv else error.message
        sys.stderr.write(f"{said}\n" if "--json" in sys.argv else f"memlog: {said}\n")
        sys.exit(ExitStatus.NOT_REACHABLE if isinstance(error, NotReachable) else ExitStatus.FAILED)


@app.callback()
def common(
    show_version: Annotated[bool, typer.Option("--version", is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    if show_version:
        from importlib.metadata import version

        typer.echo(f"memlog {version('memlog-standalone')}")
        raise typer.Exit
