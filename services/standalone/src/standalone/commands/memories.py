"""`memlog add`, `memlog search`, `memlog list`."""

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from contracts.errors import InvalidInput
from contracts.promises import Wait

from standalone.commands.options import (
    AsOfOption,
    CategoryOption,
    HomeOption,
    JsonOption,
    TokenOption,
    UrlOption,
    UserOption,
    memlog_at,
    progress,
)

if TYPE_CHECKING:
    from contracts.api import FoundMemory, Memory
    from rich.table import Table
    from rich.text import Text

_APP = "cli"
_SHOWN = 300
"""Characters of a text in a list."""


def add(
    text: Annotated[list[str], typer.Argument(metavar="TEXT", help="What to remember; - reads it from stdin.")],
    user: UserOption = None,
    app: Annotated[
        str | None,
        typer.Option(help="The app that the memory is filed under.", show_default=f"{_APP}, or the token's"),
    ] = None,
    category: CategoryOption = None,
    metadata: Annotated[str | None, typer.Option(help="A JSON object to keep with it.")] = None,
    key: Annotated[str | None, typer.Option(help="Idempotency key: a retry with the same one has one effect.")] = None,
    wait: Annotated[Wait, typer.Option(help="How far the write must be before the answer.")] = "searchable",
    lines: Annotated[bool, typer.Option("--lines", help="Each line is a memory of its own.")] = False,
    verbatim: Annotated[bool, typer.Option("--verbatim", help="As it is: let no language model find facts.")] = False,
    home: HomeOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remember a text. Several words are one text.

    Examples:

      memlog add I take my coffee without sugar

      memlog add --category health "My daughter is allergic to peanuts"

      pbpaste | memlog add -

      memlog add --lines --key import-1 - < notes.txt
    """
    said = sys.stdin.read() if text == ["-"] else " ".join(text)
    texts = [line for line in said.splitlines() if line.strip()] if lines else [said.removesuffix("\n")]
    body: dict[str, object] = {"wait": wait, "metadata": _metadata(metadata), "categories": category or []}
    if user is not None:
        body["user_id"] = user
    if verbatim:
        body["infer"] = False
    answers: list[dict[str, Any]] = []
    with memlog_at(home, url, token) as memlog:
        if app is not None or not memlog.says_who:
            body["app"] = app or _APP
        for number, one in enumerate(progress(texts, "Adding")):
            this = {**body, "text": one}
            if key is not None:
                this["idempotency_key"] = f"{key}:{number}" if lines else key
            if wait == "searchable" and number < len(texts) - 1:
                this["wait"] = "stored"  # they are handled in order: when the last one is searchable, all are
            answers.append(memlog.send("POST", "/api/v1/memories", body=this).json())
    if as_json:
        typer.echo(json.dumps(answers if lines else answers[0], indent=2, ensure_ascii=False))
    elif len(answers) == 1:
        typer.echo(_added(answers[0]))
    else:
        typer.echo(f"Added {len(answers)} memories.")


def _metadata(given: str | None) -> dict[str, Any]:
    try:
        value = json.loads(given or "{}")
    except ValueError as error:
        raise typer.BadParameter(f"it is not JSON: {error}", param_hint="--metadata") from None
    if not isinstance(value, dict):
        raise typer.BadParameter('it is not a JSON object, such as {"from": "chat"}', param_hint="--metadata")
    return cast("dict[str, Any]", value)


def _added(answer: dict[str, Any]) -> str:
    from contracts.api import AddedMemory, OperationResult

    if "operation_id" not in answer:
        memory = AddedMemory.model_validate(answer)
        return f"Known already, as {memory.id}" if memory.event == "NONE" else f"Remembered as {memory.id}"
    result = OperationResult.model_validate(answer)
    if result.state == "accepted":
        return f"Accepted: it is safe on disk and will be carried out (operation {result.operation_id})"
    done = {"ADD": "Remembered as", "NONE": "Known already, as", "UPDATE": "Updated", "DELETE": "Forgot"}
    said = [f"{done.get(item.event, item.event)} {item.id}" for item in result.results] or ["Nothing to remember"]
    waits = "" if result.state == "searchable" else f" (stored; {result.reason or 'searchable in a moment'})"
    return "\n".join(said) + waits


def search(
    query: Annotated[list[str], typer.Argument(metavar="QUERY", help="What to look for: a question, or words.")],
    user: UserOption = None,
    app: Annotated[
        str | None, typer.Option(help="Search as this app: find what it may see.", show_default="yourself")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 10,
    category: CategoryOption = None,
    as_of: AsOfOption = None,
    home: HomeOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find memories by meaning and by words, best first.

    Examples:

      memlog search which foods must my child avoid

      memlog search --limit 3 --category travel "aisle or window?"

      memlog search --as-of 2026-01-31 where do I work
    """
    from contracts.api import SearchResults

    with memlog_at(home, url, token) as memlog:
        found = memlog.get(
            "/api/v1/search", SearchResults,
            query=" ".join(query), user_id=user, app=app, limit=limit, categories=_names(category), as_of=as_of,
        )  # fmt: skip
    if as_json:
        typer.echo(found.model_dump_json(indent=2, exclude_none=True))
        return
    table = _table()
    for number, memory in enumerate(found.results, 1):
        table.add_row(f"{number:>3}.", f"{memory.score or 0:.2f}", _row(memory))
    _print(table)
    if not found.results:
        typer.echo("Nothing found. `memlog list` shows all memories, `memlog add` stores one.")


def list_(
    user: UserOption = None,
    query: Annotated[str | None, typer.Option(help="Only texts with this in them, any case.")] = None,
    category: CategoryOption = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Memories on a page.")] = 20,
    page: Annotated[int, typer.Option(min=1, help="Which page.")] = 1,
    as_of: AsOfOption = None,
    home: HomeOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """List memories, newest first.

    Examples:

      memlog list

      memlog list --query coffee --limit 50 --json | jq '.items[].content'

      memlog list --as-of 2026-01-31T18:00+01:00
    """
    from contracts.api import Page

    with memlog_at(home, url, token) as memlog:
        found = memlog.get(
            "/api/v1/memories", Page,
            user_id=user, search_query=query, categories=_names(category), size=limit, page=page, as_of=as_of,
        )  # fmt: skip
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    table = _table()
    for memory in found.items:
        table.add_row("-", _row(memory))
    _print(table)
    if found.total == 0:
        filtered = query is not None or category or as_of is not None
        typer.echo("No memory matches." if filtered else "No memories yet. Store one with: memlog add TEXT")
    else:
        more = f"; more with --page {page + 1}" if page < found.pages else ""
        typer.echo(f"\nPage {page} of {found.pages}, {_count(found.total, 'memory', 'memories')}{more}")


def _names(categories: list[str] | None) -> str | None:
    if any("," in name for name in categories or []):
        raise InvalidInput("a category's name has no comma here; give --category once for each")
    return ",".join(categories) if categories else None


def _row(memory: "FoundMemory | Memory") -> "Text":
    """A memory in two parts: its text, and in grey what it is."""
    from contracts.api import FoundMemory
    from rich.text import Text

    if isinstance(memory, FoundMemory):
        text, app, state = memory.memory, memory.source_app, "active"
    else:
        text, app, state = memory.content, memory.app_name, memory.state
    text = " ".join(text.split())
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"
    at = datetime.fromtimestamp(memory.created_at).astimezone().strftime("%Y-%m-%d")
    facts = " · ".join([*([] if state == "active" else [state]), *memory.categories, app, at, memory.id])
    return Text.assemble(shown, "\n", (facts, "bright_black"))


def _table() -> "Table":
    from rich.table import Table

    return Table.grid(padding=(0, 1))


def _print(table: "Table") -> None:
    from rich.console import Console

    Console(highlight=False).print(table)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
