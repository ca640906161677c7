"""Backups, dead letters, the audit and the event stream in the browser, and what the API then says."""

import io
import json
import re
import uuid
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import expect
from support.browser import Windows, violations_in_both_themes
from support.dashboard import TRACES, add, app_id, sign_in
from support.inside import Inside
from support.poison import letters, refused_by_postgresql
from support.stack import Stack, call


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


async def get(http: httpx.AsyncClient, path: str, **params: Any) -> Any:
    return (await http.get(path, params=params)).raise_for_status().json()


async def texts(http: httpx.AsyncClient, marked: str) -> list[str]:
    found = await http.post("/api/v1/memories/filter", json={"search_query": marked, "show_archived": True})
    return [memory["content"] for memory in found.raise_for_status().json()["items"]]


async def test_a_backup_is_downloaded_and_brought_in_again(stack: Stack, windows: Windows, tmp_path: Path) -> None:
    marked = unique("backed")
    async with stack.http() as http:
        id_ = await add(http, f"As it was {marked}", "cursor", categories=["travel"])
        page = await windows.open("/settings")
        async with page.expect_download() as downloading:
            await page.get_by_role("button", name="Export").click()
        download = await downloading.value
        assert re.fullmatch(r"memlog-\d{4}-\d\d-\d\d\.zip", download.suggested_filename)
        await download.save_as(tmp_path / "backup.zip")
        with zipfile.ZipFile(tmp_path / "backup.zip") as held:
            assert marked in held.read("memories.json").decode()

        await http.put(f"/api/v1/memories/{id_}", json={"memory_content": f"As it is {marked}"})
        picker, start = page.locator("input[type=file]"), page.get_by_role("button", name="Import", exact=True)
        await expect(start).to_be_disabled()
        for mode, now in [("skip", "As it is"), ("overwrite", "As it was")]:
            await picker.set_input_files(tmp_path / "backup.zip")
            await page.get_by_label("Existing memories").select_option(mode)
            await start.click()
            await expect(page.get_by_text("Choose a file")).to_be_visible()
            assert await texts(http, marked) == [f"{now} {marked}"]


async def test_a_broken_backup_is_refused_with_what_is_wrong(stack: Stack, windows: Windows) -> None:
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    page = await windows.open("/settings")
    file = {"name": "empty.zip", "mimeType": "application/zip", "buffer": empty.getvalue()}
    await page.locator("input[type=file]").set_input_files(files=[file])  # pyright: ignore[reportArgumentType]
    await page.get_by_role("button", name="Import", exact=True).click()
    await expect(page.get_by_text(re.compile("memories.json")).last).to_be_visible()


async def test_a_search_stands_in_the_audit_with_rank_and_score_and_a_link_to_its_trace(
    stack: Stack, windows: Windows
) -> None:
    app = unique("reader")
    trace = uuid.uuid4().hex
    async with stack.http() as http:
        id_ = await add(http, f"{app} likes pears", "cursor")
        async with stack.mcp(path=f"/mcp/{app}/http/default") as client:
            found = await call(client, "search_memory", query=f"{app} likes pears", limit=3)
        first = found["results"][0]
        assert first["id"] == id_
        await http.get(f"/api/v1/memories/{id_}", headers={"traceparent": f"00-{trace}-{'1' * 16}-01"})
        page = await windows.open("/audit")
        await page.get_by_label("App").select_option(label=app)
        await page.get_by_label("Reads or writes").select_option("read")
        await page.get_by_label("Kind").select_option("search")
        today = datetime.now(UTC).astimezone().date().isoformat()
        await page.get_by_label("From").fill(today)
        await page.get_by_label("To").fill(today)
        reader = await app_id(http, app)
        await expect(page).to_have_url(re.compile(rf"(?=.*app={reader})(?=.*kind=search)(?=.*from=)(?=.*to=)"))
        await page.reload()
        rows = page.get_by_role("list", name="Reads and writes").get_by_role("listitem")
        await expect(rows).to_have_count(1)
        await expect(page.get_by_label("App")).to_have_value(reader)
        await expect(page.get_by_label("From")).to_have_value(today)
        await rows.get_by_role("button", name=re.compile("memor")).click()
        best = page.get_by_role("dialog").get_by_role("listitem").first
        await expect(best).to_contain_text(re.compile(rf"^1{app} likes pears{first['score']:.3f}"))
        await best.get_by_role("link", name=f"{app} likes pears").click()
        await expect(page.get_by_role("heading", name="Access log")).to_be_visible()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        assert page.url.endswith(id_)
        await page.go_back()
        await expect(rows).to_have_count(1)
        await page.goto(f"/audit?memory={id_}&kind=get")
        await expect(rows.locator(f"a[href='{TRACES.replace('{trace_id}', trace)}']")).to_have_text("Trace")
        await page.get_by_role("button", name="Of one memory").click()
        await expect(page).not_to_have_url(re.compile("memory="))


async def test_the_audit_shows_what_a_read_returned_as_it_is_now_and_as_it_was_then(
    stack: Stack, windows: Windows
) -> None:
    app = unique("lister")
    async with stack.http() as http:
        ids = [await add(http, f"<b>{app}</b> number {number}", app) for number in range(21)]
        async with stack.mcp(path=f"/mcp/{app}/http/default") as client:
            listed = (await call(client, "list_memories", limit=21))["results"]
        place = {memory["id"]: rank for rank, memory in enumerate(listed, 1)}
        await http.put(f"/api/v1/memories/{ids[20]}", json={"memory_content": f"{app} is another now"})
        await http.post("/api/v1/memories/actions/pause", json={"memory_ids": [ids[19]], "state": "paused"})
        await http.request("DELETE", "/api/v1/memories", json={"memory_ids": [ids[18]]})
        page = await windows.open(f"/audit?app={await app_id(http, app)}&kind=list")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.get_by_role("button", name="21 memories").click()
        dialog = page.get_by_role("dialog")
        rows = dialog.get_by_role("listitem")
        await expect(rows).to_have_count(20)
        assert [place[each] for each in reversed(ids[18:])] == [1, 2, 3]
        await expect(rows.nth(0)).to_contain_text(f"{app} is another now")
        await expect(rows.nth(1)).to_contain_text(re.compile(rf"<b>{app}</b> number 19paused"))
        await expect(rows.nth(2)).to_contain_text(f"Deleted since. {ids[18]}")
        # However many were returned, their texts are asked for together (again, when something happens meanwhile).
        assert {url.partition("/api/v1/memories")[2] for url in asked if "/api/v1/memories" in url} == {"/filter"}
        await dialog.get_by_role("button", name="Next page").click()
        await expect(rows.first).to_contain_text(f"21<b>{app}</b> number 0")
        await dialog.get_by_role("button", name="Previous page").click()
        await rows.nth(2).get_by_role("link", name="Memory 3 as it was known then").click()
        await expect(page.locator("main")).to_contain_text(f"<b>{app}</b> number 18")
        await expect(dialog).to_have_count(0)


async def test_the_audit_leaves_out_the_dashboards_own_reads_and_says_so(stack: Stack, windows: Windows) -> None:
    app = unique("watched")
    async with stack.http() as http:
        id_ = await add(http, f"{app} likes plums", app)
        async with stack.mcp(path=f"/mcp/{app}/http/default") as client:
            await call(client, "search_memory", query=f"{app} likes plums", limit=3)
        page = await windows.open(f"/memory/{id_}")
        await expect(page.get_by_role("heading", name="Access log")).to_be_visible()
        await http.put(f"/api/v1/memories/{id_}", json={"memory_content": f"{app} likes figs"})
        await page.goto(f"/audit?memory={id_}")
        rows = page.get_by_role("list", name="Reads and writes").get_by_role("listitem")
        looks = rows.filter(has=page.get_by_label("read")).filter(has_text="dashboard")
        await expect(looks.first).to_be_visible()
        await expect(page.get_by_role("note")).to_have_count(0)
        switch = page.get_by_role("checkbox", name="Leave out the dashboard's own reads")
        await switch.click()
        await expect(looks).to_have_count(0)
        await expect(page).to_have_url(re.compile("without_own_reads=true"))
        await page.reload()
        await expect(page.get_by_role("note")).to_contain_text("Reads under the app “dashboard” are left out")
        await expect(rows.filter(has_text=app).filter(has_text="search")).to_have_count(1)
        await expect(rows.filter(has_text="dashboard").filter(has_text="MemoryRevised")).to_have_count(1)
        await expect(looks).to_have_count(0)
        await page.get_by_label("App").select_option("dashboard")
        await expect(rows.filter(has_text=app)).to_have_count(0)
        await expect(rows.filter(has_text="MemoryRevised")).to_have_count(1)
        await page.go_back()
        await page.go_back()
        await expect(looks.first).to_be_visible()


async def test_the_event_stream_shows_the_type_that_is_asked_for_and_halts(stack: Stack, windows: Windows) -> None:
    app, before, meanwhile, after = (unique(name) for name in ("eventful", "before", "meanwhile", "after"))
    async with stack.http() as http:
        id_ = await add(http, before, app)
        page = await windows.open("/events?type=MemoryPaused")
        state = page.locator("main").get_by_text("live", exact=True)
        await expect(state).to_be_visible()
        kinds = page.get_by_role("listitem").locator("summary > span:first-child")
        await http.post("/api/v1/memories/actions/pause", json={"memory_ids": [id_], "state": "paused"})
        await expect(page.get_by_role("listitem").first).to_contain_text(id_)
        assert set(await kinds.all_inner_texts()) == {"MemoryPaused"}
        await page.reload()
        await expect(page.get_by_label("Type of event")).to_have_value("MemoryPaused")
        await page.get_by_label("Type of event").select_option("MemoryAdded")
        await expect(page.get_by_role("listitem").filter(has_text=before)).to_have_count(1)
        await page.get_by_role("button", name="Pause").click()
        await add(http, meanwhile, app)
        await page.get_by_role("button", name="Resume").click()
        await expect(state).to_be_visible()
        await add(http, after, app)
        row = page.get_by_role("listitem").filter(has_text=after)
        await row.locator("summary").click()
        shown = json.loads(await row.locator("pre").inner_text())
        assert (shown["type"], shown["app_name"], shown["data"]["text"]) == ("MemoryAdded", app, after)
        await page.go_back()
        await expect(page.get_by_label("Type of event")).to_have_value("MemoryPaused")


async def test_older_events_are_shown_below_the_newest_until_there_are_none(stack: Stack, windows: Windows) -> None:
    app = unique("historic")
    async with stack.http() as http:
        ids = [await add(http, f"{app} number {number}", app) for number in range(11)]
        for state in ["paused", "active"] * 5:
            body = {"memory_ids": ids, "state": state}
            (await http.post("/api/v1/memories/actions/pause", json=body)).raise_for_status()
        # Of a type that nobody adds to meanwhile, as the categorizer does to others.
        found = await get(http, "/api/v1/events", type="MemoryPaused", limit=500)
        known = [event["position"] for event in found["events"]]
        assert len(known) > 50 and "next" not in found
        page = await windows.open("/events?type=MemoryPaused")
        rows = page.get_by_role("list", name="Events, newest first").get_by_role("listitem")
        await expect(rows).to_have_count(50)
        older = page.get_by_role("button", name="Show older")
        await older.focus()
        for shown in [*range(100, len(known), 50), len(known)]:
            await page.keyboard.press("Enter")
            await expect(rows).to_have_count(shown)
        await expect(page.get_by_text("These are all.")).to_be_visible()
        await expect(older).to_have_count(0)
        assert await rows.locator("summary code").all_inner_texts() == known[::-1]


async def test_a_dead_letter_is_shown_tried_again_and_given_up_on(guarded: Inside, guarded_windows: Windows) -> None:
    memlog, page = guarded, await guarded_windows.blank()
    await sign_in(page, memlog.http.headers["Authorization"].removeprefix("Bearer "))
    async with refused_by_postgresql(memlog, "memory_texts", "text NOT LIKE '%poison%'"):
        for text in ("poison for one", "poison for two"):
            await memlog.http.post("/api/v1/memories", json={"text": text, "infer": False, "wait": "stored"})
        await page.goto("/dead-letters")
        rows = page.get_by_role("listitem").filter(has_text="read-models")
        await expect(rows.filter(has_text="CheckViolation")).to_have_count(2)
        await rows.first.get_by_role("button", name="Show").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("poison for one")
        assert await violations_in_both_themes(dialog) == []
        await page.keyboard.press("Escape")
        await rows.first.get_by_role("button", name="Try again").click()
        toasts = page.get_by_role("region")
        await expect(toasts.get_by_text("CheckViolation")).to_be_visible()
        assert await violations_in_both_themes(toasts) == []
        assert len(await letters(memlog)) >= 2
    await rows.first.get_by_role("button", name="Try again").click()
    await expect(page.get_by_text("Healed.", exact=True)).to_be_visible()
    assert await violations_in_both_themes(toasts) == []
    assert await content(memlog) == ["poison for one"]
    await rows.first.get_by_role("button", name="Skip").click()
    question = page.get_by_role("alertdialog")
    await expect(question).to_contain_text("read-models will never apply it")
    assert await violations_in_both_themes(question) == []
    await question.get_by_role("button", name="Skip it").click()
    await expect(page.get_by_text("No dead letters")).to_be_visible()
    assert await letters(memlog) == []
    assert await content(memlog) == ["poison for one"]


async def content(memlog: Inside) -> list[str]:
    return [memory["content"] for memory in (await get(memlog.http, "/api/v1/memories"))["items"]]
