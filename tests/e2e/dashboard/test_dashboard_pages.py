"""What holds of every page: it can be read and used by everybody, fits a telephone, shows texts as texts, and says
so when there is nothing, nothing yet, or no answer."""

import asyncio
import json
from collections.abc import Mapping

import pytest
import pytest_asyncio
from playwright.async_api import Page, Route, expect
from support.browser import Windows, violations
from support.dashboard import HOSTILE, fill
from support.screenshots import settled
from support.stack import Stack

THEMES = pytest.mark.parametrize("theme", ["light", "dark"])
WITHOUT_DATA = {"not-found"}


@pytest_asyncio.fixture(scope="session")
async def pages(stack: Stack) -> Mapping[str, str]:
    async with stack.http() as http:
        return await fill(http, hostile=True)


@THEMES
async def test_axe_finds_nothing_serious_on_any_page(pages: Mapping[str, str], windows: Windows, theme: str) -> None:
    found: dict[str, list[str]] = {}
    page = await windows.blank(color_scheme=theme, bypass_csp=True)
    for name, path in pages.items():
        await page.goto(path)
        await settled(page)
        found[name] = await violations(page)
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@THEMES
async def test_axe_finds_nothing_serious_in_dialogs_and_menus(
    pages: Mapping[str, str], windows: Windows, theme: str
) -> None:
    page = await windows.blank(color_scheme=theme, bypass_csp=True)
    found: list[str] = []
    for path, button in [
        ("/memories", "Create memory"),
        ("/memories", "Filter"),
        (pages["memory"], "Edit"),
        ("/access", "Add a rule"),
        ("/tokens", "Issue a token"),
        ("/tokens", "Revoke"),
    ]:
        await page.goto(path)
        await settled(page)
        await page.get_by_role("button", name=button).first.click()
        await expect(page.get_by_role("dialog").or_(page.get_by_role("alertdialog"))).to_be_visible()
        found += await violations(page)
    await page.goto("/memories")
    await page.get_by_role("button", name="Actions for:").first.click()
    await expect(page.get_by_role("menu")).to_be_visible()
    assert found + await violations(page) == []


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
    await page.goto("/events")
    await page.locator("summary").first.click()
    await page.goto("/memories?archived=true")
    await page.get_by_role("button", name="Filter").click()
    await page.get_by_role("tab", name="Categories").click()
    await expect(page.get_by_role("checkbox", name=HOSTILE)).to_be_visible()


@pytest.mark.parametrize(
    ("status", "title"),
    [
        (0, "No connection to Memlog"),
        (403, "This is not yours to see or do"),
        (500, "Memlog cannot do this now"),
    ],
    ids=["gateway down", "403", "500"],
)
async def test_each_page_says_why_it_has_nothing_to_show(
    pages: Mapping[str, str], windows: Windows, status: int, title: str
) -> None:
    async def refuse(route: Route) -> None:
        if status == 0:
            return await route.abort("connectionrefused")
        problem = {"status": status, "code": "of_a_test", "title": "Told by a test", "detail": "Told by a test."}
        return await route.fulfill(status=status, content_type="application/problem+json", body=json.dumps(problem))

    async def check(name: str) -> str | None:
        page = await windows.blank()
        await page.route("**/api/**", refuse)
        await page.goto(pages[name])
        alert = page.get_by_role("alert").filter(has_text=title)
        try:
            await expect(alert.first).to_be_visible()
            if status == 0:
                # It looks for Memlog all the time: nobody has to load the page again.
                await page.unroute("**/api/**")
                await expect(alert).to_have_count(0)
        except AssertionError as wrong:
            return f"{name}: {wrong}"
        finally:
            await page.close()
        return None

    said = await asyncio.gather(*[check(name) for name in pages if name not in WITHOUT_DATA])
    assert [wrong for wrong in said if wrong] == []


EMPTY: Mapping[str, tuple[str, object, str]] = {
    "/memories": (
        "**/memories/filter",
        {"items": [], "total": 0, "page": 1, "size": 10, "pages": 0},
        "No memories yet",
    ),
    "/": ("**/api/v1/stats/activity?*", {"step": "day", "starts": [0], "apps": []}, "No memories are of this time"),
    "/apps": ("**/api/v1/apps?*", {"total": 0, "page": 1, "page_size": 24, "apps": []}, "No apps yet"),
    "/tokens": (
        "**/api/v1/tokens?*",
        {"items": [], "total": 0, "page": 1, "size": 20, "pages": 0},
        "No token was issued yet",
    ),
    "/access": (
        "**/api/v1/access-rules?*",
        {"items": [], "total": 0, "page": 1, "size": 20, "pages": 0},
        "No rules",
    ),
    "/events": ("**/api/v1/events?*", {"events": [], "next": None}, "Nothing has happened yet"),
    "/dead-letters": ("**/api/v1/dead-letters?*", {"dead_letters": [], "next": None}, "Nothing was given up on"),
}


@pytest.mark.parametrize("path", list(EMPTY))
async def test_a_page_says_that_it_waits_and_then_that_there_is_nothing(windows: Windows, path: str) -> None:
    pattern, nothing, words = EMPTY[path]
    answered = asyncio.Event()

    async def answer(route: Route) -> None:
        await answered.wait()
        await route.fulfill(json=nothing)

    page: Page = await windows.blank()
    await page.route(pattern, answer)
    await page.goto(path)
    await expect(page.get_by_role("status", name="Loading").first).to_be_visible()
    answered.set()
    await expect(page.get_by_text(words)).to_be_visible()
