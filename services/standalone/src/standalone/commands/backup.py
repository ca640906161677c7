"""`memlog backup` and `memlog restore`."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from contracts.streams import USERS

from standalone.commands.long_work import carry_out
from standalone.commands.options import HomeOption, JsonOption, NatsUrlOption
from standalone.commands.progress import bars
from standalone.home import Home

if TYPE_CHECKING:
    from standalone.backup import BackedUp
    from standalone.backup_file import Manifest


def backup(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="A new file, or a folder for it.", show_default="one named by the time"),
    ] = None,
    no_check: Annotated[bool, typer.Option("--no-check", help="Do not try to restore it on the side.")] = False,
    home: HomeOption = None,
    nats_url: NatsUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the log into one file, while Memlog runs or not. The keys are not in it: see `memlog keys export`.

    The file is verified, and restored on the side, before it gets its name. Everything that is derived from the log
    (tables, index) is left out: it is built again after a restore.

    Examples:

      memlog backup

      memlog backup /mnt/backups/

      memlog backup memlog.tar --home ~/work-memory --json

      MEMLOG_NATS_USER=... MEMLOG_NATS_PASSWORD=... memlog backup --nats-url tls://nats.team.example
    """
    from standalone.backup import back_up

    named = f"memlog-backup-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar"
    target = Path(named) if file is None else file / named if file.is_dir() else file

    async def do() -> None:
        with bars() as show:
            done = await back_up(home, nats_url, target, show, check=not no_check)
        _say_backed_up(done, checked=not no_check, as_json=as_json)

    carry_out(do())


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As `memlog backup` made it.")],
    home: HomeOption = None,
    nats_url: NatsUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a backup back into an empty data folder: all of it, or nothing. Then the keys: `memlog keys import`.

    What was restored is compared with what the backup says. Tables and index are built again by the next `memlog up`.

    Examples:

      memlog restore memlog-backup-20261122T201500Z.tar --home ~/restored

      memlog keys import memlog-keys.json --home ~/restored
    """
    from standalone.backup import bring_back

    async def do() -> None:
        with bars() as show:
            done = await bring_back(home, nats_url, file, show)
        manifest, where = done.manifest, nats_url or str(Home.at(home).root)
        if as_json:
            facts = {"restored": where, "taken_at": manifest.taken_at, "without_key": done.without_key}
            typer.echo(json.dumps({**facts, **_facts(manifest)}))
            return
        typer.echo(f"Restored {_in_words(manifest)} of {manifest.taken_at} into {where}.")
        if done.without_key is None:
            typer.echo("Next: bring the keys back (memlog keys import FILE), then memlog up.")
        elif done.without_key:
            typer.echo(f"Warning: {done.without_key:,} users have no key: is there a newer export?", err=True)

    carry_out(do())


def _say_backed_up(done: "BackedUp", *, checked: bool, as_json: bool) -> None:
    manifest, warning = done.manifest, key_warning(done)
    if as_json:
        facts = {"file": str(done.file), "size": done.size, "checked": checked, "warning": warning}
        typer.echo(json.dumps({**facts, **_facts(manifest)}))
        return
    proof = "It was restored on the side, and is the same." if checked else "It was not checked."
    typer.echo(f"Backed up {_in_words(manifest)} into {done.file} ({done.size / 1e6:,.1f} MB). {proof}")
    if warning is not None:
        typer.echo(f"Warning: {warning}", err=True)


def key_warning(done: "BackedUp") -> str | None:
    """What is to be said about the keys of a backup, if anything."""
    keys = done.manifest.keys
    if keys.count == 0:
        return None
    if done.keys_exported is None:
        return (
            "the backup cannot be read without the keys, which are not in it. Whether they were exported is not known "
            f"here: an export has to cover key {keys.last_sequence} (memlog keys export)"
        )
    if done.keys_exported >= keys.last_sequence:
        return None
    since = "the keys were never exported" if done.keys_exported == 0 else "keys were made since they were exported"
    return f"{since}, and the backup cannot be read without them. Export them now: memlog keys export FILE"


def _facts(manifest: "Manifest") -> dict[str, object]:
    return {
        "shards": manifest.shards,
        "streams": {
            part.stream: {"messages": part.state["messages"], "last_sequence": part.state["last_seq"]}
            for part in manifest.streams
        },
        "keys": manifest.keys.model_dump(),
    }


def _in_words(manifest: "Manifest") -> str:
    count = Counter[str]()
    for part in manifest.streams:
        count[part.stream.split("_")[1]] += part.state["messages"]
    events, users = count["EVENTS"], count[USERS.name.split("_")[1]]
    return f"{events:,} events, {count['COMMANDS']:,} commands and {count['ACCESS']:,} accesses of {users:,} users"
