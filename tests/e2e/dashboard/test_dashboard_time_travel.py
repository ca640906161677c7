"""What was known then, and what has changed since, as a person sees it."""

import re

import httpx
from playwright.async_api import Page, expect
from support.browser import Windows
from support.dashboard import add, mark, words
from support.stack import Stack

MEMORIES = "/api/v1/memories"


async def revise(http: httpx.AsyncClient, id_: str, text: str) -> None:
    (await http.put(f"{MEMORIES}/{id_}", json={"memory_content": text})).raise_for_status()


async def pause(http: httpx.AsyncClient, id_: str) -> None:
    body = {"memory_ids": [id_], "state": "paused"}
    (await http.post(f"{MEMORIES}/actions/pause", json=body)).raise_for_status()


async def delete(http: httpx.AsyncClient, id_: str) -> None:
    (await http.request("DELETE", MEMORIES, json={"memory_ids": [id_]})).raise_for_status()


async def added_at(http: httpx.AsyncClient, id_: str) -> str:
    entries = (await http.get(f"{MEMORIES}/{id_}/history")).raise_for_status().json()["entries"]
    return entries[0]["recorded_at"]


async def travel(page: Page, label: str, moment: str) -> None:
    """Type a moment (the browser is in UTC)."""
    await page.locator(f"label:has-text('{label}') input").fill(moment.removesuffix("Z"))


async def test_the_list_and_a_memory_are_shown_as_they_were_and_cannot_be_changed_then(
    stack: Stack, windows: Windows
) -> None:
    text = words("I live in Lisbon")
    async with stack.http() as http:
        id_ = await add(http, text, "cursor", categories=["home"])
        then = await added_at(http, id_)
        await revise(http, id_, f"I live in Porto {mark(text)}")
        await pause(http, id_)
    page = await windows.open(f"/memories?search={mark(text)}", timezone_id="UTC")
    row = page.locator("tbody tr")
    await expect(row).to_contain_text("I live in Porto")
    await travel(page, "As of", then)
    await expect(row).to_contain_text("I live in Lisbon")
    await expect(row.get_by_text("active", exact=True)).to_be_visible()
    await expect(page.get_by_text("Viewing your memories as of")).to_be_visible()
    for action in ("button", "checkbox"):
        await expect(row.get_by_role(action)).to_have_count(0)
    assert "as_of=" in page.url
    await page.reload()
    await expect(row).to_contain_text("I live in Lisbon")
    # The search is one of the texts of then.
    await page.get_by_label("Search memories").fill(f"Porto {mark(text)}")
    await expect(page.get_by_text("Nothing matches")).to_be_visible()
    await page.get_by_label("Search memories").fill(text)
    await page.get_by_role("link", name=text).click()
    await expect(page.locator("main p").filter(has_text=text).first).to_be_visible()
    await expect(page.get_by_text("Viewing this memory as of")).to_be_visible()
    await expect(page.get_by_role("button", name="Edit")).to_have_count(0)
    await expect(page.get_by_label("State")).to_have_count(0)
    await page.go_back()
    await expect(row).to_contain_text("I live in Lisbon")
    await page.get_by_role("button", name="Back to now").click()
    await expect(page.get_by_text("Nothing matches")).to_be_visible()
    assert "as_of=" not in page.url


async def test_the_slider_goes_by_keyboard_from_the_first_change_to_now(stack: Stack, windows: Windows) -> None:
    text = words("I came last")
    async with stack.http() as http:
        await add(http, words("I came first"), "cursor")
        await add(http, text, "cursor")
    page = await windows.open(f"/memories?search={mark(text)}")
    await expect(page.get_by_role("link", name=text)).to_be_visible()
    slider = page.get_by_role("slider", name="As of")
    await expect(slider).to_have_attribute("aria-valuetext", "Now")
    await slider.press("Home")
    await expect(page.get_by_text("Nothing matches")).to_be_visible()
    await expect(page).to_have_url(re.compile("as_of="))
    first = await slider.get_attribute("aria-valuemin") or ""
    await expect(slider).to_have_attribute("aria-valuenow", first)
    await slider.press("PageUp")
    await expect(slider).not_to_have_attribute("aria-valuenow", first)
    await slider.press("End")
    await expect(page.get_by_role("link", name=text)).to_be_visible()
    await expect(page).not_to_have_url(re.compile("as_of="))
    await page.go_back()
    await expect(page).to_have_url(re.compile("as_of="))


async def test_two_moments_are_compared_beyond_one_page_of_differences(stack: Stack, windows: Windows) -> None:
    marked = words("")
    async with stack.http() as http:
        ids = [
            await add(http, f"{what}{marked}", "cursor", categories=["x"]) for what in ("told", "state", "gone", "kept")
        ]
        told, state, gone, kept = ids
        then = await added_at(http, kept)
        await revise(http, told, f"retold{marked}")
        await pause(http, state)
        await delete(http, gone)
        new = [await add(http, f"new {number}{marked}", "cursor", categories=["x"]) for number in range(9)]
    filters = "&categories=%5B%22x%22%5D&archived=true"
    page = await windows.open(f"/memories?search={mark(marked)}&as_of={then}{filters}", timezone_id="UTC")
    await expect(page.get_by_role("button", name="Filter")).to_contain_text("2")
    await page.get_by_role("button", name="Compare").click()
    # What does not count there is said, and does not stay in the address.
    await expect(page.get_by_text("Comparing memories of all apps and categories")).to_be_visible()
    assert "categories=" not in page.url and "archived=" not in page.url
    differences = page.get_by_role("list", name="Differences").get_by_role("listitem")
    await expect(page.get_by_text("1–10 of 12")).to_be_visible()
    await expect(differences).to_have_count(10)
    await page.get_by_role("button", name="Next page").click()
    await expect(differences).to_have_count(2)
    for kind, number in {"All": 12, "Added": 9, "Deleted": 1, "Text": 1, "State": 1, "Categories": 0}.items():
        await expect(page.get_by_role("button", name=f"{kind} {number}", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Text 1").click()
    await expect(differences.locator("del")).to_have_text("told")
    await expect(differences.locator("ins")).to_have_text("retold")
    await page.reload()
    await expect(differences.locator("ins")).to_have_text("retold")
    await page.get_by_role("button", name="Deleted 1").click()
    await expect(differences.locator("del")).to_have_text(f"gone{marked}")
    # Its text leads to it as it was.
    await differences.get_by_role("link", name=f"gone{marked}").click()
    await expect(page.locator("main p.text-lg")).to_have_text(f"gone{marked}")
    await page.go_back()
    await page.get_by_role("button", name="State 1").click()
    await expect(differences).to_contain_text("active → paused")
    await page.get_by_role("button", name="All 12").click()
    # An earlier second moment: before the last of the new ones.
    async with stack.http() as http:
        await travel(page, "Until", await added_at(http, new[-2]))
    await expect(page.get_by_role("button", name="Added 8", exact=True)).to_be_visible()


async def test_a_memory_is_compared_with_itself(stack: Stack, windows: Windows) -> None:
    text = words("I drink coffee")
    async with stack.http() as http:
        id_ = await add(http, text, "cursor", categories=["food"])
        await revise(http, id_, text.replace("coffee", "tea"))
        await pause(http, id_)
    page = await windows.open(f"/memory/{id_}")
    await page.get_by_role("link", name="View as of").last.click()
    await expect(page.get_by_text("Viewing this memory as of")).to_be_visible()
    await page.get_by_role("button", name="Compare").click()
    shown = page.locator("section").filter(has=page.get_by_text("Changed", exact=True))
    await expect(shown.locator("del")).to_have_text("coffee")
    await expect(shown.locator("ins")).to_have_text("tea")
    await expect(shown).to_contain_text("active → paused")
    await page.get_by_role("slider", name="Since").press("Home")
    await expect(page.get_by_text("Added in this period").or_(page.get_by_text("Changed", exact=True))).to_be_visible()
    await page.get_by_role("button", name="Back to now").click()
    await expect(page.get_by_role("button", name="Edit")).to_be_visible()
    await expect(page.get_by_label("State")).to_have_value("paused")
