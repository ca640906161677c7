"""The dashboard of a Memlog that asks for tokens."""

import re
import uuid
from typing import Any

import httpx
import pytest
from playwright.async_api import Locator, Page, expect
from support.browser import Windows, violations
from support.dashboard import sign_in
from support.inside import Inside
from support.screenshots import settled

ALL = ("read", "write", "delete", "admin")


async def issued(memlog: Inside, user: str, *scopes: str, app: str = "dashboard") -> dict[str, Any]:
    body = {"user_id": user, "app": app, "scopes": scopes or ALL}
    return (await memlog.http.post("/api/v1/tokens", json=body)).raise_for_status().json()


async def person(memlog: Inside, name: str, *scopes: str) -> tuple[str, str, str]:
    """A user with one memory: their name, a token, and the memory's text."""
    user = f"{name}-{uuid.uuid4().hex[:8]}"
    text = f"{user} was here"
    token = (await issued(memlog, user))["token"]
    body = {"text": text, "infer": False}
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=memlog.url, headers=headers, timeout=60) as http:
        (await http.post("/api/v1/memories", json=body)).raise_for_status()
    return user, (await issued(memlog, user, *scopes))["token"] if scopes else token, text


async def enter(page: Page, token: str) -> None:
    await page.get_by_label("Token").fill(token)
    await page.get_by_role("button", name="Sign in").click()


async def test_one_signs_in_sees_what_is_ones_own_and_signs_out(guarded: Inside, guarded_windows: Windows) -> None:
    _, ada, hers = await person(guarded, "ada")
    _, bob, his = await person(guarded, "bob")
    page = await guarded_windows.open("/memories?sort=memory")
    asked = page.get_by_role("heading", name="Sign in")
    await expect(asked).to_be_visible()
    await enter(page, "memlog_wrong")
    await expect(page.get_by_role("alert")).to_have_text(
        "That token does not count here: it is unknown, expired or revoked."
    )
    await enter(page, ada)
    await expect(page.get_by_role("link", name=hers)).to_be_visible()
    await expect(page.get_by_text("1 memory", exact=True)).to_be_visible()
    assert page.url.endswith("/memories?sort=memory")
    await page.reload()
    await expect(page.get_by_role("link", name=hers)).to_be_visible()
    another = await guarded_windows.open("/memories")
    await expect(another.get_by_role("heading", name="Sign in")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await expect(asked).to_be_visible()
    await enter(page, bob)
    await expect(page.get_by_role("link", name=his)).to_be_visible()
    await expect(page.get_by_text(hers)).to_have_count(0)
    assert ada not in str(await page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])"))


async def test_who_is_signed_in_is_asked_again_once_the_token_is_revoked(
    guarded: Inside, guarded_windows: Windows
) -> None:
    user, token, text = await person(guarded, "cleo")
    tokens = (await guarded.http.get("/api/v1/tokens", params={"user_id": user})).json()["items"]
    page = await guarded_windows.open("/memories")
    await enter(page, token)
    await expect(page.get_by_role("link", name=text)).to_be_visible()
    for held in tokens:
        path = f"/api/v1/tokens/{held['id']}"
        (await guarded.http.delete(path, params={"user_id": user})).raise_for_status()
    # Nobody touches the page: it notices by itself.
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await expect(page.get_by_role("alert")).to_contain_text("revoked")
    await expect(page.get_by_text(text)).to_have_count(0)
    await enter(page, (await issued(guarded, user))["token"])
    await expect(page.get_by_role("link", name=text)).to_be_visible()


async def test_what_a_token_may_not_do_is_switched_off_and_says_why(guarded: Inside, guarded_windows: Windows) -> None:
    _, token, text = await person(guarded, "dora", "read")
    page = await guarded_windows.blank()
    await sign_in(page, token)
    await page.goto("/memories")
    await expect(page.get_by_role("note")).to_contain_text(
        "does not have the “write”, “delete” and “admin” permissions"
    )
    create = page.get_by_role("button", name="Create memory")
    await expect(create).to_be_disabled()
    await expect(create).to_have_attribute("title", re.compile("does not have the “write” permission"))
    await page.get_by_role("button", name=f"Actions for: {text}").click()
    for name in ("Edit", "Pause", "Archive", "Delete"):
        await expect(page.get_by_role("menuitem", name=name)).to_be_disabled()
    await expect(page.get_by_role("menuitem", name="Copy link")).to_be_enabled()
    await page.keyboard.press("Escape")
    await page.get_by_role("checkbox", name=f"Select: {text}").click()
    await off(page.get_by_role("toolbar").get_by_role("button"), 4)
    await page.get_by_role("link", name=text).click()
    await expect(page.get_by_label("State")).to_be_disabled()
    await off(page.get_by_role("button", name=re.compile("^(Edit|Delete)$")), 2)
    for path, names, number in [
        ("/settings", "^(Reset|Import|Save)$", 5),
        ("/access", "^Add a rule$", 1),
        ("/tokens", "^Issue a token$", 1),
    ]:
        await page.goto(path)
        await settled(page)
        await off(page.get_by_role("button", name=re.compile(names)), number)
    await page.goto("/access")
    await expect(page.get_by_label("Without a matching rule, an app may read")).to_be_disabled()
    # What is the operator's alone says so, and nothing loads for ever.
    for path in ("/tokens", "/projections", "/dead-letters", "/health"):
        await page.goto(path)
        await expect(page.get_by_role("alert")).to_contain_text("You do not have permission")
        await settled(page)
    await page.goto("/")
    await settled(page)
    await expect(page.get_by_role("link", name=text)).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_nothing_serious_where_one_signs_in_nor_where_a_scope_is_missing(
    guarded: Inside, guarded_windows: Windows, theme: str
) -> None:
    _, token, text = await person(guarded, "finn", "read")
    small: Any = {"width": 375, "height": 812}
    page = await guarded_windows.blank(color_scheme=theme, viewport=small)
    await page.goto("/memories")
    await enter(page, "memlog_wrong")
    await expect(page.get_by_role("alert")).to_be_visible()
    found = await violations(page)
    assert await page.evaluate("document.documentElement.scrollWidth") == small["width"]
    await enter(page, token)
    await expect(page.get_by_role("link", name=text)).to_be_visible()
    await expect(page.get_by_role("note")).to_be_visible()
    assert found + await violations(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth") == small["width"]


async def off(buttons: Locator, number: int) -> None:
    await expect(buttons).to_have_count(number)
    for button in await buttons.all():
        await expect(button).to_be_disabled()


async def test_who_brings_a_token_that_opens_nothing_is_told_which_one_does(
    guarded: Inside, guarded_windows: Windows
) -> None:
    user, own, text = await person(guarded, "eve's")
    clients = (await issued(guarded, user, "read", "write", app="cursor"))["token"]
    writes = (await issued(guarded, user, "write"))["token"]
    page = await guarded_windows.open("/memories")
    asked, told = page.get_by_role("heading", name="Sign in"), page.get_by_role("alert")
    await enter(page, clients)
    await expect(told).to_contain_text(f"That is a token for the client “cursor” (of {user}, to read and write)")
    # As a shell takes the name.
    quoted = "'" + user.replace("'", "'\\''") + "'"
    await expect(told.locator("code")).to_have_text(f"memlog token issue --user {quoted}")
    await expect(asked).to_be_visible()
    assert await page.evaluate("sessionStorage.length") == 0
    await enter(page, writes)
    await expect(told).to_contain_text("That token does not have the “read” permission")
    await expect(told.locator("code")).to_have_text("memlog token issue")
    assert await page.evaluate("sessionStorage.length") == 0
    await enter(page, own)
    await expect(page.get_by_role("link", name=text)).to_be_visible()
    # Nor does it where the tab holds one already.
    await page.evaluate("token => sessionStorage.setItem('memlog.token', token)", clients)
    await page.reload()
    await expect(asked).to_be_visible()
    await expect(told).to_contain_text("That is a token for the client “cursor”")
    await expect(page.get_by_text(text)).to_have_count(0)
