"""What apps wrote and may read, in the browser."""

import json

from playwright.async_api import Route, expect
from support.browser import Windows


async def test_the_default_of_access_is_not_shown_before_it_is_known(windows: Windows) -> None:
    async def refuse(route: Route) -> None:
        problem = {"status": 500, "code": "of_a_test", "title": "Told by a test", "detail": "Told by a test."}
        await route.fulfill(status=500, content_type="application/problem+json", body=json.dumps(problem))

    page = await windows.blank()
    await page.route("**/api/v1/access-rules/default*", refuse)
    await page.goto("/access")
    alert = page.get_by_role("alert").filter(has_text="Told by a test.")
    choice = page.get_by_label("Where no rule speaks, an app may read")
    await expect(alert).to_be_visible()
    await expect(choice).to_have_count(0)
    await page.unroute("**/api/v1/access-rules/default*")
    await alert.get_by_role("button", name="Try again").click()
    await expect(choice).to_be_enabled()
