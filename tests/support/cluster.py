"""A NATS cluster of three real servers with streams of three replicas, and services beside it that use all of them."""

import asyncio
import json
import os
import secrets
import shutil
import signal
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from standalone.children import Child, ChildSpec, start
from standalone.files import write_atomically
from standalone.home import Home
from standalone.nats_server import nats_binary
from support.stack import eventually, free_port

_NODES = 3
_USER = "memlog"
_READY_S = 60.0


@dataclass(slots=True)
class Node:
    """One server of the cluster: it keeps its ports, so that clients and the others find it again."""

    name: str
    home: Home
    port: int
    monitor_port: int
    route_port: int
    child: Child | None = None

    @property
    def monitor_url(self) -> str:
        return f"http://127.0.0.1:{self.monitor_port}"

    async def ask(self, path: str) -> dict[str, Any]:
        async with httpx.AsyncClient(timeout=5.0) as http:
            return (await http.get(f"{self.monitor_url}/{path}")).json()

    async def healthy(self) -> bool:
        """Whether all of its streams and consumers are up to date."""
        try:
            return (await self.ask("healthz")).get("status") == "ok"
        except httpx.TransportError:
            return False


@dataclass(slots=True)
class Cluster:
    """The servers by their place. `kill`, `stop` and `start` are for one of them."""

    nodes: list[Node]
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def url(self) -> str:
        return ",".join(f"nats://{_USER}:{self.password}@127.0.0.1:{node.port}" for node in self.nodes)

    @property
    def monitor_url(self) -> str:
        return ",".join(node.monitor_url for node in self.nodes)

    async def start(self, node: Node) -> None:
        config = node.home.run / "nats.conf"
        write_atomically(config, json.dumps(self._config(node)) + "\n")
        node.child = await start(node.home, ChildSpec(node.name, [str(nats_binary()), "-c", str(config)]))

    async def kill(self, node: Node) -> None:
        assert node.child is not None
        os.kill(node.child.pid, signal.SIGKILL)
        await node.child.stop()

    async def stop(self, node: Node) -> None:
        assert node.child is not None
        await node.child.stop()

    async def healthy(self) -> bool:
        return all(await asyncio.gather(*(node.healthy() for node in self.nodes)))

    async def leader(self, stream: str) -> Node:
        """The server that leads a stream."""

        async def led() -> Node | None:
            for node in self.nodes:
                try:
                    answer = await node.ask("jsz?streams=true")
                except httpx.TransportError:
                    continue
                for account in answer.get("account_details", []):
                    for detail in account.get("stream_detail", []):
                        if detail["name"] == stream:
                            leader = detail.get("cluster", {}).get("leader")
                            return next((n for n in self.nodes if n.name == leader), None)
            return None

        return await eventually(led, timeout=_READY_S)

    def _config(self, node: Node) -> dict[str, Any]:
        return {
            "server_name": node.name,
            "listen": f"127.0.0.1:{node.port}",
            "http": f"127.0.0.1:{node.monitor_port}",
            "max_payload": 8 * 2**20,
            "max_pending": 64 * 2**20,
            "authorization": {"user": _USER, "password": self.password},
            "jetstream": {
                "store_dir": str(node.home.nats),
                "sync_interval": "always",
                "max_file_store": shutil.disk_usage(node.home.nats).total,
                "max_memory_store": 256 * 2**20,
            },
            "cluster": {
                "name": "memlog",
                "listen": f"127.0.0.1:{node.route_port}",
                "routes": [f"nats://127.0.0.1:{other.route_port}" for other in self.nodes if other is not node],
            },
        }


@asynccontextmanager
async def running_cluster(folder: Path) -> AsyncGenerator[Cluster]:
    """Three servers that agree."""
    async with AsyncExitStack() as stack:
        nodes: list[Node] = []
        for number in range(_NODES):
            home = stack.enter_context(Home.open(folder / f"nats-{number}"))
            nodes.append(Node(f"nats-{number}", home, free_port(), free_port(), free_port()))
        cluster = Cluster(nodes)
        for node in nodes:
            await cluster.start(node)
            stack.push_async_callback(cluster.stop, node)
        await eventually(cluster.healthy, timeout=_READY_S)
        yield cluster
