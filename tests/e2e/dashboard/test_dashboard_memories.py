"""What a person does with memories in the browser, and what the API then says."""

import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from playwright.async_api import Locator, Page, expect
from support.browser import Windows, violations_in_both_themes
from support.dashboard import mark, words
from support.stack import Stack, eventually


async def add(http: httpx.AsyncClient, text: str, app: str = "cursor", **given: Any) -> str:
    body = {"text": text, "app": app, "infer": False, **given}
    return (await http.post("/api/v1/memories", json=body)).raise_for_status().json()["id"]


async def found(http: httpx.AsyncClient, text: str) -> list[dict[str, Any]]:
    asked = {"search_query": mark(text), "show_archived": True}
    return (await http.post("/api/v1/memories/filter", json=asked)).raise_for_status().json()["items"]


def in_state(http: httpx.AsyncClient, text: str, state: str, number: int = 1) -> Callable[[], Awaitable[bool]]:
    """Whether this is the state of the memories with this mark; `deleted` is none of them."""

    async def probe() -> bool:
        states = [memory["state"] for memory in await found(http, text)]
        return states == ([] if state == "deleted" else [state] * number)

    return probe


async def choose(page: Page, text: str, action: str) -> None:
    await page.get_by_role("button", name=f"Actions for: {text}").click()
    await page.get_by_role("menuitem", name=action, exact=True).click()


def toast(page: Page, done: str) -> Locator:
    """The one with an undo of what is said to be done: that of what was done before may still stand there."""
    return page.get_by_role("listitem").filter(has_text=done).filter(has=page.get_by_role("button", name="Undo"))


async def undo(page: Page, done: str) -> None:
    await toast(page, done).get_by_role("button", name="Undo").click()


async def test_a_memory_is_created_by_keyboard_alone(stack: Stack, windows: Windows) -> None:
    text = words("I never use a mouse")
    page = await windows.open("/memories")
    button = page.get_by_role("button", name="Create memory")
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await button.evaluate("element => element === document.activeElement"):
            break
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("What should be remembered?")).to_be_focused()
    await page.keyboard.type(text)
    await page.keyboard.press("Control+Enter")
    await expect(page.get_by_role("link", name=text)).to_be_visible()
    # Back where one was before.
    await expect(button).to_be_focused()
    async with stack.http() as http:
        assert [(memory["content"], memory["app_name"]) for memory in await found(http, text)] == [(text, "dashboard")]


async def test_an_edit_is_a_new_version_and_undo_brings_the_text_back(stack: Stack, windows: Windows) -> None:
    text = words("I live in Porto")
    async with stack.http() as http:
        id_ = await add(http, text)
        page = await windows.open(f"/memory/{id_}")
        edit = page.get_by_role("button", name="Edit")
        await edit.click()
        await page.get_by_label("Text").fill(f"I live in Lisbon {mark(text)}")
        await page.get_by_role("button", name="Save").click()
        await expect(edit).to_be_focused()
        await expect(page.locator("main p").filter(has_text="I live in Lisbon").first).to_be_visible()
        await expect(page.get_by_text("version 2").first).to_be_visible()
        assert (await found(http, text))[0]["content"].startswith("I live in Lisbon")
        assert await violations_in_both_themes(toast(page, "Saved as a new version")) == []
        await undo(page, "Saved as a new version")
        await expect(page.get_by_text("version 3").first).to_be_visible()
        assert (await found(http, text))[0]["content"] == text


async def test_a_memory_is_paused_resumed_archived_and_deleted_from_its_row_each_with_undo(
    stack: Stack, windows: Windows
) -> None:
    text = words("I play chess")
    async with stack.http() as http:
        await add(http, text)
        page = await windows.open(f"/memories?search={mark(text)}&archived=true")
        row = page.get_by_role("row").filter(has_text=text)
        for action, state in [("Pause", "paused"), ("Archive", "archived")]:
            await choose(page, text, action)
            await expect(row.get_by_text(state, exact=True)).to_be_visible()
            await eventually(in_state(http, text, state))
            await undo(page, f"1 memory {state}")
            await expect(row.get_by_text("active", exact=True)).to_be_visible()
            await eventually(in_state(http, text, "active"))
        await choose(page, text, "Pause")
        await expect(row.get_by_text("paused", exact=True)).to_be_visible()
        await choose(page, text, "Resume")
        await expect(row.get_by_text("active", exact=True)).to_be_visible()
        await choose(page, text, "Delete")
        await expect(row).to_have_count(0)
        await eventually(in_state(http, text, "deleted"))
        await undo(page, "1 memory deleted")
        await expect(row.get_by_text("active", exact=True)).to_be_visible()
        await eventually(in_state(http, text, "active"))


async def test_the_state_is_changed_and_the_memory_deleted_from_its_own_page(stack: Stack, windows: Windows) -> None:
    text = words("I keep bees")
    async with stack.http() as http:
        id_ = await add(http, text)
        page = await windows.open(f"/memory/{id_}")
        await page.get_by_label("State").select_option("paused")
        await eventually(in_state(http, text, "paused"))
        await page.get_by_role("button", name="Delete").click()
        await expect(page).to_have_url(re.compile(r"/memories$"))
        await eventually(in_state(http, text, "deleted"))


async def test_what_is_ticked_is_changed_at_once_and_undo_gives_each_its_own_state_back(
    stack: Stack, windows: Windows
) -> None:
    marked = words("")
    texts = [f"{number} friends {marked}" for number in range(3)]
    async with stack.http() as http:
        ids = [await add(http, text) for text in texts]
        paused = {"memory_ids": ids[:1], "state": "paused"}
        (await http.post("/api/v1/memories/actions/pause", json=paused)).raise_for_status()
        page = await windows.open(f"/memories?search={mark(marked)}&archived=true")
        last = page.get_by_role("row").last
        before = await last.bounding_box()
        await page.get_by_label("Select all on this page").click()
        await expect(page.get_by_text("3 selected")).to_be_visible()
        assert await last.bounding_box() == before
        await page.get_by_role("toolbar").get_by_role("button", name="Archive").click()
        await eventually(in_state(http, marked, "archived", 3))
        await undo(page, "3 memories archived")

        async def as_before() -> bool:
            states = {memory["id"]: memory["state"] for memory in await found(http, marked)}
            return states == {ids[0]: "paused", ids[1]: "active", ids[2]: "active"}

        await eventually(as_before)
        await page.get_by_label(f"Select: {texts[0]}").click()
        await page.get_by_role("toolbar").get_by_role("button", name="Resume").click()
        await eventually(in_state(http, marked, "active", 3))
        await page.get_by_label("Select all on this page").click()
        await page.get_by_role("toolbar").get_by_role("button", name="Delete").click()
        await expect(page.get_by_text("Nothing matches")).to_be_visible()
        await eventually(in_state(http, marked, "deleted"))


async def test_filters_stand_in_the_address_and_survive_paging_and_reload(stack: Stack, windows: Windows) -> None:
    app, marked = f"filtered-{uuid.uuid4().hex[:8]}", words("")
    async with stack.http() as http:
        for number in range(12):
            await add(http, f"{number} bottles {marked}", app)
        await add(http, f"elsewhere {marked}")
    page = await windows.open(f"/memories?search={mark(marked)}")
    await expect(page.get_by_text("13 memories")).to_be_visible()
    await page.get_by_role("button", name="Filter").click()
    await page.get_by_role("checkbox", name=app).click()
    await page.get_by_role("tab", name="Archived").click()
    await page.get_by_role("checkbox", name="Show archived memories").click()
    await page.get_by_role("button", name="Apply").click()
    await expect(page.get_by_text("12 memories")).to_be_visible()
    await expect(page.get_by_role("button", name="Filter")).to_contain_text("2")
    await page.get_by_role("button", name="Next page").click()
    await expect(page.get_by_text("11–12 of 12")).to_be_visible()
    assert "apps=" in page.url and "page=2" in page.url and "archived=true" in page.url
    await page.reload()
    await expect(page.get_by_text("11–12 of 12")).to_be_visible()
    await page.get_by_label("Rows a page").select_option("20")
    await expect(page.get_by_text("1–12 of 12")).to_be_visible()
    await page.get_by_role("button", name="Memory", exact=True).click()
    await expect(page.locator("tbody tr").first).to_contain_text("9 bottles")
    await page.get_by_role("button", name="Filter").click()
    await page.get_by_role("button", name="Clear all").click()
    await page.get_by_role("button", name="Apply").click()
    await expect(page.get_by_text("13 memories")).to_be_visible()


async def test_a_search_survives_reload_and_back_leads_to_where_one_was(stack: Stack, windows: Windows) -> None:
    text = words("I collect stamps")
    async with stack.http() as http:
        await add(http, text)
        await add(http, words("I collect coins"))
    page = await windows.open("/apps")
    await page.get_by_role("link", name="Memories").first.click()
    await page.get_by_label("Search memories").fill(mark(text))
    await expect(page.get_by_text("1 memory", exact=True)).to_be_visible()
    await page.reload()
    await expect(page.get_by_label("Search memories")).to_have_value(mark(text))
    await page.get_by_role("link", name=text).click()
    await expect(page.get_by_text("Access log")).to_be_visible()
    await page.go_back()
    await expect(page.get_by_label("Search memories")).to_have_value(mark(text))
    await expect(page.get_by_text("1 memory", exact=True)).to_be_visible()
    await page.go_back()
    await expect(page.get_by_role("heading", name="Apps")).to_be_visible()


async def test_what_one_browser_changes_another_shows_without_reload(stack: Stack, windows: Windows) -> None:
    text = words("I am seen at once")
    first = await windows.open(f"/memories?search={mark(text)}&archived=true")
    second = await windows.open(f"/memories?search={mark(text)}&archived=true")
    for page in (first, second):
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        await expect(page.get_by_text("Nothing matches")).to_be_visible()
    async with stack.http() as http:
        await add(http, text)
    row = second.get_by_role("row").filter(has_text=text)
    await expect(row).to_be_visible()
    await choose(first, text, "Pause")
    await expect(row.get_by_text("paused", exact=True)).to_be_visible()


async def test_the_dashboard_searches_as_one_types(stack: Stack, windows: Windows) -> None:
    text = words("I bake on Sundays")
    async with stack.http() as http:
        await add(http, text)
        await add(http, words("I rest on Mondays"))
    page = await windows.open("/")
    await page.get_by_label("Search memories").press_sequentially(mark(text))
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.get_by_role("link", name=text)).to_be_visible()
