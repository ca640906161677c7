"""A headless Chromium (Debian's package), driven by Playwright, that notices what no page of the dashboard may do."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Locator,
    Page,
    Request,
    expect,
)

from bench.chromium import chromium, program

_ROOT = Path(__file__).parents[2]
_BUILT = _ROOT / "services" / "gateway" / "src" / "gateway" / "dashboard_files" / "index.html"
_AXE = _ROOT / "services" / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
_WAIT_MS = 30_000
_OF_COLOURS = ("color-contrast", "link-in-text-block")


def missing() -> str | None:
    """What a test in a browser lacks here, and what to do about it."""
    if program() is None:
        return "there is no Chromium: apt install chromium"
    if not _BUILT.exists() or not _AXE.exists():
        return "the dashboard is not built: make dashboard"
    return None


@asynccontextmanager
async def running_browser() -> AsyncGenerator[Browser]:
    """One that asks nobody for anything by itself."""
    expect.set_options(timeout=_WAIT_MS)
    async with chromium() as browser:
        yield browser


@dataclass
class Windows:
    """Opens pages of one Memlog, each in a context of its own (nothing is shared, as with two browsers). `wrong` is
    what they did that no page may do."""

    browser: Browser
    url: str
    wrong: list[str] = field(default_factory=list[str])
    _opened: list[BrowserContext] = field(default_factory=list[BrowserContext])

    async def open(self, path: str, **options: Any) -> Page:
        """The page at this path; `options` are those of Playwright's `new_context`."""
        page = await self.blank(**options)
        await page.goto(path)
        return page

    async def blank(self, **options: Any) -> Page:
        given: dict[str, Any] = {"locale": "en-US", "viewport": {"width": 1280, "height": 800}, **options}
        context = await self.browser.new_context(base_url=self.url, **given)
        context.set_default_timeout(_WAIT_MS)
        self._opened.append(context)
        context.on("request", self._on_request)
        context.on("console", self._on_console)
        context.on("weberror", lambda error: self.wrong.append(f"error: {error.error}"))
        page = await context.new_page()
        # Without a listener Playwright closes dialogs without a word.
        page.on("dialog", self._on_dialog)
        return page

    async def close(self) -> None:
        for context in self._opened:
            await context.close()

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.url}/", "data:", f"blob:{self.url}/")):
            self.wrong.append(f"request to another origin: {request.url}")

    def _on_console(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.wrong.append(message.text)

    async def _on_dialog(self, dialog: Dialog) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        await dialog.dismiss()


async def violations(seen: Page | Locator, rules: Sequence[str] = ()) -> list[str]:
    """What axe finds there that is serious or critical: rule, element and reason. By these rules alone, if any are
    named."""
    page = seen.page if isinstance(seen, Locator) else seen
    # Evaluated, not added as an element: the page's own policy would not let that in.
    if await page.evaluate("typeof axe === 'undefined'"):
        await page.evaluate(_AXE.read_text())
    root = seen if isinstance(seen, Locator) else page.locator(":root")
    found: list[dict[str, Any]] = await root.evaluate(
        """async (root, rules) => {
            const asked = {resultTypes: ['violations'], ...(rules.length ? {runOnly: rules} : {})}
            return (await axe.run(root, asked)).violations
        }""",
        [*rules],
    )
    return [
        f"{rule['id']}: {node['html'][:160]} {' '.join(node['failureSummary'].split())[:200]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


async def violations_in_both_themes(seen: Locator) -> list[str]:
    """As `violations`, of a page or a part of it (a dialog, a toast), in light and in dark: themes differ in colours
    alone."""
    found: list[str] = []
    for theme, rules in (("light", ()), ("dark", _OF_COLOURS)):
        # Colours that fade are judged as they are in the end.
        await seen.evaluate(
            """async (_, theme) => {
                document.documentElement.dataset.theme = theme
                const fading = document.getAnimations().filter(each => each instanceof CSSTransition)
                await Promise.allSettled(fading.map(each => each.finished))
            }""",
            theme,
        )
        found += [f"{theme}: {each}" for each in await violations(seen, rules)]
    return found
