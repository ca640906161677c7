"""What apps wrote and may read, in the browser."""

import json

from playwright.async_api import Route, expect
from support.browser import Windows
from support.dashboard import add, words
from support.stack import Stack


async def test_the_default_of_access_is_not_shown_before_it_is_known(windows: Windows) -> None:
    async def refuse(route: Route) -> None:
        problem = {"status": 500, "code": "of_a_test", "title": "Told by a test", "detail": "Told by a test."}
        await route.fulfill(status=500, content_type="application/problem+json", body=json.dumps(problem))

    page = await windows.blank()
    await page.route("**/api/v1/access-rules/default*", refuse)
    await page.goto("/access")
    alert = page.get_by_role("alert").filter(has_text="Told by a test.")
    choice = page.get_by_label("Without a matching rule, an app may read")
    await expect(alert).to_be_visible()
    await expect(choice).to_have_count(0)
    await page.unroute("**/api/v1/access-rules/default*")
    await alert.get_by_role("button", name="Try again").click()
    await expect(choice).to_be_enabled()


async def test_the_list_of_one_app_does_not_name_it_in_each_row_and_the_total_says_what_it_counts(
    stack: Stack, windows: Windows
) -> None:
    app, text = words("writer").replace(" ", "-"), words("I was written by it")
    async with stack.http() as http:
        id_ = await add(http, text, app)
        app_id = (await http.get(f"/api/v1/memories/{id_}")).raise_for_status().json()["app_id"]
    page = await windows.open(f"/apps/{app_id}")
    await expect(page.get_by_role("row").filter(has_text=text)).to_be_visible()
    await expect(page.get_by_role("columnheader")).to_have_text(
        ["Memory", "Categories", "Created on", "State", "Actions"]
    )
    await expect(page.get_by_role("cell", name=app)).to_have_count(0)
    await page.goto("/")
    await expect(page.get_by_role("main").get_by_text("Total memories")).to_contain_text("including archived")
    await expect(page.get_by_role("columnheader", name="Source app")).to_be_visible()
