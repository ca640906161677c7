"""The main ways through the dashboard without a mouse: what has the focus is seen, and dialogs give it back."""

import uuid

from playwright.async_api import Locator, Page, expect
from support.browser import Windows
from support.dashboard import add
from support.stack import Stack

_FOCUSED = "element => element === document.activeElement"
_SEEN = "element => element.matches(':focus-visible') && getComputedStyle(element).outlineStyle !== 'none'"


async def tab_to(page: Page, wanted: Locator, key: str = "Tab") -> None:
    """Until this has the focus, and is seen to have it."""
    await expect(wanted).to_be_visible()
    for _ in range(60):
        await page.keyboard.press(key)
        if await wanted.evaluate(_FOCUSED):
            assert await wanted.evaluate(_SEEN), "nobody sees where the focus is"
            return
    raise AssertionError(f"{wanted} is not reached")


async def test_memories_are_found_filtered_edited_and_deleted_by_keyboard_alone(stack: Stack, windows: Windows) -> None:
    app, mark = f"keys-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex[:10]
    async with stack.http() as http:
        id_ = await add(http, f"I type {mark}", app)
        await add(http, f"I click {mark}", "cursor")
        page = await windows.open("/memories")
        await tab_to(page, page.get_by_role("link", name="Skip to content"))
        await page.keyboard.press("Enter")
        await tab_to(page, page.get_by_label("Search memories"))
        await page.keyboard.type(mark)
        await expect(page.get_by_text("2 memories", exact=True)).to_be_visible()

        opener = page.get_by_role("button", name="Filter")
        await tab_to(page, opener)
        await page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        await tab_to(page, dialog.get_by_role("checkbox", name=app))
        await page.keyboard.press("Space")
        await tab_to(page, dialog.get_by_role("button", name="Apply"))
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("1 memory", exact=True)).to_be_visible()
        await expect(opener).to_be_focused()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Escape")
        await expect(opener).to_be_focused()

        await tab_to(page, page.get_by_role("button", name=f"Actions for: I type {mark}"))
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("menuitem", name="Edit")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("Text")).to_be_focused()
        await page.keyboard.press("Control+End")
        await page.keyboard.type(" fast")
        await tab_to(page, page.get_by_role("button", name="Save"))
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("link", name=f"I type {mark} fast")).to_be_visible()
        menu = page.get_by_role("button", name=f"Actions for: I type {mark} fast")
        await expect(menu).to_be_focused()

        await page.keyboard.press("Enter")
        await page.keyboard.press("End")
        await expect(page.get_by_role("menuitem", name="Delete")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Nothing matches")).to_be_visible()
        await page.keyboard.press("F8")
        await tab_to(page, page.get_by_role("button", name="Undo").last)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("link", name=f"I type {mark} fast")).to_be_visible()
        assert (await http.get(f"/api/v1/memories/{id_}")).json()["text"] == f"I type {mark} fast"
