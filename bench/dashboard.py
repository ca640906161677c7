"""The dashboard of a user with many memories, in headless Chromium: from opening a page until the first row of its
table (or of a comparison) is seen, and what typing into a search costs.
"""

import random
import statistics
from collections.abc import Awaitable, Callable
from typing import Any

from playwright.async_api import Browser, Page

from bench.chromium import chromium, program
from bench.corpus import Filter, Held
from bench.homes import USER, serving
from bench.load import until_quiet
from bench.plan import Plan, thousands
from bench.result import Section
from bench.wire import RequestFailed

_PAGES = {
    "memories": "/memories",
    "home": "/",
    # All of them were added in between.
    "compared": "/memories?as_of=2000-01-01T00:00:00.000Z&until=now",
}
_ROW = "tbody tr, [aria-label=Differences] > li"
_WARM_UP = 2
_KEY_MS = 60
"""Between two keys: as a fast typist does."""
_SEED = 11
_WATCH = """
    window.seen = { tasks: [], keys: [], row: 0, results: 0, typed: 0 };
    const tasks = (list) => window.seen.tasks.push(...list.getEntries().map((entry) => entry.duration));
    new PerformanceObserver(tasks).observe({ type: "longtask" });
    const keys = (list) => window.seen.keys.push(...list.getEntries().map((entry) => entry.duration));
    new PerformanceObserver(keys).observe({ type: "event", durationThreshold: 16 });
    addEventListener("input", () => { window.seen.typed = performance.now(); }, true);
    // A frame's callbacks run before it is painted; a task of its own runs after.
    const painted = (note) => requestAnimationFrame(() => setTimeout(() => note(performance.now())));
    const rows = () => document.querySelectorAll("ROW");
    const look = () => {
        if (!rows().length) return requestAnimationFrame(look);
        painted((now) => { window.seen.row = now; });
    };
    look();
    window.whenFound = (text) => new Promise((found) => {
        const look = () => {
            if (rows().length !== 1 || !rows()[0].textContent.includes(text)) return requestAnimationFrame(look);
            painted((now) => found(now - window.seen.typed));
        };
        look();
    });
""".replace("ROW", _ROW)
"""Times in ms from when the page was asked for. A long task is one of 50 ms and more."""


async def run(plan: Plan) -> Section:
    """Raises RuntimeError when there is no Chromium."""
    if program() is None:
        raise RuntimeError("there is no Chromium: apt install chromium")
    section = Section("dashboard")
    count = plan.sizes.held[-1]
    async with (
        serving(plan, count, "dashboard", {"MEMLOG_DEFAULT_USER": USER}) as (server, held),
        chromium() as browser,
    ):
        url = f"http://127.0.0.1:{server.port}"
        for name, path in _PAGES.items():
            section.numbers |= await _openings(plan, browser, f"{url}{path}", name, held)
        section.numbers |= await _typing(plan, browser, f"{url}/memories", held)
    section.notes.append(
        f"{thousands(count)} memories; medians of {plan.sizes.openings} openings, each with an empty cache, and of as "
        f"many searches for a text's own word, a key every {_KEY_MS} ms. Results: from the last key, which the page "
        f"waits for, until the row is seen. The longest task is 0 when there was none of 50 ms."
    )
    return section


async def _in_window(browser: Browser, url: str, what: Callable[[Page], Awaitable[float]]) -> float:
    """In a window of its own, so with an empty cache."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    try:
        await context.add_init_script(_WATCH)
        page = await context.new_page()
        await page.goto(url, wait_until="commit")
        return await what(page)
    finally:
        await context.close()


async def _openings(plan: Plan, browser: Browser, url: str, name: str, held: Held) -> dict[str, float]:
    newest = held.newest_first(Filter())[0]

    async def first_row(page: Page) -> float:
        await page.wait_for_function("() => window.seen?.row")
        if newest not in await page.locator(_ROW).first.inner_text():
            raise RequestFailed(f"the first row of {name} is not the newest memory")
        return await page.evaluate("window.seen.row")

    times: list[float] = []
    for _ in range(_WARM_UP + plan.sizes.openings):
        await until_quiet(plan.patience_s)
        times.append(await _in_window(browser, url, first_row))
    times = times[_WARM_UP:]
    plan.say(f"dashboard, {name}: first row after {statistics.median(times):.0f} ms, at most {max(times):.0f} ms")
    return {
        f"dashboard_{name}_row_ms": round(statistics.median(times), 1),
        f"dashboard_{name}_row_max_ms": round(max(times), 1),
    }


async def _typing(plan: Plan, browser: Browser, url: str, held: Held) -> dict[str, float]:
    words = random.Random(_SEED).sample(held.codes(Filter()), plan.sizes.openings)
    results: list[float] = []
    seen: list[dict[str, Any]] = []

    async def typed(page: Page) -> float:
        await page.wait_for_function("() => window.seen?.row")
        for word in words:
            await page.get_by_label("Search memories").fill("")
            await page.wait_for_function("() => document.querySelectorAll('tbody tr').length > 1")
            await page.evaluate("Object.assign(window.seen, { tasks: [], keys: [] })")
            await page.get_by_label("Search memories").press_sequentially(word, delay=_KEY_MS)
            results.append(await page.evaluate("(text) => window.whenFound(text)", word))
            seen.append(await page.evaluate("window.seen"))
        return 0.0

    await _in_window(browser, url, typed)
    tasks = [task for each in seen for task in each["tasks"]]
    keys = [key for each in seen for key in each["keys"]]
    plan.say(
        f"dashboard, search: results after {statistics.median(results):.0f} ms; "
        f"longest task {max(tasks, default=0):.0f} ms, slowest key {max(keys, default=0):.0f} ms"
    )
    return {
        "dashboard_results_ms": round(statistics.median(results), 1),
        "dashboard_results_max_ms": round(max(results), 1),
        "dashboard_longest_task_ms": float(max(tasks, default=0)),
        "dashboard_slowest_key_ms": float(max(keys, default=0)),
    }
