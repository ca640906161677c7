"""Memlog as deploy/compose.yaml and the images declare it, without containers: each service from exactly its command,
environment and user, against real servers with the configuration that compose mounts. Only where something is differs:
names of hosts, ports, and the folders behind mounts.

Qdrant is the server that MEMLOG_QDRANT_URL names; without one, the indexer keeps its index in a folder.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import httpx
import yaml
from contracts_index.adapters import SERVER_URL
from standalone.home import Home
from standalone.nats_server import nats_binary
from standalone.postgres_files import postgres_binaries
from standalone.postgres_server import postgres_server
from support.image_file import Image, images
from support.stack import eventually, free_port

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SERVICES = ("memory-writer", "audit", "indexer", "categorizer", "gateway")
_SECRETS, _STATE, _GRAPH = "/run/secrets", "/var/lib/memlog", "/opt/memlog/graph"
_HEALTHY_S = 60.0


def compose() -> dict[str, Any]:
    """deploy/compose.yaml, with its variables at their defaults."""

    def default(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else match[2]

    text = re.sub(r"\$\$|\$\{(\w+):-([^}]*)\}", default, (DEPLOY / "compose.yaml").read_text())
    return yaml.safe_load(text)


@dataclass(slots=True)
class Composed:
    """The running services. `url` is the gateway's, `secrets` the folder that `make env` made."""

    folder: Path
    nats_port: int
    monitor_port: int
    postgres_socket: str
    file: dict[str, Any] = field(default_factory=compose)
    images: dict[str, Image] = field(default_factory=lambda: images(DEPLOY / "Dockerfile"))
    port: int = field(default_factory=free_port)
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict[str, asyncio.subprocess.Process])
    _ops: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    @property
    def admin_token(self) -> str:
        return (self.secrets / "admin_token").read_text().strip()

    def log_of(self, service: str) -> str:
        return (self.folder / "logs" / f"{service}.log").read_text()

    def postgres_dsn(self, role: str) -> str:
        """Of a role of deploy/postgres/roles.sql, with its password."""
        return (self.secrets / f"postgres_{role}_dsn").read_text().strip()

    def nats_password(self, user: str) -> str:
        return (self.secrets / f"nats_{user.replace('-', '_')}_password").read_text().strip()

    def environment(self, service: str) -> dict[str, str]:
        """What the container's process is given, and nothing of this process's own."""
        declared = self.images[service].environment | cast(
            "dict[str, str]", self.file["services"][service]["environment"]
        )
        ops = self._ops.setdefault(service, free_port())
        where = {
            "nats://nats:4222": f"nats://127.0.0.1:{self.nats_port}",
            "http://nats:8222": f"http://127.0.0.1:{self.monitor_port}",
            "http://otel-collector:4318": "http://127.0.0.1:9",  # nobody is there: nothing may depend on it
            "http://gateway:8765": self.url,
            "0.0.0.0": "127.0.0.1",
            "9464": str(ops),
        }
        here = {name: self._path(service, where.get(value, value)) for name, value in declared.items()}
        here |= {
            "MEMLOG_SECRETS_PATH": str(self.secrets),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
        }
        if service == "gateway":
            here["MEMLOG_PORT"] = str(self.port)
        if service == "indexer":
            del here["MEMLOG_QDRANT_URL"]
            here |= _index(self.folder / "state" / service)
        return here

    def _path(self, service: str, value: str) -> str:
        state = self.folder / "state" / service
        for mounted, here in ((_SECRETS, self.secrets), (_STATE, state), (_GRAPH, state / "graph")):
            if value == mounted or value.startswith(f"{mounted}/"):
                return f"{here}{value[len(mounted) :]}"
        return value

    async def run(self, service: str, *command: str) -> asyncio.subprocess.Process:
        """Start a command as the service's container would: its user, its environment, its folder."""
        state = self.folder / "state" / service
        uid, gid = (int(part) for part in self.images[service].user.split(":"))
        if not state.exists():
            state.mkdir(parents=True)
            if os.geteuid() == 0:
                os.chown(state, uid, gid)
        with (self.folder / "logs" / f"{service}.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *_as_user(uid, gid), *command, env=self.environment(service), cwd=state, stdout=log, stderr=log
            )

    async def up(self) -> None:
        """Start all, each when those that it depends on are healthy, as compose does; until all are."""
        well = {service: asyncio.Event() for service in SERVICES}

        async def start(service: str) -> None:
            for needed in self.file["services"][service]["depends_on"]:
                if needed in well:
                    await well[needed].wait()
            image = self.images[service]
            self.processes[service] = await self.run(service, *image.entrypoint, *image.command)
            await self.healthy(service)
            well[service].set()

        async with asyncio.TaskGroup() as tasks:
            for service in SERVICES:
                tasks.create_task(start(service))

    async def healthy(self, service: str) -> None:
        """Until the image's health check says so."""
        health = self.images[service].health
        assert health

        async def answers() -> bool:
            process = self.processes[service]
            assert process.returncode is None, f"{service} ended with {process.returncode}:\n{self.log_of(service)}"
            try:
                return (await http.get("/readyz")).status_code == 200
            except httpx.TransportError:
                return False

        # A process for each question would take the time in which the services start.
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._ops[service]}") as http:
            await eventually(answers, timeout=_HEALTHY_S)
        assert await (await self.run(service, *health)).wait() == 0, self.log_of(service)

    async def down(self) -> dict[str, int]:
        """Those first that depend on others, within the time that compose gives them. Exit status by name."""
        for service in sorted(self.processes, key=SERVICES.index, reverse=True):
            process = self.processes[service]
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(float(self.file["services"][service]["stop_grace_period"].removesuffix("s"))):
                await process.wait()
        return {service: process.returncode or 0 for service, process in self.processes.items()}


@asynccontextmanager
async def composed(folder: Path) -> AsyncGenerator[Composed]:
    """The servers of compose.yaml with their configuration; `up` starts the services. All is gone afterwards: asked to
    stop as `docker compose down` does, the gateway first."""
    made = await asyncio.create_subprocess_exec(
        sys.executable, DEPLOY / "env.py", folder, stdout=asyncio.subprocess.DEVNULL
    )
    assert await made.wait() == 0
    # The services have another user: they may pass, and find the way to what is theirs.
    for passed in (folder, folder / "secrets"):
        passed.chmod(0o755)
    (folder / "logs").mkdir()
    async with nats_of_compose(folder) as (port, monitor), postgres_of_compose(folder) as socket:
        here = Composed(folder, port, monitor, socket)
        try:
            yield here
            assert await here.down() == dict.fromkeys(here.processes, 0)
        finally:
            for process in here.processes.values():
                if process.returncode is None:
                    process.kill()
            await asyncio.gather(*(process.wait() for process in here.processes.values()))


@asynccontextmanager
async def nats_of_compose(folder: Path) -> AsyncGenerator[tuple[int, int]]:
    """nats-server on deploy/nats/nats.conf with the passwords of `folder`; its ports. Its log is `nats.log`."""
    config, data = folder / "nats", folder / "nats-data"
    config.mkdir()
    data.mkdir()
    text = (DEPLOY / "nats" / "nats.conf").read_text()
    for declared, here in (
        ('"0.0.0.0:4222"', '"127.0.0.1:-1"'),
        ('"0.0.0.0:8222"', '"127.0.0.1:-1"'),
        ("/data", f"{data}"),
    ):
        assert declared in text, f"nats.conf does not hold {declared} any more"
        text = text.replace(declared, here)
    (config / "nats.conf").write_text(text)
    shutil.copy(DEPLOY / "nats" / "accounts.conf", config)
    shutil.copy(folder / "secrets" / "nats_passwords.conf", config / "passwords.conf")
    process = await asyncio.create_subprocess_exec(
        *(nats_binary(), "--config", config / "nats.conf", "--ports_file_dir", config, "--log", folder / "nats.log"),
        env={**os.environ, "MAX_FILE_STORE": "1TB"},
    )
    try:

        async def ports() -> tuple[int, int] | None:
            assert process.returncode is None, (folder / "nats.log").read_text()
            try:
                said = json.loads((config / f"nats-server_{process.pid}.ports").read_text())
            except (OSError, ValueError):
                return None
            return _port(said["nats"][0]), _port(said["monitoring"][0])

        yield await eventually(ports, timeout=30.0)
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def postgres_of_compose(folder: Path) -> AsyncGenerator[str]:
    """PostgreSQL after deploy/postgres/roles.sql ran with the passwords of `folder`, twice, as it may; the folder
    of its socket. The DSN files of `folder` lead there afterwards."""
    with Home.open(folder / "postgres-home") as home:
        async with postgres_server(home) as server:
            socket = home.socket_folder()
            # Services have other users. PostgreSQL listens on a socket here, on an address in its container.
            for passed in (socket, *(parent for parent in socket.parents if parent.is_relative_to(home.root))):
                passed.chmod(0o755)
            for door in socket.glob(".s.PGSQL.*"):
                door.chmod(0o777)
            superuser = json.loads((home.postgres / "passwords.json").read_text())["superuser"]
            port = server.dsn.rpartition("port=")[2]
            for _ in range(2):
                psql = await asyncio.create_subprocess_exec(
                    *(postgres_binaries() / "psql", "--no-psqlrc", "-q", "-v", "ON_ERROR_STOP=1"),
                    *("-h", socket, "-p", port, "-U", "postgres", "-d", "postgres"),
                    *("-f", DEPLOY / "postgres" / "roles.sql"),
                    env={"PATH": os.defpath, "PGPASSWORD": superuser, "MEMLOG_SECRETS": str(folder / "secrets")},
                    stderr=asyncio.subprocess.PIPE,
                )
                _, said = await psql.communicate()
                assert psql.returncode == 0, said.decode()
            for role in ("audit", "gateway"):
                file = folder / "secrets" / f"postgres_{role}_dsn"
                user, _, rest = file.read_text().rpartition("@postgres/")
                file.chmod(0o644)
                file.write_text(f"{user}@/{rest.strip()}?{urlencode({'host': str(socket), 'port': port}, safe='/')}\n")
            yield str(socket)


def _index(state: Path) -> Mapping[str, str]:
    if not SERVER_URL:
        return {"MEMLOG_INDEX_PATH": str(state / "index")}
    return {"MEMLOG_QDRANT_URL": SERVER_URL, "MEMLOG_QDRANT_COLLECTION": f"composed-{os.getpid()}"}


def _as_user(uid: int, gid: int) -> tuple[str, ...]:
    """As root, become the image's user, who can read everything (where the interpreter is, others may not), and write
    only what is its own. Otherwise this user has to do."""
    if os.geteuid() != 0:
        return ()
    reads = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search")
    return ("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *reads, "--no-new-privs")


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])
