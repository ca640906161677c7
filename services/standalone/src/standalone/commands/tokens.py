"""`memlog token`: who may use this Memlog, where it asks for tokens."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from contracts.ids import OWNER_APP

from standalone.commands.options import HomeOption, JsonOption, TokenOption, UrlOption, UserOption, memlog_at

if TYPE_CHECKING:
    from contracts.tokens import IssuedToken, ScopeName, TokenView

_PATH = "/api/v1/tokens"
_OF_CLIENTS: "tuple[ScopeName, ...]" = ("read", "write")

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Tokens let clients and people in, where Memlog asks for them (MEMLOG_AUTH=token). Each belongs to a user and "
    "a client, and holds what it may do: read, write, delete, admin. None of these includes another.",
    epilog="Let a client in: memlog token issue --app cursor\n\nShut it out again, at once: memlog token revoke ID",
)


def _scopes(given: str | None, client: str) -> "list[ScopeName]":
    from contracts.tokens import SCOPES

    if given is None:
        return [*(SCOPES if client == OWNER_APP else _OF_CLIENTS)]
    named = {name.strip() for name in given.split(",")}
    if not named <= {*SCOPES}:
        raise typer.BadParameter(f"choose from {', '.join(SCOPES)}; several with commas", param_hint="--scopes")
    return [scope for scope in SCOPES if scope in named]


@app.command()
def issue(
    client: Annotated[
        str, typer.Option("--app", help="The client that it is for; dashboard: you, who see all that is yours.")
    ] = OWNER_APP,
    scopes: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="What it may do: read, write, delete, admin; several with commas.",
            show_default="read,write for a client; all for dashboard",
        ),
    ] = None,
    label: Annotated[str, typer.Option(help="What you will know it by, such as the machine.")] = "",
    days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="It expires after so many.", show_default="never")
    ] = None,
    user: UserOption = None,
    home: HomeOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token, and show it: once, since Memlog keeps only its hash.

    Examples:

      memlog token issue --app cursor --label "laptop"

      memlog token issue --app claude --scopes read,write,delete --days 90

      memlog token issue --user ada --label "Ada herself"
    """
    from contracts.tokens import IssuedToken

    body: dict[str, object] = {"app": client, "scopes": _scopes(scopes, client), "label": label}
    body |= {name: value for name, value in (("user_id", user), ("expires_in", days)) if value is not None}
    with memlog_at(home, url, token) as memlog:
        issued = memlog.call("POST", _PATH, IssuedToken, body)
    if as_json:
        typer.echo(issued.model_dump_json(indent=2))
    else:
        _show(issued, memlog.url)


@app.command("list")
def list_(
    user: UserOption = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Tokens on a page.")] = 50,
    page: Annotated[int, typer.Option(min=1, help="Which page.")] = 1,
    home: HomeOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """List a user's tokens, newest first: never the tokens themselves, which nobody knows but who holds them.

    Examples:

      memlog token list

      memlog token list --user ada --json | jq '.items[] | select(.state == "active")'
    """
    from contracts.tokens import TokenPage

    with memlog_at(home, url, token) as memlog:
        found = memlog.get(_PATH, TokenPage, user_id=user, page=page, size=limit)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    if not found.items:
        typer.echo("No tokens. Make one with: memlog token issue --app CLIENT")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for each in found.items:
        about = Text.assemble((each.app, "bold"), f"  {_state(each)}", f"  {each.label}" if each.label else "")
        facts = f"{', '.join(each.scopes)} · issued {_day(each.created_at)} by {each.created_by}"
        table.add_row(each.id, Text.assemble(about, "\n", (facts, "bright_black")))
    console = Console(highlight=False)
    console.print(table)
    more = f"; more with --page {page + 1}" if page < found.pages else ""
    console.print(f"\nPage {page} of {found.pages}, {found.total} in all{more}. Shut one out: memlog token revoke ID")


@app.command()
def revoke(
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="As `memlog token list` shows it.")],
    user: UserOption = None,
    home: HomeOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make tokens count no more: from the answer on, everywhere, for good.

    Examples:

      memlog token revoke 019aaf2b3c4d7e8f90a1b2c3d4e5f607
    """
    with memlog_at(home, url, token) as memlog:
        for token_id in ids:
            answer = memlog.send("DELETE", f"{_PATH}/{token_id}", params={"user_id": user})
            typer.echo(answer.text if as_json else f"{token_id} counts no more.")


def _show(issued: "IssuedToken", url: str) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, markup=False)
    until = "does not expire" if issued.expires_at is None else f"until {_day(issued.expires_at)}"
    console.print(f"A token for {issued.app} of {issued.user_id} ({', '.join(issued.scopes)}; {until}):\n")
    console.print(f"  {issued.token}\n")
    console.print("It is shown this once: keep it as you keep a password.\n")
    if issued.app == OWNER_APP:
        console.print(f"  here     MEMLOG_TOKEN=<token> memlog list --url {url}")
        console.print(f'  REST     curl -H "Authorization: Bearer <token>" {url}/api/v1/memories')
    else:
        header = '--header "Authorization: Bearer <token>"'
        console.print(f"  Claude Code   claude mcp add -s user -t http memlog {url}/mcp {header}")
        console.print(f"  any client    {url}/mcp   with the header   Authorization: Bearer <token>")
        console.print(f"  stdio         MEMLOG_TOKEN=<token> memlog mcp --url {url}")
    console.print(f"\nShut it out again, at once and everywhere: memlog token revoke {issued.id}")


def _state(token: "TokenView") -> str:
    if token.state == "active" and token.expires_at is not None:
        return f"until {_day(token.expires_at)}"
    at = token.revoked_at if token.state == "revoked" else token.expires_at
    return token.state if at is None else f"{token.state} {_day(at)}"


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d")
