"""A whole Memlog as a user starts it: `memlog up` in a process tree of its own, on a fresh home and a free port."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
from mcp import Client
from mcp_types import Implementation

WIRES = {"2026-07-28": "2026-07-28", "2025-11-25": "legacy"}
"""Spec revision → the SDK client's mode for it."""
_READY_S = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass(slots=True)
class Stack:
    """One Memlog. `start()` again after `kill()` or `stop()` continues on the same home."""

    home: Path
    port: int
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    options: tuple[str, ...] = ()
    ready: dict[str, Any] = field(default_factory=dict[str, Any])
    _process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self, within: float = _READY_S) -> None:
        """Start and wait until it says that it is ready, at most `within` seconds. Raises AssertionError with its words
        when it is not."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "standalone",
            "up",
            "--json",
            *self.options,
            env={**_environment(), "MEMLOG_HOME": str(self.home), "MEMLOG_PORT": str(self.port), **self.settings},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(within):
            line = await self._process.stdout.readline()
        if not line:
            _, said = await self._process.communicate()
            raise AssertionError(f"memlog did not start: {said.decode()}\n{self.log_tail()}")
        self.ready = json.loads(line)

    async def kill(self) -> None:
        """Kill -9 of the whole tree at once."""
        assert self._process is not None
        victims = [*psutil.Process(self.pid).children(recursive=True), psutil.Process(self.pid)]
        for victim in victims:
            try:
                os.kill(victim.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        await self._process.wait()
        await asyncio.to_thread(psutil.wait_procs, victims, 60)

    async def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ask it to stop, as Ctrl-C does; the exit status."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        async with asyncio.timeout(60):
            await self._process.communicate()
        assert self._process.returncode is not None
        return self._process.returncode

    def part(self, name: str) -> int | None:
        """The pid of a supervised part (`indexer`, `nats-server`, `postgres`, …), None while it is down."""
        try:
            pid: int = json.loads((self.home / "run" / f"{name}.json").read_text())["child"]["pid"]
            return pid if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE else None
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None

    def log_tail(self, lines: int = 15) -> str:
        path = self.home / "logs" / "memlog.log"
        return "\n".join(path.read_text().splitlines()[-lines:]) if path.exists() else ""

    def cut_off(self) -> list[str]:
        """What did not end by itself when it was asked to, so that it had to be ended, by the log."""
        return [line for line in self.log_tail(200).splitlines() if '_cut_off"' in line or '"child_killed"' in line]

    def processes(self) -> list[psutil.Process]:
        return [psutil.Process(self.pid), *psutil.Process(self.pid).children(recursive=True)]

    def mcp(self, revision: str = "2026-07-28", path: str = "/mcp", name: str = "test client") -> Client:
        """A client of the SDK on this revision's wire."""
        return Client(
            f"{self.url}{path}",
            mode=WIRES[revision],
            client_info=Implementation(name=name, version="1"),
            read_timeout_seconds=60,
        )

    @asynccontextmanager
    async def http(self) -> AsyncGenerator[httpx.AsyncClient]:
        async with httpx.AsyncClient(base_url=self.url, timeout=60.0) as client:
            yield client


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("MEMLOG_")}


@asynccontextmanager
async def running_stack(home: Path, *options: str, **settings: str) -> AsyncGenerator[Stack]:
    """A started stack, stopped (or killed) at the end, whatever happened. `options` are those of `memlog up`."""
    stack = Stack(home, free_port(), settings, options)
    await stack.start()
    try:
        yield stack
    finally:
        if psutil.pid_exists(stack.pid):
            try:
                await stack.stop()
            except TimeoutError:
                await stack.kill()


T = TypeVar("T")


async def eventually(probe: Callable[[], Awaitable[T | None]], timeout: float = 60.0) -> T:
    """What `probe` says once it says something true; fails after `timeout` seconds."""
    async with asyncio.timeout(timeout):
        while not (found := await probe()):  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.02)
    return found


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """A tool's structured result; an error of the tool fails the test."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content
