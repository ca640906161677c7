"""What the commands share: options, the address of the Memlog that runs, exit statuses."""

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from standalone.home import Home
from standalone.processes import is_alive

if TYPE_CHECKING:
    from standalone.rest_client import RestClient

DEFAULT_PORT = 8765
T = TypeVar("T")


class ExitStatus(IntEnum):
    """How `memlog` ends."""

    DONE = 0
    FAILED = 1
    """Failed, or refused: stderr says why."""
    USAGE = 2
    NOT_REACHABLE = 3


HomeOption = Annotated[
    Path | None,
    typer.Option("--home", envvar="MEMLOG_HOME", help="Data folder.", show_default="the user's data folder"),
]
UrlOption = Annotated[str | None, typer.Option(help="Memlog's address.", show_default="the one running here")]
NatsUrlOption = Annotated[
    str | None,
    typer.Option(envvar="MEMLOG_NATS_URL", help="A log in no data folder: its NATS server.", show_default=False),
]


def or_of_file(token: str | None) -> str | None:
    """Where none is given, that of the file which MEMLOG_TOKEN_FILE names, as containers mount it."""
    path = os.environ.get("MEMLOG_TOKEN_FILE")
    if token is not None or not path:
        return token
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"MEMLOG_TOKEN_FILE: {path} cannot be read ({type(error).__name__})") from None


TokenOption = Annotated[
    str | None,
    typer.Option(
        envvar="MEMLOG_TOKEN",
        callback=or_of_file,
        help="Your token, where Memlog asks for one.",
        show_default="the operator's, of a Memlog that runs here",
    ),
]
UserOption = Annotated[
    str | None,
    typer.Option(envvar="MEMLOG_DEFAULT_USER", help="Whose memories.", show_default="Memlog's default user"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print Memlog's answer as JSON.")]
CategoryOption = Annotated[list[str] | None, typer.Option(metavar="NAME", help="A category; give it again for more.")]

AsOfOption = Annotated[
    str | None,
    typer.Option(metavar="WHEN", help="As of then: ISO 8601 (UTC, if it names no zone), epoch seconds, or a position."),
]


def address_file(home: Path | None) -> Path:
    """Where a Memlog that runs on this home says at which address."""
    return Home.at(home).run / "memlog.address"


def running_url(home: Path | None) -> str:
    """The address of the Memlog that runs on this home; else of MEMLOG_URL; else on this machine's MEMLOG_PORT."""
    try:
        return json.loads(address_file(home).read_text())["url"]
    except (OSError, ValueError, KeyError):
        return os.environ.get("MEMLOG_URL") or f"http://127.0.0.1:{os.environ.get('MEMLOG_PORT') or DEFAULT_PORT}"


def operators_token(home: Path | None, url: str) -> str | None:
    """The operator's token, where the Memlog that runs on this home asks for tokens and this is its address; who else
    may answer somewhere is not shown it. None when there is none, or it may not be read."""
    try:
        running = json.loads(address_file(home).read_text())
        holder = Home.at(home).holder()
        if running["url"] != url.rstrip("/") or holder is None or not is_alive(holder):
            return None
        return Path(running["admin_token_file"]).read_text().strip()
    except (OSError, ValueError, KeyError, TypeError):
        return None


def memlog_at(home: Path | None, url: str | None, token: str | None) -> "contextlib.AbstractContextManager[RestClient]":
    """The Memlog that a command is about, for the length of the block. Raises as `RestClient.connect`."""
    from standalone.rest_client import RestClient

    where = url or running_url(home)
    return RestClient.connect(where, token or operators_token(home, where))


def progress(items: Sequence[T], doing: str) -> Iterable[T]:
    """The items, with a bar on stderr while they are worked off, if there are several and somebody looks."""
    if len(items) < 2 or not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track

    return track(items, doing, console=Console(stderr=True), transient=True)
