"""`memlog export` and `memlog import`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from standalone.commands.long_work import carry_out
from standalone.commands.options import HomeOption, JsonOption, NatsUrlOption
from standalone.commands.progress import bars
from standalone.failures import file_errors
from standalone.home import Home


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file; - writes to stdout.")],
    with_accesses: Annotated[bool, typer.Option("--with-accesses", help="The reads too: who read what, when.")] = False,
    home: HomeOption = None,
    nats_url: NatsUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write every event of the log in the clear, as JSON Lines, while Memlog runs or not. Nothing is lost in it.

    Whoever has the file can read all memories of all users. It is for moving to another machine, and for other
    programs; to guard against loss take `memlog backup`. The export itself is on the audit trail.

    Examples:

      memlog export everything.jsonl

      memlog export --with-accesses - | gzip > everything.jsonl.gz

      memlog export - | jq -r 'select(.type == "MemoryAdded").content.text'
    """
    from standalone.log_export import export_log

    to_stdout = str(file) == "-"

    async def do() -> None:
        to = sys.stdout.buffer if to_stdout else file
        with bars() as show, file_errors(file):
            done = await export_log(home, nats_url, to, show, with_accesses=with_accesses)
        end = done.end
        if as_json:
            facts = {"file": str(file), **end.model_dump(exclude={"kind"}), "unopened": done.unopened}
            typer.echo(json.dumps(facts), err=to_stdout)
            return
        what = f"{end.events:,} events and {end.accesses:,} accesses of {end.users:,} users"
        typer.echo(f"Exported {what}. Everybody who has this file can read all of it.", err=True)
        if done.unopened:
            typer.echo(
                f"Warning: {done.unopened:,} messages are in it as they are stored: their users were erased, or they "
                "are damaged (see memlog dead list)",
                err=True,
            )

    carry_out(do())


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As `memlog export` made it; - reads stdin.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the log of an empty data folder from an export: all of it, or nothing. Events keep order, ids and times.

    Content is sealed anew, with new keys: export these too (memlog keys export). Tables and index are built by the
    next `memlog up`. The log has as many shards as the export, unless MEMLOG_SHARDS says otherwise.

    Examples:

      memlog import everything.jsonl --home ~/moved

      gunzip -c everything.jsonl.gz | memlog import -
    """
    from standalone.log_import import import_log

    async def do() -> None:
        if str(file) == "-":
            with bars() as show:
                done = await import_log(home, sys.stdin.buffer, "stdin", 0, show)
        else:
            with file_errors(file):
                opened, size = file.open("rb"), file.stat().st_size
            with opened, bars() as show:
                done = await import_log(home, opened, str(file), size, show)
        where = str(Home.at(home).root)
        if as_json:
            typer.echo(json.dumps({"home": where, **done.model_dump(exclude={"kind"})}))
            return
        typer.echo(
            f"Imported {done.events:,} events and {done.accesses:,} accesses of {done.users:,} users into {where}."
        )
        typer.echo("Next: export the new keys (memlog keys export FILE), then memlog up.")

    carry_out(do())
