"""Charts, who is connected, and the health of each part in the browser."""

import uuid

import psutil
from mcp import Client
from mcp.client.sse import sse_client
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
    await page.get_by_label("Period").select_option("12m")
    await expect(panel.get_by_role("row").nth(1).get_by_role("rowheader")).to_contain_text("20")
    await page.reload()
    await expect(page.get_by_label("Period")).to_have_value("12m")
    assert "range=12m" in page.url


async def test_apps_that_share_a_colour_are_told_apart_and_all_categories_can_be_seen(windows: Windows) -> None:
    def app(name: str, added: int) -> dict[str, object]:
        return {"id": str(uuid.uuid4()), "name": name, "added": [added], "reads": [0]}

    apps = {"step": "day", "starts": [0], "apps": [app("cursor", 3), app("agent-6", 2), app("agent-17", 1)]}
    categories = [{"id": str(uuid.uuid4()), "name": f"category {rank}", "memories": 9 - rank} for rank in range(8)]
    page = await windows.blank()
    await page.route("**/api/v1/stats/activity?*", lambda route: route.fulfill(json=apps))
    await page.route("**/api/v1/memories/categories*", lambda route: route.fulfill(json={"categories": categories}))
    await page.goto("/")
    chart = page.locator("section").filter(has=page.get_by_role("heading", name="Memories by app")).last
    drawn = chart.get_by_role("listitem").locator("span[aria-hidden]")
    await expect(drawn).to_have_count(3)
    looks: list[str] = await drawn.evaluate_all("all => all.map(each => getComputedStyle(each).backgroundImage)")
    assert len(set(looks)) == 3
    colours: list[str] = await drawn.evaluate_all("all => all.map(each => getComputedStyle(each).borderColor)")
    assert len(set(colours)) == 1
    bars = chart.locator(".recharts-bar-rectangle path")
    await expect(bars).to_have_count(3)
    assert len(set(await bars.evaluate_all("all => all.map(each => each.getAttribute('fill'))"))) == 3
    names = page.get_by_role("link").filter(has_text="category ")
    await expect(names).to_have_count(6)
    await page.get_by_role("button", name="Show 2 more categories").click()
    await expect(names).to_have_count(8)
    await page.get_by_role("button", name="Show fewer").click()
    await expect(names).to_have_count(6)


async def test_who_is_connected_is_shown_and_goes_without_reload(stack: Stack, windows: Windows) -> None:
    mark = uuid.uuid4().hex[:8]
    page = await windows.open("/apps")
    rows = page.get_by_role("list", name="Connections").get_by_role("listitem")
    await expect(rows.filter(has_text="dashboardlive event stream").first).to_be_visible()
    async with Client(sse_client(f"{stack.url}/mcp/streaming-{mark}/sse/default"), mode="legacy") as client:
        await call(client, "list_memories", limit=1)
        row = rows.filter(has_text=f"streaming-{mark}")
        await expect(row).to_contain_text("MCP over SSE")
        await expect(row).to_contain_text("last call")
        async with stack.mcp(path=f"/mcp/calling-{mark}/http/default") as caller:
            await call(caller, "list_memories", limit=1)
        await expect(rows.filter(has_text=f"calling-{mark}")).to_contain_text("MCP over HTTP")
    await expect(row).to_have_count(0)
    await expect(rows.filter(has_text=f"calling-{mark}")).to_have_count(1)


async def test_a_part_that_does_not_answer_is_named_and_so_is_its_return(stack: Stack, windows: Windows) -> None:
    pid = stack.part("indexer")
    assert pid is not None
    page = await windows.open("/health")
    part = page.get_by_role("listitem").filter(has=page.get_by_text("indexer", exact=True))
    await expect(part.get_by_label("ok", exact=True)).to_be_visible()
    await expect(page.locator("dl").get_by_text("minilm", exact=False).first).to_be_visible()
    indexer = psutil.Process(pid)
    indexer.suspend()
    try:
        await page.get_by_role("button", name="Refresh").click()
        await expect(part.get_by_label("not ok", exact=True)).to_be_visible()
        await expect(part).to_contain_text("does not answer")
        await expect(page.get_by_text("some services are down", exact=True)).to_be_visible()
        await expect(page.get_by_text("no answer")).to_have_count(2)
    finally:
        indexer.resume()
    await page.get_by_role("button", name="Refresh").click()
    await expect(part.get_by_label("ok", exact=True)).to_be_visible()
