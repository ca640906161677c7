"""Memlog as its user starts it, in a process tree of its own, and what that tree costs."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psutil
from contracts.positions import Position
from contracts.streams import SERVING_PROJECTIONS

from bench.wire import Connection

ROLES = ("services", "indexer", "nats-server", "postgres")
"""`services` is gateway, memory-writer, categorizer and audit, with their supervisor: one process when embedded."""
_MODULES = ("indexer", "audit", "memory_writer", "categorizer", "gateway")
_SUPERVISOR = "supervisor"
_READY_S = 90.0
_STOP_S = 20.0
_POLL_S = 0.1


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass(slots=True)
class Server:
    """One Memlog on a home. `start()` again after `stop()` or `kill()` continues on it. `settings` are MEMLOG_*
    variables; with `processes` each service is a process of its own."""

    home: Path
    port: int = field(default_factory=free_port)
    processes: bool = False
    settings: dict[str, str] = field(default_factory=dict[str, str])
    _process: asyncio.subprocess.Process | None = None

    async def start(self, within: float = _READY_S) -> float:
        """Start, and wait until it says that it is ready, which is when reads see all of the log; seconds taken.
        Raises RuntimeError with its words, TimeoutError."""
        started = time.perf_counter()
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "standalone", "up", "--json", *(["--processes"] if self.processes else [])),
            env=self._environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(within):
            line = await self._process.stdout.readline()
        if not line:
            _, said = await self._process.communicate()
            raise RuntimeError(f"memlog did not start: {said.decode()}")
        return time.perf_counter() - started

    def _environment(self) -> dict[str, str]:
        """This process's, but for what would make Memlog another one than a user's: settings, and byte code that is
        not kept from one start to the next. It is kept among the homes, so that a run's first start finds none."""
        dropped = ("MEMLOG_", "PYTHONDONTWRITEBYTECODE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        return kept | {
            "MEMLOG_HOME": str(self.home),
            "MEMLOG_PORT": str(self.port),
            "PYTHONPYCACHEPREFIX": str(self.home.parent / "bytecode"),
            **self.settings,
        }

    async def stop(self) -> None:
        """Ask it to stop, as Ctrl-C does; killed when it does not."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(_STOP_S):
                await self._process.communicate()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """Kill -9 of the whole tree at once."""
        assert self._process is not None
        victims = self.tree()
        for victim in victims:
            try:
                os.kill(victim.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        await self._process.wait()
        await asyncio.to_thread(psutil.wait_procs, victims, 10)

    def tree(self) -> list[psutil.Process]:
        assert self._process is not None
        root = psutil.Process(self._process.pid)
        return [root, *root.children(recursive=True)]

    def memory_mb(self) -> dict[str, float]:
        """PSS by role: shared pages are counted once, divided among those who share them."""
        parts = self.memory_of_parts_mb()
        return {role: round(sum(mb for part, mb in parts.items() if _role(part) == role), 1) for role in ROLES}

    def memory_of_parts_mb(self) -> dict[str, float]:
        """PSS by program; those of PostgreSQL count as one."""
        kilobytes: Counter[str] = Counter()
        for process in self.tree():
            kilobytes[self._part(process)] += _pss_kb(process.pid)
        return {part: round(count / 1024, 1) for part, count in kilobytes.items()}

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time so far by role. A PostgreSQL worker that ended meanwhile counts with its parent."""
        seconds: dict[str, float] = dict.fromkeys(ROLES, 0.0)
        for process in self.tree():
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            role = _role(self._part(process))
            seconds[role] += times.user + times.system
            if role == "postgres":
                seconds[role] += times.children_user + times.children_system
        return seconds

    def _part(self, process: psutil.Process) -> str:
        assert self._process is not None
        if process.pid == self._process.pid:
            return _SUPERVISOR
        try:
            name, command = process.name(), process.cmdline()
        except psutil.NoSuchProcess:
            return "postgres"  # the only one whose processes come and go
        module = next((module for module in _MODULES if module in command), None)
        return module or ("nats-server" if name.startswith("nats-server") else "postgres")

    async def until_searchable(self, user: str, operation: str, timeout: float = 600.0) -> None:
        """Wait until an accepted write, and so all before it, is searchable. Raises TimeoutError."""
        connection = await Connection.open("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    asked = f"/api/v1/operations/{operation}?user_id={quote(user)}"
                    position = (await connection.get(asked)).json()["position"]
                    if position is not None:
                        break
                    await asyncio.sleep(_POLL_S)
                wanted = Position.parse(position)
                while True:
                    positions = (await connection.get("/api/v1/health")).json()["positions"]
                    at = [Position.parse(positions[f"{name}.{wanted.shard}"]) for name in SERVING_PROJECTIONS]
                    if min(at) >= wanted:
                        return
                    await asyncio.sleep(_POLL_S)
        finally:
            connection.close()


@asynccontextmanager
async def running(
    home: Path, *, processes: bool = False, settings: dict[str, str] | None = None
) -> AsyncGenerator[Server]:
    """A started Memlog, stopped at the end. `settings` are MEMLOG_* variables."""
    server = Server(home, processes=processes, settings=settings or {})
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def _role(part: str) -> str:
    if part in ROLES:
        return part
    return "services"


def _pss_kb(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)
