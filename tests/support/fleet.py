"""Services as separate processes against separate servers, started by hand from environment settings: as in compose."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx
import psutil
from runtime.keys import MasterKey
from runtime.settings import Settings
from standalone.home import Home
from standalone.nats_server import nats_server
from standalone.postgres_server import postgres_server
from support.stack import eventually, free_port

MODULES = ("indexer", "audit", "memory_writer", "categorizer", "gateway")


class Nats(Protocol):
    """Where servers of NATS are reached."""

    @property
    def url(self) -> str: ...

    @property
    def monitor_url(self) -> str: ...


@dataclass(slots=True)
class Fleet:
    """The running instances by name: `gateway-0`, `gateway-1`, … Gateways listen on `ports`."""

    environment: dict[str, str]
    logs: Path
    ports: list[int] = field(default_factory=list[int])
    instances: dict[str, asyncio.subprocess.Process] = field(default_factory=dict[str, asyncio.subprocess.Process])

    def settings(self) -> Settings:
        """Of a client of the fleet's servers."""
        return Settings.model_validate(
            {
                name.removeprefix("MEMLOG_").lower(): v
                for name, v in self.environment.items()
                if name.startswith("MEMLOG_")
            }
        )

    async def start(self, module: str, number: int = 0, **settings: str) -> None:
        """Start an instance. A gateway gets a port, unless it comes back to the one that it had."""
        environment = {**self.environment, **settings}
        if module == "gateway" and f"{module}-{number}" not in self.instances:
            self.ports.append(free_port())
            environment["MEMLOG_PORT"] = str(self.ports[-1])
        elif module == "gateway":
            environment["MEMLOG_PORT"] = str(self.ports[number])
        elif module == "indexer":
            environment["MEMLOG_CACHE_PATH"] += f"-{number}"
        log = (self.logs / f"{module}-{number}.log").open("ab")
        with log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, env=environment, stdout=log, stderr=log
            )
        self.instances[f"{module}-{number}"] = process

    async def again(self, name: str, by: signal.Signals = signal.SIGTERM) -> int:
        """End an instance, if it has not ended, and start it again; the exit status of the one that ended."""
        process = self.instances[name]
        if process.returncode is None:
            process.send_signal(by)
        async with asyncio.timeout(60):
            status = await process.wait()
        module, _, number = name.rpartition("-")
        await self.start(module, int(number))
        return status

    def process(self, name: str) -> psutil.Process:
        return psutil.Process(self.instances[name].pid)

    async def stop(self) -> dict[str, int]:
        """Ask all to stop, the gateways first; exit status by name."""
        for name, process in sorted(
            self.instances.items(), key=lambda item: MODULES[::-1].index(item[0].split("-")[0])
        ):
            if process.returncode is None:
                psutil.Process(process.pid).resume()
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(60):
                    await process.wait()
            del name
        return {name: process.returncode or 0 for name, process in self.instances.items()}

    def url(self, gateway: int = 0) -> str:
        return f"http://127.0.0.1:{self.ports[gateway]}"

    @property
    def operator(self) -> dict[str, str]:
        """The header that proves the operator, where gateways ask who comes."""
        file = self.environment.get("MEMLOG_ADMIN_TOKEN_FILE")
        return {} if file is None else {"Authorization": f"Bearer {Path(file).read_text().strip()}"}

    async def ready(self) -> None:
        """Until every gateway says that all parts are well."""
        for number in range(len(self.ports)):

            async def healthy(number: int = number) -> bool:
                async with httpx.AsyncClient(base_url=self.url(number), headers=self.operator, timeout=5.0) as http:
                    try:
                        return (await http.get("/readyz")).status_code == 200
                    except httpx.TransportError:
                        return False

            await eventually(healthy, timeout=120.0)


@asynccontextmanager
async def running_fleet(
    folder: Path, copies: dict[str, int], nats: "Nats | None" = None, **settings: str
) -> AsyncGenerator[Fleet]:
    """Real servers (`nats`: those that run already), and `copies` instances of each service (1 where nothing is said),
    ready to be used."""
    logs = folder / "service-logs"
    logs.mkdir(parents=True)
    key = folder / "master.key"
    MasterKey.create(key)
    with Home.open(folder / "servers") as home:
        own = nullcontext(nats) if nats is not None else nats_server(home)
        async with own as nats, postgres_server(home) as postgres:
            inherited = {name: value for name, value in os.environ.items() if not name.startswith("MEMLOG_")}
            environment = {
                **inherited,
                "MEMLOG_NATS_URL": nats.url,
                "MEMLOG_NATS_MONITOR_URL": nats.monitor_url,
                "MEMLOG_POSTGRES_DSN": postgres.dsn,
                "MEMLOG_POSTGRES_READER_DSN": postgres.reader_dsn,
                "MEMLOG_MASTER_KEY_FILE": str(key),
                "MEMLOG_INDEX_PATH": str(folder / "index"),
                "MEMLOG_CACHE_PATH": str(folder / "cache"),
                **settings,
            }
            fleet = Fleet(environment, logs)
            try:
                for module in MODULES:
                    for number in range(copies.get(module, 1)):
                        await fleet.start(module, number)
                await fleet.ready()
                yield fleet
            finally:
                for process in fleet.instances.values():
                    if process.returncode is None:
                        process.kill()
                await asyncio.gather(*(process.wait() for process in fleet.instances.values()))
