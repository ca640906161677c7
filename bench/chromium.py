"""A headless Chromium: the one that is installed, else the one that `make test` has unpacked."""

import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

_UNPACKED = Path(__file__).parents[1] / ".cache" / "chromium"
_ARGUMENTS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-gpu")


def program() -> Path | None:
    """None: there is no Chromium."""
    unpacked = _UNPACKED / "usr" / "lib" / "chromium" / "chromium"
    installed = shutil.which("chromium")
    return Path(installed) if installed else unpacked if unpacked.exists() else None


@asynccontextmanager
async def chromium() -> AsyncGenerator[Browser]:
    """One that asks nobody for anything by itself. Raises Playwright's `Error` when it does not start."""
    libraries = {"LD_LIBRARY_PATH": ":".join(str(folder) for folder in _UNPACKED.glob("usr/lib/*-linux-gnu*"))}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program(),
            args=_ARGUMENTS,
            env={**os.environ, **(libraries if _UNPACKED.exists() else {})},
        )
        try:
            yield browser
        finally:
            await browser.close()
