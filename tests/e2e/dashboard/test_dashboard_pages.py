"""What holds of every page: it can be read and used by everybody, fits a telephone, and shows texts as
texts."""

import json
from collections.abc import Mapping

from playwright.async_api import expect
from support.browser import Windows, violations_in_both_themes
from support.dashboard import HOSTILE, HOSTILE_METADATA, dialogs
from support.screenshots import settled


async def test_axe_finds_nothing_serious_on_any_page_light_or_dark(pages: Mapping[str, str], windows: Windows) -> None:
    found: dict[str, list[str]] = {}
    page = await windows.blank(color_scheme="dark")
    for name, path in pages.items():
        await page.goto(path)
        await settled(page)
        assert await page.evaluate("document.documentElement.dataset.theme") == "dark", "as the system has it"
        found[name] = await violations_in_both_themes(page.locator(":root"))
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


async def test_axe_finds_nothing_serious_in_dialogs_and_menus_light_or_dark(
    pages: Mapping[str, str], windows: Windows
) -> None:
    # What fades in is judged as it is in the end.
    page = await windows.blank(reduced_motion="reduce")
    found: list[str] = []
    for path, button in dialogs(pages):
        await page.goto(path)
        await settled(page)
        await page.get_by_role("button", name=button).first.click()
        await expect(page.get_by_role("dialog").or_(page.get_by_role("alertdialog"))).to_be_visible()
        found += await violations_in_both_themes(page.locator(":root"))
    await page.goto("/memories")
    await page.get_by_role("button", name="Actions for:").first.click()
    await expect(page.get_by_role("menu")).to_be_visible()
    assert found + await violations_in_both_themes(page.locator(":root")) == []


async def test_no_page_is_wider_than_a_telephone(pages: Mapping[str, str], windows: Windows) -> None:
    page = await windows.blank(viewport={"width": 375, "height": 812})
    wide: list[str] = []
    for name, path in pages.items():
        await page.goto(path)
        await settled(page)
        width = await page.evaluate("document.documentElement.scrollWidth")
        wide += [f"{name}: {width} px"] if width > 375 else []
    assert wide == []


async def test_texts_and_names_are_never_html(pages: Mapping[str, str], windows: Windows) -> None:
    # What a page must not do is watched by `windows`: dialogs, requests elsewhere, what its policy forbids.
    page = await windows.blank()
    for path in pages.values():
        await page.goto(path)
        await settled(page)
        assert await page.locator("main img, main script, main a[href^='javascript']").count() == 0
    for name in ("memory", "app", "tokens", "memories"):
        await page.goto(pages[name])
        await expect(page.locator("main").get_by_text(HOSTILE).first).to_be_attached()
    await page.set_viewport_size({"width": 375, "height": 812})
    await page.goto("/events?type=MemoryAdded")
    added = page.locator("li").filter(has_text="[a](javascript:alert(2))").first
    await added.locator("summary").click()
    assert json.loads(await added.locator("pre").inner_text())["data"]["metadata"] == HOSTILE_METADATA
    assert await page.locator("main img, main script").count() == 0
    assert await page.evaluate("document.documentElement.scrollWidth") == 375
    await page.set_viewport_size({"width": 1280, "height": 800})
    await page.goto("/memories?archived=true")
    await page.get_by_role("button", name="Filter").click()
    await page.get_by_role("tab", name="Categories").click()
    await expect(page.get_by_role("checkbox", name=HOSTILE)).to_be_visible()
