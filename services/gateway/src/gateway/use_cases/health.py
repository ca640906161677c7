"""Health of the whole: every part is asked; one that is silent is down, and is said to be (G13)."""

import asyncio
from importlib.metadata import version

from contracts.api import Health, ServiceHealth
from contracts.errors import MemlogError
from contracts.streams import SERVING_PROJECTIONS
from nats.aio.client import Client
from runtime.health import ask_health
from runtime.postgres import Pool, postgres_errors
from runtime.server_health import ServerHealth
from runtime.waiting import Positions

from gateway.use_cases.freshness import Freshness

_PARTS = ("memory-writer", "indexer", "categorizer", "audit")
_POSTGRES_TIMEOUT = 1.0


class Checking:
    """Asks all parts, bounded in time."""

    def __init__(
        self,
        client: Client,
        server: ServerHealth,
        pool: Pool,
        positions: Positions,
        freshness: Freshness,
        shards: int,
    ) -> None:
        self._client = client
        self._server = server
        self._pool = pool
        self._positions = positions
        self._freshness = freshness
        self._shards = shards

    async def health(self) -> Health:
        """Never raises for a part that is down: names it instead."""
        lag = self._freshness.lag()
        reads = ServiceHealth(service="gateway", ok=not lag, detail="reads wait: " + "; ".join(lag) if lag else None)
        asked = await asyncio.gather(
            self._nats(), self._postgres(), *(ask_health(self._client, part) for part in _PARTS)
        )
        services = [reads, *asked]
        indexer = next(service for service in services if service.service == "indexer")
        down = [service for service in services if not service.ok]
        # Without its language model everything goes on, but not as it was meant to.
        whole = not down and not any(service.facts.get("llm_failure") for service in services)
        return Health(
            status="ok" if whole else "degraded" if len(down) < len(services) else "unavailable",
            version=version("memlog-gateway"),
            embedder=_fact(indexer, "embedder"),
            llm=next(filter(None, (_fact(service, "llm") for service in services)), None),
            index=_fact(indexer, "index"),
            positions={
                f"{name}.{shard}": f"{shard}-{self._positions.known(name, shard)}"
                for name in SERVING_PROJECTIONS
                for shard in range(self._shards)
            },
            services=services,
        )

    async def _nats(self) -> ServiceHealth:
        reason = await self._server.failure()
        return ServiceHealth(service="nats", ok=reason is None, detail=reason)

    async def _postgres(self) -> ServiceHealth:
        try:
            with postgres_errors():
                await self._pool.fetchval("SELECT 1", timeout=_POSTGRES_TIMEOUT)
        except MemlogError as error:
            return ServiceHealth(service="postgres", ok=False, detail=error.message)
        return ServiceHealth(service="postgres", ok=True)


def _fact(service: ServiceHealth, name: str) -> str | None:
    value = service.facts.get(name)
    return value if isinstance(value, str) else None
