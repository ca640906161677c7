"""`memlog reprocess`: finding facts anew in the texts that were kept."""

import time
from datetime import datetime
from typing import Annotated

import typer

from standalone.commands.options import HomeOption, JsonOption, TokenOption, UrlOption, UserOption, memlog_at
from standalone.commands.progress import bars

_PATH = "/api/v1/sources/reprocess"
_LOOK_S = 0.3


def reprocess(
    user: UserOption = None,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Texts from then on.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="ID", help="This text alone: the id of the operation that brought it.")
    ] = None,
    run: Annotated[str | None, typer.Option(metavar="ID", help="Go on watching a run that was begun before.")] = None,
    home: HomeOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find facts anew in texts that were kept, with the language model and the custom instructions of now. What is
    remembered already is not stored twice. Stopped, it goes on in Memlog.

    Examples:

      memlog reprocess --since 2026-11-01

      memlog reprocess --user ada --source 018f3a5c-3333-7000-8000-000000000003
    """
    from contracts.api import Reprocessing

    asked: dict[str, object] = {
        "user_id": user,
        "since": None if since is None else int(since.astimezone().timestamp()),
        "source_id": source,
    }
    with memlog_at(home, url, token) as memlog, bars() as show:
        body = {name: value for name, value in {**asked, "run": run}.items() if value is not None}
        found = memlog.call("POST", _PATH, Reprocessing, body)
        advance, shown = show("Reading", found.total), 0
        while found.done < found.total:
            advance(found.done - shown)
            shown = found.done
            time.sleep(_LOOK_S)
            found = memlog.get(f"{_PATH}/{found.run}", Reprocessing, **asked)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        failed = f", {found.failed} of them in vain: their operations say why" if found.failed else ""
        typer.echo(f"Read {found.done} {'text' if found.done == 1 else 'texts'} again{failed}.")
