"""Rebuilds in the browser, and what the API then says."""

import re
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from audit.keeper import PostgresKeeper
from playwright.async_api import Locator, Page, expect
from runtime.postgres import create_pool
from support.browser import Windows, violations_in_both_themes
from support.dashboard import sign_in
from support.inside import Inside
from support.rebuilds import blocked
from support.stack import eventually

READS = "access-log"


async def opened(memlog: Inside, windows: Windows) -> tuple[Page, Locator]:
    """The operator's page, and on it the panel of the reads."""
    page = await windows.blank()
    await sign_in(page, memlog.http.headers["Authorization"].removeprefix("Bearer "))
    await page.goto("/projections")
    panel = page.locator("section").filter(has=page.get_by_role("heading", name=READS, exact=True))
    await expect(panel).to_contain_text("up to date")
    return page, panel


def row(panel: Locator, number: int) -> Locator:
    return panel.get_by_role("listitem").filter(has=panel.page.get_by_text(f"Generation {number}", exact=True))


async def rebuild(page: Page, panel: Locator, *, hold: bool) -> None:
    await panel.get_by_role("button", name="Rebuild").click()
    dialog = page.get_by_role("dialog", name=f"Rebuild {READS}?")
    if hold:
        await dialog.get_by_role("checkbox", name="Switch to it by itself").click()
    await dialog.get_by_role("button", name="Rebuild").click()
    await expect(dialog).to_have_count(0)


async def confirm(page: Page, answer: str) -> None:
    dialog = page.get_by_role("alertdialog")
    button = dialog.get_by_role("button", name=answer, exact=True)
    await expect(button).to_be_visible()
    assert await violations_in_both_themes(dialog) == []
    await button.click()


async def generations(memlog: Inside) -> dict[int, str]:
    """Number → state."""
    view: dict[str, Any] = (await memlog.http.get(f"/api/v1/projections/{READS}")).raise_for_status().json()
    return {each["number"]: each["state"] for each in view["generations"]}


async def is_(found: Awaitable[int], wanted: int) -> bool:
    return await found == wanted


def serving(states: dict[int, str]) -> int:
    return next(number for number, state in states.items() if state == "serving")


async def test_a_rebuild_serves_when_it_is_equal_and_is_rolled_back_and_removed(
    guarded: Inside, guarded_windows: Windows
) -> None:
    before = serving(await generations(guarded))
    page, panel = await opened(guarded, guarded_windows)
    await rebuild(page, panel, hold=False)
    await expect(row(panel, before + 1)).to_contain_text("serving")
    await expect(row(panel, before)).to_contain_text("retired")
    assert serving(await generations(guarded)) == before + 1
    await panel.get_by_role("button", name="Roll back").click()
    await confirm(page, "Roll back")
    await expect(row(panel, before)).to_contain_text("serving")
    assert (await generations(guarded))[before + 1] == "retired"
    await row(panel, before + 1).get_by_role("button", name="Remove").click()
    await confirm(page, "Remove")
    await expect(row(panel, before + 1)).to_have_count(0)
    assert await generations(guarded) == {before: "serving"}


async def test_a_rebuild_that_is_held_shows_how_it_compares_and_serves_when_it_is_switched_to(
    guarded: Inside, guarded_windows: Windows
) -> None:
    before = serving(await generations(guarded))
    page, panel = await opened(guarded, guarded_windows)
    await rebuild(page, panel, hold=True)
    held = row(panel, before + 1)
    await expect(held.get_by_text("following", exact=True)).to_be_visible()
    await expect(held.get_by_text("equal", exact=True)).to_be_visible()
    states = await generations(guarded)
    assert (states[before], states[before + 1]) == ("serving", "following")
    # One at a time.
    await expect(panel.get_by_role("button", name="Rebuild")).to_have_count(0)
    await held.get_by_role("button", name="Switch to it").click()
    await expect(held.get_by_text("serving", exact=True)).to_be_visible()
    states = await generations(guarded)
    assert (states[before], states[before + 1]) == ("retired", "serving")


async def test_a_generation_that_differs_says_in_what_and_serves_only_after_a_question(
    guarded: Inside, guarded_windows: Windows
) -> None:
    before = serving(await generations(guarded))
    page, panel = await opened(guarded, guarded_windows)

    async def reads() -> int:
        answer = await guarded.http.get("/api/v1/audit", params={"action": "read", "kind": "search"})
        return answer.raise_for_status().json()["total"]

    known = await reads()
    (await guarded.http.get("/api/v1/search", params={"query": "what is lost"})).raise_for_status()
    await eventually(lambda: is_(reads(), known + 1))
    table = f"access_log_g{before}.reads"
    await guarded.sql(f"DELETE FROM {table} WHERE sequence = (SELECT max(sequence) FROM {table})")
    assert await reads() == known
    await rebuild(page, panel, hold=False)
    new = row(panel, before + 1)
    await expect(new.get_by_text("differs", exact=True)).to_be_visible()
    await expect(new).to_contain_text(re.compile(r"reads: uid \S+, sequence \d+"))
    refused = await guarded.http.post(f"/api/v1/projections/{READS}/switch", json={"number": before + 1})
    assert (refused.status_code, "reads: uid" in refused.json()["detail"]) == (409, True)
    await new.get_by_role("button", name="Switch to it").click()
    dialog = page.get_by_role("alertdialog", name="Switch although it differs?")
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(dialog).to_have_count(0)
    states = await generations(guarded)
    assert (states[before], states[before + 1], await reads()) == ("serving", "following", known)
    await new.get_by_role("button", name="Switch to it").click()
    await confirm(page, "Switch anyway")
    await expect(new.get_by_text("serving", exact=True)).to_be_visible()
    states = await generations(guarded)
    assert (states[before], states[before + 1], await reads()) == ("retired", "serving", known + 1)


async def test_a_rebuild_shows_how_far_it_is_and_is_paused_resumed_and_given_up(
    guarded: Inside, guarded_windows: Windows, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = await generations(guarded)
    may_fill, builder = tmp_path / "may-fill", PostgresKeeper.builder

    def waits(keeper: PostgresKeeper, number: int, from_scratch: bool) -> tuple[str, ...]:
        script = 'until [ -e "$0" ]; do sleep 0.05; done; exec "$@"'
        return "sh", "-c", script, str(may_fill), *builder(keeper, number, from_scratch)

    monkeypatch.setattr(PostgresKeeper, "builder", waits)

    async def begun() -> int | None:
        return next((number for number in await generations(guarded) if number > max(known)), None)

    page, panel = await opened(guarded, guarded_windows)
    pool = await create_pool(guarded.settings.postgres_dsn.get_secret_value(), application_name="test", size=2)
    try:
        await rebuild(page, panel, hold=True)
        number = await eventually(begun)
        new, bar = row(panel, number), panel.get_by_role("progressbar", name=f"Rebuild of generation {number}")
        async with blocked(pool, f"access_log_g{number}.reads"):
            may_fill.touch()
            await expect(bar).to_have_attribute("aria-valuenow", re.compile(r"^\d{1,2}$"))
            await expect(panel.get_by_text(re.compile(r"\d+ of [1-9]\d* events, "))).to_be_visible()
            await new.get_by_role("button", name="Pause").click()
            await expect(new.get_by_text("paused", exact=True)).to_be_visible()
            assert (await generations(guarded))[number] == "paused"
            await expect(bar).to_have_count(0)
            await new.get_by_role("button", name="Resume").click()
            await expect(new.get_by_text("building", exact=True)).to_be_visible()
            assert (await generations(guarded))[number] == "building"
            await expect(bar).to_be_visible()
        # Nobody touches the page: it looks again by itself.
        await expect(new.get_by_text("equal", exact=True)).to_be_visible()
        await new.get_by_role("button", name="Stop").click()
        await confirm(page, "Stop it")
        await expect(new).to_have_count(0)
        assert number not in await generations(guarded)
        assert serving(await generations(guarded)) == serving(known)
    finally:
        pool.terminate()
