"""One real nats-server and PostgreSQL for the session; tests that stop a server, or look into its store, start
their own."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as examples
from runtime.settings import Settings
from standalone.home import Home
from standalone.nats_server import NatsServer, nats_server
from standalone.postgres_server import PostgresServer, postgres_server
from support.servers import Log, Servers, empty, opened, settings_for, temporary_home

# How long an example takes says something of the machine, not of the code.
examples.register_profile("memlog", deadline=None, suppress_health_check=[HealthCheck.too_slow])
examples.load_profile("memlog")


@pytest.fixture(scope="session")
async def home() -> AsyncGenerator[Home]:
    async with temporary_home() as home:
        yield home


@pytest.fixture(scope="session")
async def session_nats(home: Home) -> AsyncGenerator[NatsServer]:
    async with nats_server(home) as server:
        yield server


@pytest.fixture(scope="session")
async def postgres(home: Home) -> AsyncGenerator[PostgresServer]:
    async with postgres_server(home) as server:
        yield server


@pytest.fixture(scope="session")
def settings(home: Home, session_nats: NatsServer) -> Callable[..., Settings]:
    """Makes settings for the session's server: `settings(shards=3)`."""

    def make(**overrides: Any) -> Settings:
        return settings_for(home, session_nats, **overrides)

    return make


@pytest.fixture(params=[1], ids="{0} shard(s)".format)
def shards(request: pytest.FixtureRequest) -> int:
    """How many shards `log` has; parametrize it (indirect) for more than one."""
    return request.param


@pytest.fixture
async def log(settings: Callable[..., Settings], shards: int) -> AsyncGenerator[Log]:
    """An empty, opened log on the session's server."""
    async with opened(settings(shards=shards), start=False) as stale:
        await empty(stale.js)
    async with opened(settings(shards=shards)) as log:
        yield log


@pytest.fixture
async def servers() -> AsyncGenerator[Servers]:
    """A server of the test's own, running."""
    async with temporary_home() as home:
        servers = Servers(home)
        await servers.start()
        try:
            yield servers
        finally:
            await servers.stop()
