"""A real PostgreSQL for the session, and a database of its own for each test."""

import asyncio
from collections.abc import AsyncGenerator, Generator

import pytest
from runtime.postgres import DERIVED_STORE, Pool, create_pool
from support.postgres_for_tests import postgres_for_tests

_numbers = iter(range(10_000))


@pytest.fixture(scope="session")
def server() -> Generator[str]:
    with postgres_for_tests() as dsn:
        yield dsn


@pytest.fixture(scope="session")
async def administrator(server: str) -> AsyncGenerator[Pool]:
    pool = await create_pool(server, application_name="tests", size=1)
    await pool.execute("CREATE ROLE memlog_reader LOGIN")
    yield pool
    await pool.close()


@pytest.fixture
async def database(server: str, administrator: Pool) -> AsyncGenerator[str]:
    """The DSN of an empty database."""
    name = f"test_{next(_numbers)}"
    await administrator.execute(f"CREATE DATABASE {name}")
    yield server.replace("/postgres?", f"/{name}?")
    await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def pool(database: str) -> AsyncGenerator[Pool]:
    pool = await create_pool(database, application_name="audit", size=4, settings=DERIVED_STORE)
    yield pool
    async with asyncio.timeout(10):
        await pool.close()
