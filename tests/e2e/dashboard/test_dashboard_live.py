"""An open page shows what others change: at once, by one read that is right."""

import asyncio
from typing import Any

from playwright.async_api import Request, Response, Route, expect
from support.browser import Windows
from support.dashboard import mark, words
from support.stack import Stack, call

MIN_POSITION = "memlog-min-position"


def sequence(position: str) -> int:
    return int(position.rpartition("-")[2])


async def test_what_an_mcp_client_changes_an_open_page_shows_without_reload(stack: Stack, windows: Windows) -> None:
    text = words("I am told by an agent")
    page = await windows.open(f"/memories?search={mark(text)}&archived=true")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await expect(page.get_by_text("Nothing matches")).to_be_visible()
    await page.evaluate("window.loadedOnce = true")
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer) if answer.url.endswith("/memories/filter") else None)
    row = page.locator("tbody tr").filter(has_text=mark(text))
    async with stack.mcp(path="/mcp/cursor/http/default") as client:
        added = await call(client, "add_memories", text=text, infer=False)
        id_ = added["results"][0]["id"]
        await expect(row).to_be_visible()
        await page.get_by_role("link", name=text).click()
        other = words("I was told otherwise")
        await call(client, "update_memory", memory_id=id_, text=other)
        await expect(page.get_by_text("version 2").first).to_be_visible()
        await expect(page.locator("main p").filter(has_text=other).first).to_be_visible()
        await page.go_back()
        await expect(page.get_by_text("Nothing matches")).to_be_visible()
        await page.get_by_label("Search memories").fill(mark(other))
        await expect(page.get_by_role("link", name=other)).to_be_visible()
        await call(client, "delete_memories", memory_ids=[id_])
        await expect(page.get_by_text("Nothing matches")).to_be_visible()
    assert await page.evaluate("window.loadedOnce") is True
    # The first read after the event shows it: none has to be asked again a moment later.
    position = sequence(added["position"])
    after = [a for a in answers if sequence((await a.request.all_headers())[MIN_POSITION]) >= position]
    assert id_ in await after[0].text()


async def test_a_burst_of_changes_is_one_read_at_a_time_and_the_last_one_shows_all(
    stack: Stack, windows: Windows
) -> None:
    marked = words("")
    page = await windows.open(f"/memories?search={mark(marked)}&size=50")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await expect(page.get_by_text("Nothing matches")).to_be_visible()
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request) if request.url.endswith("/memories/filter") else None)
    async with stack.http() as http:
        bodies: list[dict[str, Any]] = [{"text": f"{number} {marked}", "infer": False} for number in range(30)]
        await asyncio.gather(*[http.post("/api/v1/memories", json=body) for body in bodies])
    await expect(page.locator("tbody tr")).to_have_count(30)
    # Each of the 30 has two events at least; how many of them come together is a matter of the machine.
    assert len(asked) < 2 * 30, [request.url for request in asked]


async def test_a_page_that_saw_more_of_the_log_than_there_is_after_a_restore_loads_everything_anew(
    stack: Stack, windows: Windows
) -> None:
    text, gone = words("I was restored"), words("I was written after the backup")
    async with stack.http() as http:
        id_ = (await http.post("/api/v1/memories", json={"text": text, "infer": False})).raise_for_status().json()["id"]
        page = await windows.blank()
        opened: list[str | None] = []
        restored = asyncio.Event()

        async def stream(route: Route) -> None:
            """The first one comes from a longer log, and is cut off by the restore."""
            opened.append(route.request.headers.get("last-event-id"))
            if len(opened) == 1:
                body = "id: 0-99999999\nevent: position\ndata: 0-99999999\n\n"
                await route.fulfill(content_type="text/event-stream", body=body)
            else:
                await restored.wait()
                await route.continue_()

        async def read(route: Route) -> None:
            """So do the reads until then."""
            if restored.is_set():
                await route.continue_()
            else:
                known = (await http.get(f"/api/v1/memories/{id_}")).json()
                await route.fulfill(json={**known, "text": gone})

        await page.route("**/api/v1/events/stream*", stream)
        await page.route(f"**/api/v1/memories/{id_}", read)
        await page.goto(f"/memory/{id_}")
        shown = page.locator("main p.text-lg")
        await expect(shown).to_have_text(gone)
        restored.set()
        await expect(shown).to_have_text(text)
        assert opened[:2] == [None, "0-99999999"]
        other = words("And it is live")
        await http.put(f"/api/v1/memories/{id_}", json={"memory_content": other})
        await expect(shown).to_have_text(other)


async def test_while_the_read_models_are_far_behind_a_page_shows_what_there_is_and_asks_again(
    stack: Stack, windows: Windows
) -> None:
    text = words("I come late")
    page = await windows.open(f"/memories?search={mark(text)}")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await expect(page.get_by_text("Nothing matches")).to_be_visible()
    refused: list[str] = []
    without: list[str] = []

    async def answer(route: Route) -> None:
        """As long as two have not been refused, the read models are behind."""
        if MIN_POSITION not in route.request.headers:
            without.append(route.request.url)
            await route.fulfill(json={"items": [], "total": 0, "page": 1, "size": 10, "pages": 0})
        elif len(refused) < 2:
            refused.append(route.request.url)
            problem = {"status": 503, "code": "unavailable", "title": "Not yet", "detail": "try again"}
            await route.fulfill(status=503, content_type="application/problem+json", json=problem)
        else:
            await route.continue_()

    await page.route("**/memories/filter", answer)
    async with stack.http() as http:
        body = {"text": text, "infer": False}
        (await http.post("/api/v1/memories", json=body)).raise_for_status()
    await expect(page.get_by_role("link", name=text)).to_be_visible()
    assert len(without) == len(refused) == 2
