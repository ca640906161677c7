"""Memlog as the overlay `single` of deploy/k8s declares it, without Kubernetes: each service from exactly its image's
command, its manifest's environment and user, against real servers with the configuration and the secrets of the
manifests. Only where something is differs, as in `support.composed`. As in a cluster, all start at once, and what ends
is started again.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from support.composed import Composed, nats_of_compose, postgres_of_compose
from support.kustomize import Object, containers
from support.manifests import SERVICES, environment, image_of, made_secrets, named, pod_of, secrets_used
from support.stack import eventually, free_port

OVERLAY = "single"


class Pods(Composed):
    """The running services. `probed` asks as the kubelet does."""

    def environment(self, service: str) -> dict[str, str]:
        """What the container's process is given, and nothing of this process's own."""
        told = super().environment(service)  # where things are
        ours = {name: value for name, value in told.items() if not name.startswith(("MEMLOG_", "OTEL_"))}
        declared = image_of(service).environment | environment(OVERLAY, service)
        state = self.folder / "state" / service
        for name, value in declared.items():
            here = re.sub("^/run/secrets", str(self.secrets_of(service)), value)
            here = re.sub("^/var/lib/memlog", str(state), here)
            here = re.sub("^/opt/memlog/graph", str(state / "graph"), here)
            here = here.replace("nats-0.nats:4222", f"127.0.0.1:{self.nats_port}")
            here = here.replace("nats-0.nats:8222", f"127.0.0.1:{self.monitor_port}")
            ours[name] = here if name == "PATH" else here.replace("0.0.0.0", "127.0.0.1")
        ours |= {"PATH": told["PATH"], "MEMLOG_SECRETS_PATH": str(self.secrets_of(service))}
        ours["MEMLOG_OPS_PORT"] = told["MEMLOG_OPS_PORT"]
        if service == "gateway":
            ours["MEMLOG_PORT"] = str(self.port)
        if service == "indexer":
            del ours["MEMLOG_QDRANT_URL"]
            ours |= {name: told[name] for name in told if name.startswith(("MEMLOG_INDEX", "MEMLOG_QDRANT_U"))}
        return ours

    def secrets_of(self, service: str) -> Path:
        """What the pod's /run/secrets is."""
        folder = self.folder / f"secrets-of-{service}"
        if not folder.exists():
            folder.mkdir()
            for name, key, path in secrets_used(named(OVERLAY, "Deployment", service)):
                assert path is not None
                text = made_secrets()[name]["stringData"][key]
                if key == "dsn":  # which leads to the server's socket here
                    text = self.postgres_dsn(name.rpartition("-")[2])
                (folder / Path(path).name).write_text(text)
        return folder

    async def probed(self, service: str, probe: str) -> httpx.Response:
        """The answer to a probe of its manifest."""
        [container] = containers(named(OVERLAY, "Deployment", service))
        asked: Object = container[probe]["httpGet"]
        assert asked["port"] == "ops"
        port = self.environment(service)["MEMLOG_OPS_PORT"]
        async with httpx.AsyncClient(timeout=container[probe]["timeoutSeconds"]) as http:
            return await http.get(f"http://127.0.0.1:{port}{asked['path']}")

    async def all_started(self) -> None:
        """Until each startup probe says so; what has ended meanwhile is started again."""

        async def started(service: str) -> bool:
            process = self.processes.get(service)
            if process is None or process.returncode is not None:
                image = self.images[service]
                self.processes[service] = await self.run(service, *image.entrypoint, *image.command)
            try:
                return (await self.probed(service, "startupProbe")).status_code == 200
            except httpx.TransportError:
                await asyncio.sleep(0.2)
                return False

        await asyncio.gather(*(eventually(lambda service=service: started(service)) for service in SERVICES))

    async def terminated(self, service: str) -> int:
        """The exit status of a service that is told to stop, and is given as long as its manifest says."""
        self.processes[service].terminate()
        async with asyncio.timeout(pod_of(named(OVERLAY, "Deployment", service))["terminationGracePeriodSeconds"]):
            return await self.processes[service].wait()


@asynccontextmanager
async def running_pods(folder: Path) -> AsyncGenerator[Pods]:
    """All services of the overlay, started; all is gone afterwards."""
    secrets = folder / "secrets"
    secrets.mkdir()
    (folder / "logs").mkdir()
    for passed in (folder, secrets):
        passed.chmod(0o755)
    made = made_secrets()
    (secrets / "nats_passwords.conf").write_text(made["memlog-nats"]["stringData"]["passwords.conf"])
    (secrets / "admin_token").write_text(made["memlog-operator"]["stringData"]["admin_token"])
    for role in ("audit", "gateway"):
        given = made[f"memlog-postgres-{role}"]["stringData"]
        (secrets / f"postgres_{role}_password").write_text(given["password"])
        (secrets / f"postgres_{role}_dsn").write_text(given["dsn"].replace("@postgres-rw:5432/", "@postgres/"))
    async with nats_of_compose(folder) as (port, monitor), postgres_of_compose(folder) as socket:
        here = Pods(folder, port, monitor, socket, port=free_port())
        try:
            await here.all_started()
            yield here
        finally:
            for process in here.processes.values():
                if process.returncode is None:
                    process.kill()
            await asyncio.gather(*(process.wait() for process in here.processes.values()))
