"""One Memlog and one browser for all tests of this folder. They are one user's, who is told apart by nothing: tests
keep apart by their texts."""

from collections.abc import AsyncGenerator, Mapping

import pytest
import pytest_asyncio
from playwright.async_api import Browser
from support.browser import Windows, missing, running_browser
from support.dashboard import TRACES, fill
from support.inside import Inside, inside
from support.stack import Stack, running_stack


@pytest_asyncio.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stack]:
    async with running_stack(tmp_path_factory.mktemp("memlog"), MEMLOG_TRACE_URL=TRACES) as running:
        yield running


@pytest_asyncio.fixture(scope="session")
async def guarded() -> AsyncGenerator[Inside]:
    """One that asks for tokens, in the tests' own process, so that they reach behind its doors."""
    async with inside(auth="token") as running:
        yield running


@pytest_asyncio.fixture(scope="session")
async def browser() -> AsyncGenerator[Browser]:
    if lacking := missing():
        pytest.skip(lacking)
    async with running_browser() as running:
        yield running


@pytest_asyncio.fixture(scope="session")
async def pages(stack: Stack) -> Mapping[str, str]:
    """Page by name → its path; what is there to show is hostile."""
    async with stack.http() as http:
        return await fill(http, hostile=True)


@pytest_asyncio.fixture
async def windows(browser: Browser, stack: Stack) -> AsyncGenerator[Windows]:
    """Whatever a test is about: no page asks another origin, breaks its policy, throws, or opens a dialog."""
    windows = Windows(browser, stack.url)
    yield windows
    await windows.close()
    assert windows.wrong == []


@pytest_asyncio.fixture
async def guarded_windows(browser: Browser, guarded: Inside) -> AsyncGenerator[Windows]:
    windows = Windows(browser, guarded.url)
    yield windows
    await windows.close()
    assert windows.wrong == []
