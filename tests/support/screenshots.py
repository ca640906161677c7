"""A picture of each page in both themes, wide and narrow: `python -m support.screenshots FOLDER` in tests/."""

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Page, expect
from support.browser import Windows, missing, running_browser
from support.dashboard import fill
from support.stack import running_stack

WIDTHS = {"wide": (1280, 800), "narrow": (375, 812)}


async def settled(page: Page) -> None:
    """Until nothing is being loaded any more."""
    await expect(page.locator("main")).not_to_be_empty()
    await expect(page.get_by_role("status", name="Loading")).to_have_count(0)
    await expect(page.locator("main .animate-pulse")).to_have_count(0)


async def _main(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="memlog-") as home:
        async with running_stack(Path(home) / "home") as stack, running_browser() as browser, stack.http() as http:
            pages = await fill(http)
            windows = Windows(browser, stack.url)
            for theme in ("light", "dark"):
                for size, (width, height) in WIDTHS.items():
                    viewport = {"width": width, "height": height}
                    page = await windows.blank(color_scheme=theme, viewport=viewport)
                    for name, path in pages.items():
                        await page.goto(path)
                        await settled(page)
                        await page.screenshot(path=folder / f"{name}-{theme}-{size}.png", full_page=True)
            await windows.close()
            print("\n".join([f"{len(pages) * 4} pictures in {folder}", *windows.wrong]))


if __name__ == "__main__":
    if lacking := missing():
        sys.exit(lacking)
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(_main(target))
