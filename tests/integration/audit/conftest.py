"""A database of its own for each test, on the session's PostgreSQL, owned and read by the roles of the real form."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from urllib.parse import urlsplit

import pytest
from runtime.postgres import DERIVED_STORE, Pool, create_pool
from standalone.home import Home
from standalone.postgres_server import PostgresServer

_numbers = iter(range(10_000))


@pytest.fixture(scope="session")
def server(postgres: PostgresServer) -> str:
    """The owner's DSN of the database `postgres`."""
    return postgres.dsn.replace("/memlog?", "/postgres?")


@pytest.fixture(scope="session")
def as_reader(postgres: PostgresServer) -> Callable[[str], str]:
    """Turns an owner's DSN into the reader's."""
    owner, reader = (urlsplit(dsn).netloc for dsn in (postgres.dsn, postgres.reader_dsn))
    return lambda dsn: dsn.replace(owner, reader)


@pytest.fixture(scope="session")
async def administrator(postgres: PostgresServer, server: str, home: Home) -> AsyncGenerator[Pool]:
    password = json.loads((home.postgres / "passwords.json").read_text())["superuser"]
    dsn = server.replace(urlsplit(postgres.dsn).netloc, f"postgres:{password}@")
    pool = await create_pool(dsn, application_name="tests", size=1)
    yield pool
    await pool.close()


@pytest.fixture
async def database(server: str, administrator: Pool) -> AsyncGenerator[str]:
    """The owner's DSN of an empty database."""
    name = f"test_{next(_numbers)}"
    await administrator.execute(f"CREATE DATABASE {name} OWNER memlog")
    yield server.replace("/postgres?", f"/{name}?")
    await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def pool(database: str) -> AsyncGenerator[Pool]:
    pool = await create_pool(database, application_name="audit", size=4, settings=DERIVED_STORE)
    yield pool
    async with asyncio.timeout(60):
        await pool.close()
