"""`memlog keys`: the keys out of a Memlog into a file of their own, and back."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from standalone.commands.long_work import carry_out
from standalone.commands.options import HomeOption, JsonOption, NatsUrlOption
from standalone.commands.progress import bars
from standalone.failures import file_errors

_VARIABLE = "MEMLOG_KEYS_PASSPHRASE"
_SHORTEST = 8

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The keys that open what is in the log: the master key, and a data key for each user. A backup of the log is "
    "worthless without them, and they are not in it.",
    epilog="Keep the file apart from the backups, and the passphrase apart from the file.",
)
PassphraseFileOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help=f"A file whose first line is the passphrase; else {_VARIABLE}, else you are asked.",
        show_default=False,
    ),
]


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    nats_url: NatsUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write all keys into a file, sealed with a passphrase; Memlog may run meanwhile. The file is read back.

    New users get new keys: export again after a backup that says so, and after a user was erased (then destroy the
    older files: they hold the key that was destroyed).

    Examples:

      memlog keys export memlog-keys.json

      memlog keys export memlog-keys.json --passphrase-file ~/.memlog-passphrase
    """
    from standalone.key_exchange import export_keys

    passphrase = _passphrase(passphrase_file, new=True)

    async def do() -> None:
        keys = await export_keys(home, nats_url, file, passphrase)
        if as_json:
            typer.echo(json.dumps({"file": str(file), "keys": len(keys.wrapped), "last_sequence": keys.last_sequence}))
            return
        typer.echo(f"Exported the master key and the data keys of {len(keys.wrapped):,} users into {file}.")
        typer.echo("Whoever has the file and the passphrase can read everything. Keep them apart from each other.")

    carry_out(do())


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As `memlog keys export` made it.")],
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    nats_url: NatsUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the keys back, into a data folder that was restored or is empty. Keys that are there are never overwritten.

    Then something of each user is opened with its key.

    Examples:

      memlog keys import memlog-keys.json

      MEMLOG_KEYS_PASSPHRASE=... memlog keys import memlog-keys.json --home ~/restored --json
    """
    from standalone.key_exchange import import_keys, read_keys

    keys = read_keys(file, _passphrase(passphrase_file, new=False))

    async def do() -> None:
        with bars() as show:
            done = await import_keys(home, nats_url, keys, show)
        if as_json:
            typer.echo(json.dumps(asdict(done)))
            return
        master = "the master key and " if done.new_master_key else ""
        typer.echo(f"Imported {master}{done.stored:,} data keys ({done.there:,} were there).")
        if done.opened:
            typer.echo(f"Checked: the keys open what {done.opened:,} users have in the log.")
        if done.without_key:
            typer.echo(
                f"Warning: {done.without_key:,} users of this log have no key: they were erased, or are newer than "
                f"these keys (exported {done.created_at}). Their memories cannot be read. Is there a newer export?",
                err=True,
            )

    carry_out(do())


def _passphrase(file: Path | None, *, new: bool) -> str:
    """The passphrase, from where the caller says. A new one that is typed is asked for twice."""
    if file is not None:
        with file_errors(file):
            said = file.read_text().split("\n")[0].rstrip("\r")
    elif _VARIABLE in os.environ:
        said = os.environ[_VARIABLE]
    elif sys.stdin.isatty():
        said = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=new, err=True)
    else:
        raise typer.BadParameter(f"nobody can be asked here: set {_VARIABLE}, or say --passphrase-file")
    if new and len(said) < _SHORTEST:
        raise typer.BadParameter(f"a passphrase needs at least {_SHORTEST} characters")
    return said
