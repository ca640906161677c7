"""Charts, who is connected, and the health of each part in the browser."""

import uuid

from playwright.async_api import expect
from support.browser import Windows
from support.stack import Stack, call

READS = 15
"""More than other tests read: the busiest apps are shown by name."""


async def test_what_an_app_reads_is_drawn_said_and_tabled(stack: Stack, windows: Windows) -> None:
    app, category = f"reader-{uuid.uuid4().hex[:8]}", f"drawn {uuid.uuid4().hex[:8]}"
    async with stack.mcp(path=f"/mcp/{app}/http/default") as client:
        await call(client, "add_memories", text=f"I am drawn by {app}", categories=[category], infer=False)
        for _ in range(READS):
            await call(client, "search_memory", query=app, limit=1)
    page = await windows.open("/?range=7d")
    panel = page.locator("section").filter(has=page.get_by_role("heading", name="Reads by app")).last
    await expect(panel.get_by_role("listitem").filter(has_text=app)).to_have_text(f"{app}{READS}")
    await expect(panel.get_by_role("img", name=f"{app} {READS}")).to_be_visible()
    assert await panel.locator(".recharts-bar-rectangle path").count() > 0
    await panel.locator("svg[tabindex='0']").focus()
    for _ in range(7):
        await page.keyboard.press("ArrowRight")
    await expect(panel.locator(".recharts-tooltip-wrapper")).to_contain_text(app)
    await panel.get_by_role("button", name="Reads by app as a table").click()
    column = await panel.get_by_role("columnheader").all_inner_texts()
    cells = panel.get_by_role("row").nth(1).get_by_role("cell")
    await expect(cells.nth(column.index(app) - 1)).to_have_text(str(READS))
    await page.get_by_label("Time").select_option("12m")
    await expect(panel.get_by_role("row").nth(1).get_by_role("rowheader")).to_contain_text("20")
    await page.reload()
    await expect(page.get_by_label("Time")).to_have_value("12m")
    assert "range=12m" in page.url
