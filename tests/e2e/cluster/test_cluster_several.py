"""Several of each service over three shards, on a NATS cluster of three servers: whichever is lost or replaced while
clients write and read, nothing that was acknowledged is lost, nothing is there twice, and reads see what was written.

With MEMLOG_QDRANT_URL set, two indexers share that Qdrant server; else one indexer has Qdrant Edge to itself. For a
longer test, MEMLOG_CLUSTER_ROUNDS says how often each is lost.
"""

import os
import signal
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import httpx
import pytest
from contracts.streams import LEASE_BUCKET, READ_MODELS, events
from support.cluster import Cluster, running_cluster
from support.cluster_load import load, require_each_event_once
from support.fleet import Fleet, running_fleet
from support.servers import Log, opened
from support.stack import eventually

_QDRANT = os.environ.get("MEMLOG_QDRANT_URL")
_COPIES = {"gateway": 2, "memory_writer": 2, "audit": 2, "indexer": 2 if _QDRANT else 1}
_ROUNDS = int(os.environ.get("MEMLOG_CLUSTER_ROUNDS", "1"))
_LEASE_OF = {"memory_writer": "memory-writer.0", "audit": f"{READ_MODELS}.0", "indexer": "index.0"}

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True, slots=True)
class Several:
    """What runs, and a look into its log."""

    cluster: Cluster
    fleet: Fleet
    log: Log

    async def owner(self, module: str) -> str:
        """The instance that has the lease on shard 0; of gateways, which have none, any."""
        if module == "gateway":
            return "gateway-0"
        bucket = await self.log.js.key_value(LEASE_BUCKET)

        async def owns() -> str | None:
            owner = ((await bucket.get(_LEASE_OF[module])).value or b"").decode().partition("#")[0]
            running = {str(process.pid): name for name, process in self.fleet.instances.items()}
            return running.get(owner.rpartition(":")[2])  # nobody, while it goes from one to another

        return await eventually(owns, timeout=60.0)


@pytest.fixture(scope="module")
async def several(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Several]:
    folder = tmp_path_factory.mktemp("cluster")
    settings = {"MEMLOG_SHARDS": "3", "MEMLOG_REPLICAS": "3", "MEMLOG_LEASE_TTL": "4"}
    if _QDRANT:
        settings |= {"MEMLOG_QDRANT_URL": _QDRANT, "MEMLOG_QDRANT_COLLECTION": f"cluster-{uuid.uuid4().hex[:8]}"}
    async with (
        running_cluster(folder) as cluster,
        running_fleet(folder / "fleet", _COPIES, cluster, **settings) as fleet,
        opened(fleet.settings(), start=False) as log,
    ):
        yield Several(cluster, fleet, log)


@pytest.mark.guarantee("G1", "G2", "G3", "G4")
async def test_each_instance_is_killed_or_replaced_under_load_and_another_takes_over(several: Several) -> None:
    fleet = several.fleet
    async with load(fleet, "instances") as clients:
        await clients.progress()
        for _ in range(_ROUNDS):
            for module, copies in _COPIES.items():
                lost = await several.owner(module)
                fleet.instances[lost].send_signal(signal.SIGKILL)
                await fleet.instances[lost].wait()
                if copies > 1:
                    await clients.progress(1)
                await fleet.again(lost)
                await clients.progress(1)
                for other in {f"{module}-{number}" for number in range(copies)} - {lost}:
                    assert await fleet.again(other) == 0, "a SIGTERM ends it in good order"
                    await clients.progress(1)
    await clients.check()
    await require_each_event_once(several.log)


@pytest.mark.guarantee("G1", "G2", "G3", "G4")
async def test_the_log_goes_on_without_the_server_that_led_it_and_through_a_restart_of_each_other(
    several: Several,
) -> None:
    cluster = several.cluster
    async with load(several.fleet, "servers") as clients:
        await clients.progress()
        for _ in range(_ROUNDS):
            lost = await cluster.leader(events(0).name)
            await cluster.kill(lost)
            await clients.progress()
            assert await cluster.leader(events(0).name) is not lost
            for node in (lost, *(node for node in cluster.nodes if node is not lost)):
                await cluster.stop(node)
                await cluster.start(node)
                await eventually(cluster.healthy, timeout=60.0)
                await clients.progress(1)
    await clients.check()
    await require_each_event_once(several.log)


@pytest.mark.guarantee("G11")
async def test_verifying_finds_no_difference(several: Several) -> None:
    async with load(several.fleet, "verified") as clients:
        await clients.progress()
    async with httpx.AsyncClient(base_url=several.fleet.url(1), timeout=60.0) as http:
        (await http.post("/api/v1/verification", json={})).raise_for_status()

        async def ended() -> list[dict[str, object]] | None:
            answer = (await http.get("/api/v1/verification")).raise_for_status().json()
            return answer["checks"] if answer["state"] == "done" else None

        checks = await eventually(ended, timeout=120.0)
    assert [check for check in checks if check["state"] not in ("ok", "skipped")] == []
