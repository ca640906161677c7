"""`memlog up`: all of Memlog on this machine, until Ctrl-C."""

from typing import Annotated

import typer

from standalone.commands.options import HomeOption


def up(
    home: HomeOption = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on (MEMLOG_HOST).", show_default="127.0.0.1")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (MEMLOG_PORT).", show_default="8765")] = None,
    processes: Annotated[bool, typer.Option("--processes", help="Run each service as a process of its own.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Say where it listens as one line of JSON.")] = False,
) -> None:
    """Start all of Memlog here, until Ctrl-C. No Docker, no root, no key.

    Examples:

      memlog up

      MEMLOG_PORT=9000 memlog up --home ~/work-memory
    """
    overrides = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    from standalone.foreground import serve_until_stopped

    serve_until_stopped(home, overrides, processes=processes, as_json=as_json)
