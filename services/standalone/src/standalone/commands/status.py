"""`memlog status`: whether Memlog runs, and how each part is."""

from typing import TYPE_CHECKING

import typer

from standalone.commands.options import ExitStatus, HomeOption, JsonOption, TokenOption, UrlOption, memlog_at

if TYPE_CHECKING:
    from contracts.api import Health


def status(
    home: HomeOption = None, url: UrlOption = None, token: TokenOption = None, as_json: JsonOption = False
) -> None:
    """Show whether Memlog runs, and how each part is. Exit status 1 when something is down.

    Examples:

      memlog status

      memlog status --json | jq .positions
    """
    from contracts.api import Health

    with memlog_at(home, url, token) as memlog:
        health = memlog.get("/api/v1/health", Health)
    if as_json:
        typer.echo(health.model_dump_json(indent=2))
    else:
        _show(memlog.url, health)
    raise typer.Exit(ExitStatus.DONE if health.status == "ok" else ExitStatus.FAILED)


def _show(address: str, health: "Health") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    colour = {"ok": "green", "degraded": "yellow", "unavailable": "red"}[health.status]
    console.print(f"Memlog {health.version} at {address}: [bold {colour}]{health.status}[/]")
    table = Table.grid(padding=(0, 2))
    for service in health.services:
        table.add_row("", service.service, "[green]ok[/]" if service.ok else "[red]down[/]", service.detail or "")
    console.print(table)
    console.print(f"  embedder {health.embedder or '-'}, index {health.index or '-'}, LLM {health.llm or 'none'}")
