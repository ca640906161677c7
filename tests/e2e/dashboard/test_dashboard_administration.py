"""Apps, access, tokens, settings and events in the browser, and what the API then says."""

import json
import re
import uuid
from typing import Any

import httpx
import pytest
from contracts.configuration import OWN_EMBEDDERS, PROVIDERS
from playwright.async_api import Route, expect
from support.browser import Windows
from support.stack import Stack, call, eventually


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


async def get(http: httpx.AsyncClient, path: str, **params: Any) -> Any:
    return (await http.get(path, params=params)).raise_for_status().json()


async def add(http: httpx.AsyncClient, text: str, app: str, **given: Any) -> str:
    body = {"text": text, "app": app, "infer": False, **given}
    return (await http.post("/api/v1/memories", json=body)).raise_for_status().json()["id"]


async def app_id(http: httpx.AsyncClient, name: str) -> str:
    return next(app["id"] for app in (await get(http, "/api/v1/apps", name=name))["apps"])


async def test_an_app_is_found_and_paused_and_then_writes_nothing(stack: Stack, windows: Windows) -> None:
    app = unique("cursor")
    async with stack.http() as http:
        await add(http, f"I was written by {app}", app)
        page = await windows.open("/apps")
        await page.get_by_label("Search apps").fill(app)
        await expect(page.get_by_text("1 app", exact=True)).to_be_visible()
        await page.get_by_role("link", name=app).click()
        await expect(page.get_by_role("link", name=f"I was written by {app}")).to_be_visible()
        await page.get_by_role("button", name="Pause", exact=True).click()
        await expect(page.get_by_role("button", name="Unpause")).to_be_visible()
        body = {"text": "more", "app": app, "infer": False}
        assert (await http.post("/api/v1/memories", json=body)).status_code == 403
        await page.goto(f"/apps?show=inactive&name={app}")
        await expect(page.get_by_role("link", name=app)).to_contain_text("paused")
        await page.get_by_role("link", name=app).click()
        await page.get_by_role("button", name="Unpause").click()
        await expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
        assert (await http.post("/api/v1/memories", json=body)).is_success


async def test_what_a_client_reads_stands_under_its_app(stack: Stack, windows: Windows) -> None:
    app = unique("reader")
    async with stack.http() as http, stack.mcp(path=f"/mcp/{app}/http/default") as client:
        await add(http, f"Read by {app}", "cursor")
        await call(client, "search_memory", query=f"Read by {app}", limit=1)
        page = await windows.open(f"/apps/{await app_id(http, app)}")
        await page.get_by_role("tab", name="Accessed").click()
        await expect(page.get_by_role("link", name=f"Read by {app}")).to_be_visible()
        await expect(page.get_by_text("1 read", exact=True)).to_be_visible()


async def test_a_rule_is_added_previewed_and_removed(stack: Stack, windows: Windows) -> None:
    app, category = unique("ruled"), unique("secrets")
    async with stack.http() as http:
        await add(http, f"Mine alone {category}", app, categories=[category])
        id_ = await app_id(http, app)
        page = await windows.open("/access")
        await page.get_by_label("App to preview").select_option(app)
        await expect(page.get_by_role("heading", name=f"What {app} can see")).to_be_visible()
        await page.get_by_label("App", exact=True).select_option(app)
        await expect(page.get_by_label("App to preview")).to_have_count(0)
        seen = page.get_by_role("listitem").filter(has_text=f"Mine alone {category}")
        await expect(page.get_by_role("heading", name=f"What {app} can see")).to_be_visible()
        await expect(seen).to_be_visible()
        await page.reload()
        await expect(page.get_by_label("App", exact=True)).to_have_value(id_)
        await page.get_by_role("button", name="Add a rule").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("combobox", name="Category", exact=True).select_option(category)
        await dialog.get_by_role("button", name="Add", exact=True).click()
        # While it is open nothing beside it has a role, whatever is seen there.
        await expect(dialog).to_have_count(0)
        await expect(seen).to_have_count(0)
        rules = (await get(http, "/api/v1/access-rules", app_id=id_))["items"]
        assert [(rule["effect"], rule["category"]) for rule in rules] == [("deny", category)]
        await page.get_by_role("button", name=f"Remove the rule of {app}").click()
        await expect(seen).to_be_visible()
        assert (await get(http, "/api/v1/access-rules", app_id=id_))["total"] == 0


async def test_access_to_a_memory_is_limited_from_its_menu_and_its_page_and_the_rules_show_its_text(
    stack: Stack, windows: Windows
) -> None:
    app, text = unique("confined"), f"<b>{unique('Secret')}</b> " + "and long " * 40
    async with stack.http() as http:
        ids = [await add(http, f"{text}{number}", app) for number in range(3)]
        id_ = await app_id(http, app)
        page = await windows.open(f"/apps/{id_}")
        await page.get_by_role("button", name=f"Actions for: {text[:80]}").first.click()
        await page.get_by_role("menuitem", name="Limit access…").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text(f"{text}2")
        await dialog.get_by_label("App").select_option(app)
        await dialog.get_by_role("button", name="Add", exact=True).click()
        await expect(dialog).to_have_count(0)
        for memory in ids[:2]:
            await page.goto(f"/memory/{memory}")
            await page.get_by_role("button", name="Limit access…").click()
            await dialog.get_by_label("App").select_option(app)
            await dialog.get_by_label("Effect").select_option("may read")
            await dialog.get_by_role("button", name="Add", exact=True).click()
            await expect(dialog).to_have_count(0)
        rules = (await get(http, "/api/v1/access-rules", app_id=id_))["items"]
        wanted = {(ids[0], "allow"), (ids[1], "allow"), (ids[2], "deny")}
        assert {(rule["memory_id"], rule["effect"]) for rule in rules} == wanted
        await http.request("DELETE", "/api/v1/memories", json={"memory_ids": ids[:1]})
        async with page.expect_response("**/memories/filter") as answering:
            await page.goto(f"/access?app={id_}")
        together = await (await answering.value).json()
        assert {memory["id"] for memory in together["items"]} == {*ids[1:]}
        rows = page.get_by_role("listitem").filter(has=page.get_by_role("button", name=f"Remove the rule of {app}"))
        await expect(rows.get_by_role("link", name=f"{text}1")).to_be_visible()
        await expect(rows.get_by_role("link", name=f"deleted memory {ids[0]}")).to_be_visible()
        await rows.get_by_role("link", name=f"{text}2").click()
        await expect(page).to_have_url(re.compile(f"/memory/{ids[2]}$"))


async def test_the_default_of_access_is_changed(stack: Stack, windows: Windows) -> None:
    async with stack.http() as http:
        page = await windows.open("/access")
        choice = page.get_by_label("Without a matching rule, an app may read")
        for policy in ("own", "allow"):
            await expect(choice).to_be_enabled()
            await choice.select_option(policy)
            await expect(choice).to_have_value(policy)

            async def changed(wanted: str = policy) -> bool:
                return (await get(http, "/api/v1/access-rules/default"))["policy"] == wanted

            await eventually(changed)


async def test_a_token_is_shown_once_and_revoked(stack: Stack, windows: Windows) -> None:
    app = unique("tokened")
    async with stack.http() as http:
        page = await windows.open("/tokens")
        await expect(page.get_by_role("note")).to_contain_text("Authentication is off here")
        await page.get_by_role("button", name="Issue a token").click()
        allowed = page.get_by_role("dialog").get_by_role("checkbox", checked=True)
        for name, scopes in (("dashboard", ["read", "write", "delete", "admin"]), (app, ["read", "write"])):
            await page.get_by_label("App").fill(name)
            await expect(allowed).to_have_count(len(scopes))
            for at, scope in enumerate(scopes):
                await expect(allowed.nth(at)).to_have_accessible_name(re.compile(f"^{scope}"))
        await page.get_by_label("Label").fill("my laptop")
        await page.get_by_label("Expires after").select_option("7")
        await page.get_by_role("button", name="Issue", exact=True).click()
        token = await page.get_by_role("dialog").locator("code").first.inner_text()
        await page.get_by_role("button", name="Done").click()
        row = page.get_by_role("listitem").filter(has_text=app)
        await expect(row).to_contain_text("my laptop")
        await page.reload()
        await expect(row).to_contain_text("active")
        assert token not in await page.content()
        held = next(each for each in (await get(http, "/api/v1/tokens"))["items"] if each["app"] == app)
        assert held["expires_at"] - held["created_at"] == pytest.approx(7 * 86400, abs=5)
        await expect(row).to_contain_text(f"token:{held['id']}, issued by rest")
        await row.get_by_role("button", name="Revoke").click()
        await page.get_by_role("alertdialog").get_by_role("button", name="Revoke").click()
        await expect(row).to_contain_text("revoked")
        held = next(each for each in (await get(http, "/api/v1/tokens"))["items"] if each["app"] == app)
        assert held["state"] == "revoked"


async def test_settings_are_saved_by_form_and_as_json_and_reset(stack: Stack, windows: Windows) -> None:
    async with stack.http() as http:

        async def instructions() -> str | None:
            return (await get(http, "/api/v1/config"))["openmemory"]["custom_instructions"]

        page = await windows.open("/settings")
        await page.get_by_label("Custom instructions").fill("Remember dates")
        await page.locator("form").filter(has=page.get_by_label("Custom instructions")).get_by_role("button").click()
        await expect(page.get_by_text("Saved.", exact=True)).to_be_visible()
        assert await instructions() == "Remember dates"
        await page.get_by_role("tab", name="JSON").click()
        editor = page.get_by_label("Settings as JSON")
        await editor.fill("{")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_text("This is not valid JSON")).to_be_visible()
        await editor.fill(json.dumps({"openmemory": {"custom_instructions": "Forget dates"}}))
        await page.get_by_role("button", name="Save").click()
        await expect(editor).to_have_value(re.compile('"mem0".*', re.DOTALL))
        assert await instructions() == "Forget dates"
        await page.get_by_role("button", name="Reset").click()
        await page.get_by_role("alertdialog").get_by_role("button", name="Reset").click()
        await expect(page.get_by_text("Settings reset to their defaults").first).to_be_visible()
        assert await instructions() is None


async def test_a_model_is_chosen_from_the_known_providers_unless_the_environment_sets_it(
    stack: Stack, windows: Windows
) -> None:
    async with stack.http() as http:
        page = await windows.open("/settings")
        model = page.locator("section").filter(has=page.get_by_role("heading", name="Language model"))
        embedder = page.locator("section").filter(has=page.get_by_role("heading", name="Embedder"))
        await expect(embedder.get_by_role("combobox")).to_have_value("minilm")
        values = "options => options.map(({ value }) => value)"
        assert await model.get_by_role("option").evaluate_all(values) == ["", *PROVIDERS]
        assert await embedder.get_by_role("option").evaluate_all(values) == [*OWN_EMBEDDERS, *PROVIDERS]
        await expect(page.get_by_label("Base URL")).to_have_count(0)
        await model.get_by_role("combobox").select_option("ollama")
        await model.get_by_label("Model").fill("some-model")
        await model.get_by_label("Base URL").fill("http://127.0.0.1:9/v1")
        await model.get_by_role("button", name="Save").click()
        await expect(page.get_by_text("Saved.", exact=True)).to_be_visible()
        held = (await get(http, "/api/v1/config"))["mem0"]["llm"]
        assert (held["provider"], held["config"]["base_url"]) == ("ollama", "http://127.0.0.1:9/v1")
        await model.get_by_role("combobox").select_option("none")
        await model.get_by_role("button", name="Save").click()
        await expect(model.get_by_role("button", name="Save")).to_be_disabled()
        await expect(model.get_by_label("Model")).to_have_count(0)
        assert (await get(http, "/api/v1/config"))["mem0"]["llm"] is None

        async def as_if_set(route: Route) -> None:
            answer = await route.fetch()
            header = {"memlog-from-environment": "mem0.llm, mem0.vector_store"}
            await route.fulfill(response=answer, headers=answer.headers | header)

        await page.route("**/api/v1/config", as_if_set)
        await page.reload()
        await expect(model.get_by_role("note")).to_contain_text("MEMLOG_LLM")
        await expect(model.get_by_role("combobox")).to_be_disabled()
        await expect(model.get_by_role("button", name="Save")).to_have_count(0)
        await expect(embedder.get_by_role("combobox")).to_be_enabled()
        await expect(embedder.get_by_role("note")).to_have_count(0)
        await page.get_by_role("tab", name="JSON").click()
        await expect(page.locator("main")).to_contain_text("not changed here: mem0.llm, mem0.vector_store")


async def test_an_event_appears_while_one_looks_with_its_json(stack: Stack, windows: Windows) -> None:
    text = unique("I happened just now")
    page = await windows.open("/events")
    await page.get_by_label("Type of event").select_option("MemoryAdded")
    await expect(page.locator("main").get_by_text("live", exact=True)).to_be_visible()
    async with stack.http() as http:
        id_ = await add(http, text, "cursor")
    row = page.locator("li").filter(has_text=text)
    await expect(row).to_have_count(1)
    await row.locator("summary").click()
    await expect(row.locator("pre")).to_contain_text(id_)


async def test_each_part_and_model_is_named_with_what_it_is_for(stack: Stack, windows: Windows) -> None:
    async with stack.http() as http:
        health = await get(http, "/api/v1/health")
    page = await windows.open("/health")
    await expect(page.get_by_text(health["embedder"]).first).to_be_visible()
    for service in health["services"]:
        await expect(page.get_by_text(service["service"], exact=True).first).to_be_visible()
    facts = page.locator("li").filter(has_text="makes memories searchable by meaning").locator("dl")
    await expect(facts).to_contain_text(re.compile(r"index, at event:\d.*index, events given up on:0$"))
    await expect(page.locator("main")).not_to_contain_text("shard")


async def test_the_page_of_the_api_has_each_route_with_what_it_takes_and_answers(
    stack: Stack, windows: Windows
) -> None:
    async with stack.http() as http:
        paths = (await get(http, "/openapi.json"))["paths"]
        assert (await http.get("/redoc", headers={"Accept": "text/html"})).status_code == 404
    page = await windows.open("/docs")
    await expect(page.locator("main details")).to_have_count(sum(len(methods) for methods in paths.values()))
    await page.get_by_label("Search routes").fill("put /api/v1/memories/{memory_id}")
    route = page.locator("main details").filter(has=page.get_by_text("/api/v1/memories/{memory_id}", exact=True))
    await route.locator("summary").click()
    await expect(route.locator("dt")).to_have_text(["memory_id required"])
    await expect(route.locator("pre").first).to_contain_text('"memory_content": "I drink green tea in the morning"')
