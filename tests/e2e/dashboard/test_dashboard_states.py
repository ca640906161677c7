"""What each page says when there is nothing, nothing yet, no answer or a refusal: never a blank page, never one that
loads for ever."""

import asyncio
import json
import re
import uuid
from collections.abc import Mapping

import pytest
from playwright.async_api import Page, Route, expect
from support.browser import Windows
from support.dashboard import add, mark, words
from support.screenshots import settled
from support.stack import Stack

ASKED = re.compile(r"/api/|/openapi\.json$")
WITHOUT_DATA = {"not-found"}


async def test_each_page_says_that_it_waits_and_why_it_has_nothing_to_show_and_comes_back(
    pages: Mapping[str, str], windows: Windows
) -> None:
    """First nobody answers; then there is no connection, then no success; and, once it has come back, no permission."""

    async def check(name: str) -> str | None:
        status = 0
        answered = asyncio.Event()

        async def refuse(route: Route) -> None:
            await answered.wait()
            if status == 0:
                return await route.abort("connectionrefused")
            problem = {"status": status, "code": "of_a_test", "title": "Told by a test", "detail": "Told by a test."}
            return await route.fulfill(status=status, content_type="application/problem+json", body=json.dumps(problem))

        async def said(title: str, words: str, again: int) -> None:
            """Each alert does, and offers to ask again as often as that."""
            await expect(alerts.filter(has_text=title).first).to_be_visible()
            await settled(page)
            for alert in await alerts.all():
                await expect(alert).to_contain_text(title)
                await expect(alert).to_contain_text(words)
                await expect(alert.get_by_role("button", name="Try again")).to_have_count(again)

        async def ask_again() -> None:
            buttons = alerts.get_by_role("button", name="Try again")
            await buttons.evaluate_all("buttons => buttons.forEach(button => button.click())")

        page = await context.new_page()
        alerts = page.get_by_role("alert")
        try:
            await page.route(ASKED, refuse)
            await page.goto(pages[name])
            await expect(page.locator("main").get_by_role("status", name="Loading").first).to_be_visible()
            answered.set()
            await said("No connection to Memlog", "memlog up", 1)
            status = 500
            await ask_again()
            await said("Memlog is having trouble", "Told by a test.", 1)
            await page.unroute(ASKED)
            await ask_again()
            # What only shows now comes back by itself.
            await expect(alerts).to_have_count(0)
            await settled(page)
            status = 403
            await page.route(ASKED, refuse)
            await page.reload()
            # To ask again does not help whoever may not.
            await said("You do not have permission", "Told by a test.", 0)
        except AssertionError as wrong:
            return f"{name}, {status}: {wrong}"
        finally:
            await page.close()
        return None

    context = (await windows.blank()).context
    found = await asyncio.gather(*[check(name) for name in pages if name not in WITHOUT_DATA])
    assert [wrong for wrong in found if wrong] == []


async def test_an_action_that_fails_says_so_and_loses_nothing(stack: Stack, windows: Windows) -> None:
    text = words("I keep what I wrote")
    async with stack.http() as http:
        id_ = await add(http, text, "cursor")

    async def fail(route: Route) -> None:
        if route.request.method in ("GET", "HEAD") or route.request.url.endswith("/filter"):
            return await route.continue_()
        return await route.fulfill(
            status=503, content_type="application/problem+json", body=json.dumps({"detail": "The log is full."})
        )

    page = await windows.open("/memories?search=" + text.rsplit(" ", 1)[1])
    row = page.get_by_role("row").filter(has_text=text)
    await expect(row).to_be_visible()
    await page.route(ASKED, fail)
    for action in ("Pause", "Archive", "Delete"):
        await page.get_by_role("button", name=f"Actions for: {text}").click()
        await page.get_by_role("menuitem", name=action, exact=True).click()
        said = page.get_by_role("region").get_by_text("The log is full.")
        await expect(said).to_be_visible()
        await page.get_by_role("button", name="Dismiss").click()
        await expect(said).to_have_count(0)
        await expect(row.get_by_text("active", exact=True)).to_be_visible()
    await page.goto(f"/memory/{id_}")
    for opens, field, does in [
        ("Edit", "Text", "Save"),
        ("Create memory", "What should be remembered?", "Create"),
    ]:
        await page.get_by_role("button", name=opens).click()
        await page.get_by_label(field).fill("A long text of mine")
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("button", name=does).click()
        await expect(dialog.get_by_role("alert")).to_contain_text("The log is full.")
        await expect(page.get_by_label(field)).to_have_value("A long text of mine")
        await page.keyboard.press("Escape")


async def test_what_was_shown_stays_while_memlog_is_away_and_goes_when_it_says_that_it_is_gone(
    stack: Stack, windows: Windows
) -> None:
    text = words("I was there")
    async with stack.http() as http:
        id_ = await add(http, text, "cursor")
    answer: int = 0
    cut_off = asyncio.Event()

    async def refuse(route: Route) -> None:
        if answer == 0:
            return await route.abort("connectionrefused")
        problem = {"status": answer, "code": "of_a_test", "title": "Told by a test", "detail": "Told by a test."}
        return await route.fulfill(status=answer, content_type="application/problem+json", json=problem)

    async def cut(route: Route) -> None:
        """The stream ends at once, and is not there any more."""
        if cut_off.is_set():
            return await route.abort("connectionrefused")
        cut_off.set()
        return await route.fulfill(content_type="text/event-stream", body="")

    page = await windows.blank()
    main = page.locator("main")
    old, alert = main.get_by_role("status").filter(has_text="Not up to date"), main.get_by_role("alert")
    await page.route("**/api/v1/events/stream*", cut)
    await page.goto(f"/memory/{id_}")
    await expect(main.get_by_role("note")).to_contain_text("may be out of date")
    await page.unroute_all()
    await expect(main.get_by_role("note")).to_have_count(0)
    for path, shown, gone, title in [
        (f"/memory/{id_}", main.locator("p.text-lg"), 404, "Not found"),
        (f"/memories?search={mark(text)}", main.get_by_role("link", name=text), 403, "You do not have permission"),
    ]:
        await page.goto(path)
        await expect(shown).to_be_visible()
        await settled(page)
        await page.route(ASKED, refuse)
        answer = 0
        await page.get_by_role("button", name="Refresh").click()
        await expect(old.first).to_contain_text("memlog up")
        await expect(shown).to_be_visible()
        await expect(alert).to_have_count(0)
        answer = gone
        await old.first.get_by_role("button", name="Try again").click()
        await expect(alert.first).to_contain_text(title)
        await expect(shown).to_have_count(0)
        await expect(alert.get_by_role("button", name="Try again")).to_have_count(0)
        await page.unroute_all()
        await page.get_by_role("button", name="Refresh").click()
        await expect(shown).to_be_visible()


async def test_a_filter_can_be_chosen_while_a_newer_list_cannot_be_had(windows: Windows) -> None:
    async def refuse(route: Route) -> None:
        problem = {"status": 409, "code": "of_a_test", "title": "Told by a test", "detail": "Told by a test."}
        await route.fulfill(status=409, content_type="application/problem+json", json=problem)

    page = await windows.open("/memories")
    await page.get_by_role("button", name="Filter").click()
    dialog, choice = page.get_by_role("dialog"), page.get_by_role("checkbox", name="preferences")
    await dialog.get_by_role("tab", name="Categories").click()
    await expect(choice).to_be_visible()
    await page.keyboard.press("Escape")
    await page.route("**/api/v1/memories/categories*", refuse)
    await page.get_by_role("button", name="Refresh").click()
    await page.get_by_role("button", name="Filter").click()
    await dialog.get_by_role("tab", name="Categories").click()
    await expect(dialog.get_by_role("status")).to_contain_text("Not up to date: Told by a test.")
    await choice.click()
    await expect(choice).to_be_checked()


@pytest.mark.parametrize(("path", "kind"), [("/memory", "memories"), ("/apps", "apps")])
async def test_what_is_not_there_leads_back_to_where_it_would_be(windows: Windows, path: str, kind: str) -> None:
    page = await windows.open(f"{path}/{uuid.uuid4()}")
    # Parts of the page may say it first, on their own.
    alert = page.get_by_role("alert").filter(has=page.get_by_role("link", name=f"Back to {kind}"))
    await expect(alert).to_contain_text("Not found")
    await expect(alert.get_by_role("button")).to_have_count(0)
    await alert.get_by_role("link", name=f"Back to {kind}").click()
    await expect(page).to_have_url(re.compile(f"/{kind}$"))


EMPTY: Mapping[str, tuple[str, object, str]] = {
    "/memories": (
        "**/memories/filter",
        {"items": [], "total": 0, "page": 1, "size": 10, "pages": 0},
        "No memories yet",
    ),
    "/": ("**/api/v1/stats/activity?*", {"step": "day", "starts": [0], "apps": []}, "No memories in this period"),
    "/apps": ("**/api/v1/apps?*", {"total": 0, "page": 1, "page_size": 24, "apps": []}, "No apps yet"),
    "/tokens": (
        "**/api/v1/tokens?*",
        {"items": [], "total": 0, "page": 1, "size": 20, "pages": 0},
        "No tokens yet",
    ),
    "/access": (
        "**/api/v1/access-rules?*",
        {"items": [], "total": 0, "page": 1, "size": 20, "pages": 0},
        "No rules",
    ),
    "/events": ("**/api/v1/events?*", {"events": [], "next": None}, "No events yet"),
    "/dead-letters": ("**/api/v1/dead-letters?*", {"dead_letters": [], "next": None}, "No dead letters"),
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


async def test_a_page_that_is_not_there_says_so(windows: Windows) -> None:
    page = await windows.open("/no-such-page")
    await expect(page.get_by_text("Page not found")).to_be_visible()
