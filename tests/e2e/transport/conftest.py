from collections.abc import AsyncGenerator

import httpx
import pytest
import pytest_asyncio
from support.running_gateway import RunningGateway, serve_gateway


@pytest_asyncio.fixture(scope="session")
async def shared_gateway() -> AsyncGenerator[RunningGateway]:
    async with serve_gateway() as running:
        yield running


@pytest.fixture
def gateway(shared_gateway: RunningGateway) -> RunningGateway:
    shared_gateway.service.reset()
    return shared_gateway


@pytest_asyncio.fixture
async def http(gateway: RunningGateway) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
        yield client
