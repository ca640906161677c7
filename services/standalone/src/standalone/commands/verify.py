"""`memlog verify` and `memlog anchor`: proving that nothing of the log, or of what is derived from it, changed."""

import os
from pathlib import Path
from typing import Annotated

import typer

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

AnchorOption = Annotated[
    list[Path] | None,
    typer.Option("--anchor", metavar="FILE", help="Compare with the anchors in this file, too; may be given again."),
]


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
    from standalone import verifying

    files = anchor or []
    for file in files:
        with file_errors(file):
            file.open("rb").close()
    with verifying.board() as show:
        asked = url or os.environ.get("MEMLOG_URL")
        here = asked is None and Home.at(home).has_log()
        if here and not address_file(home).exists():
            result = verifying.of_stopped(home, files, show)
        else:
            try:
                result = verifying.of_running(memlog_at(home, asked, token), files, show, stores=not quick)
            except NotReachable:
                if not here:
                    raise
                result = verifying.of_stopped(home, files, show)
    if as_json:
        typer.echo(result.model_dump_json(indent=2, exclude_none=True))
    else:
        verifying.say(result)
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
    from contracts.verification import Anchor

    with memlog_at(home, url, token) as memlog:
        found = memlog.get("/api/v1/anchors", Anchor)
    if output is None:
        typer.echo(found.model_dump_json())
        return
    from audit import anchors

    with file_errors(output):
        anchors.append(output, found)
    heads = ", ".join(f"{head.stream} at {head.sequence}" for head in found.heads)
    typer.echo(f"Added the chain heads of {heads} to {output}.")
