"""All of Memlog in the foreground, as `memlog up` runs it: until Ctrl-C."""

import asyncio
import contextlib
import gc
import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import typer
from contracts.api import Health
from contracts.errors import MemlogError
from rich.console import Console
from rich.table import Table
from runtime.logging import configure_logging, open_log_file
from runtime.metrics import measuring
from runtime.service import run
from runtime.settings import Settings, load_settings
from runtime.tracing import tracing

from standalone.children import LOG_CHECK_SECONDS, bound_log
from standalone.files import write_atomically
from standalone.home import Home
from standalone.rest_client import bearer

if TYPE_CHECKING:
    from standalone.embedded import Running

_LOG = "memlog.log"
_READY_TIMEOUT = 120.0
_SAY_EVERY = 5.0


def serve_until_stopped(home: Path | None, overrides: Mapping[str, object], *, processes: bool, as_json: bool) -> None:
    """Start Memlog on this home, say where it is, and stop it in order. Raises what keeps it from serving."""
    settings = load_settings(**overrides)
    started = time.monotonic()
    with Home.open(home) as opened:
        log_file = opened.logs / _LOG
        bound_log(log_file)
        with open_log_file(log_file) as log_stream:
            configure_logging("memlog", settings.log_level, settings.log_format, log_stream)
            with tracing("supervisor"), measuring("supervisor"):
                if not as_json:
                    _say(f"Starting Memlog (data in {opened.root}) …")
                run(_up(opened, settings, started, processes, as_json))
    if not as_json:
        _say("Memlog stopped. Nothing is lost: start it again with the same command.")


async def _up(home: Home, settings: Settings, started: float, processes: bool, as_json: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stopping = asyncio.ensure_future(stop.wait())
    starting = asyncio.ensure_future(_serve(home, settings, started, processes, as_json, stopping))
    try:
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done() and stopping.done():
            starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
    finally:
        stopping.cancel()


async def _serve(
    home: Home,
    settings: Settings,
    started: float,
    processes: bool,
    as_json: bool,
    stopping: "asyncio.Future[Any]",
) -> None:
    from standalone.embedded import embedded  # after the first words: it takes the time

    address = home.run / "memlog.address"
    async with embedded(home, settings, processes=processes) as running:
        admin_token = running.settings.admin_token_file
        health = await _ready(running.url, _operator(admin_token), quiet=as_json)
        # What was loaded stays: the collector need not look through it while Memlog serves, nor once more at the end.
        gc.freeze()
        here = {"url": running.url, "pid": os.getpid(), "admin_token_file": admin_token and str(admin_token)}
        write_atomically(address, json.dumps(here))
        try:
            _announce(running, health, time.monotonic() - started, as_json)
            either = (running.ended, stopping)
            while not (await asyncio.wait(either, timeout=LOG_CHECK_SECONDS, return_when=asyncio.FIRST_COMPLETED))[0]:
                bound_log(home.logs / _LOG)
            if running.ended.done() and not stopping.done():
                running.ended.result()
        except asyncio.CancelledError:
            if not as_json:
                _say("Stopping …")
        finally:
            address.unlink(missing_ok=True)


def _operator(admin_token: Path | None) -> dict[str, str]:
    return bearer(None if admin_token is None else admin_token.read_text())


async def _ready(url: str, headers: dict[str, str], *, quiet: bool) -> Health:
    """Ready means that the gateway itself answers, over HTTP, that every part is well. Catching up with a long log may
    take its time; only when nothing moves any more for long it counts as failed."""
    # `url` is http://, on this machine: there is no certificate to look at.
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=5.0, verify=False) as http:
        said, before, deadline = time.monotonic(), "", time.monotonic() + _READY_TIMEOUT
        while True:
            down = "the gateway does not answer"
            with contextlib.suppress(httpx2.TransportError):
                health = Health.model_validate_json((await http.get("/api/v1/health")).content)
                if all(service.ok or "embedder_failure" in service.facts for service in health.services):
                    return health  # an embedder elsewhere may stay away for long: writes need not wait for it
                down = "; ".join(f"{s.service}: {s.detail}" for s in health.services if not s.ok)
            if down != before:
                deadline, before = time.monotonic() + _READY_TIMEOUT, down
            if time.monotonic() > deadline:
                raise MemlogError(f"not every part became ready: {down}")
            if not quiet and time.monotonic() - said > _SAY_EVERY:
                said = time.monotonic()
                _say(f"  not ready yet: {down}")
            await asyncio.sleep(0.05)


def _embedder(health: Health) -> str:
    failures = [service.facts["embedder_failure"] for service in health.services if "embedder_failure" in service.facts]
    if failures:
        return f"[red]{health.embedder} does not work: {failures[0]}; writes are taken, searches are not[/]"
    remote = (health.embedder or "").startswith("openai:")
    return f"{health.embedder} ({'texts are sent there' if remote else 'on this machine, no key'})"


def _announce(running: "Running", health: Health, seconds: float, as_json: bool) -> None:
    if as_json:
        facts = {"url": running.url, "home": str(running.home.root), "embedder": health.embedder, "seconds": seconds}
        typer.echo(json.dumps(facts))
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"\n[bold green]Memlog is ready[/] at [bold]{running.url}[/]  ({seconds:.1f} s)\n")
    table = Table.grid(padding=(0, 2))
    table.add_row("Dashboard", f"{running.url}/ (open it in a browser)")
    table.add_row("REST", f"{running.url}/docs")
    table.add_row("Data", str(running.home.root))
    table.add_row("Embedder", _embedder(health))
    table.add_row("Index", f"{health.index}")
    table.add_row("LLM", f"{health.llm} (texts are sent there)" if health.llm else "none (texts stay as they are)")
    if running.settings.auth == "off":
        table.add_row("Access", "no authentication (only this machine can connect)")
    else:
        table.add_row("Access", f"with a token; the operator's is in {running.settings.admin_token_file}")
    table.add_row("Back up", "memlog backup, and to another place memlog keys export: useless without each other")
    console.print(table)
    console.print("\nConnect a client (MCP):")
    _clients(console, running.url, running.settings)
    console.print("\nTry it from another terminal:  memlog add TEXT   memlog search QUERY   memlog --help")
    console.print("\nPress Ctrl-C to stop.")


def _clients(console: Console, url: str, settings: Settings) -> None:
    user = settings.default_user
    if settings.auth == "off":
        console.print(f"  Claude Code   claude mcp add -s user -t http memlog {url}/mcp/claude/http/{user}")
        console.print(f"  any client    {url}/mcp/<client name>/http/{user}   or   {url}/mcp")
        console.print(f"  HTTP+SSE      {url}/mcp/<client name>/sse/{user}")
        console.print("  stdio         memlog mcp --client <client name>")
        return
    header = "Authorization: Bearer <token>"
    console.print("  first         memlog token issue --app <client name>")
    console.print(f'  Claude Code   claude mcp add -s user -t http memlog {url}/mcp --header "{header}"')
    console.print(f"  any client    {url}/mcp   with the header   {header}")
    console.print(f"  HTTP+SSE      {url}/mcp/<client name>/sse/{user}   with the header   {header}")
    console.print("  stdio         MEMLOG_TOKEN=<token> memlog mcp")
    from gateway.listening import is_loopback  # loaded since it serves

    if not is_loopback(settings.host):
        names = ", ".join(settings.allowed_hosts) or "none yet"
        console.print(f"  others        by a name in MEMLOG_ALLOWED_HOSTS ({names}), through a proxy that speaks TLS")


def _say(text: str) -> None:
    Console(highlight=False, soft_wrap=True, markup=False).print(text)
