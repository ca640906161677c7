"""The dashboard's pages, and a Memlog that has something to show on each."""

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

import httpx
from playwright.async_api import Page

HOSTILE = """<img src=x onerror="alert('xss')"><script>alert(1)</script>{{7*7}}"""
"""As an app's and a category's name, and in a text."""
ODD = f"\u202ereversed\u202c 👩‍👩‍👧‍👦 javascript:alert(3) {'endless' * 12}"
"""Another name: it turns the direction, is of many code points a letter, a URL, and has no place to break."""
HOSTILE_METADATA: Mapping[str, Any] = {HOSTILE: ODD, "nested": {ODD: [HOSTILE]}, "long": "endless" * 500}
TRACES = "http://traces.example/trace/{trace_id}"
"""Where traces are looked at, as the Memlog of the browser's tests is told."""
_TEXTS: Mapping[str, list[str]] = {
    "cursor": ["I write Python with type hints and short functions", "My editor has a dark theme", "I dislike mocks"],
    "claude-desktop": ["I prefer tea to coffee in the morning", "My sister Ana lives in Porto", "I run on Tuesdays"],
    "windsurf": ["The project Orion ships in March", "We deploy to Kubernetes with Helm"],
}


def words(about: str) -> str:
    """A text that no other test has: its last word finds it."""
    return f"{about} {uuid.uuid4().hex[:10]}"


def mark(text: str) -> str:
    return text.rsplit(" ", 1)[1]


async def add(http: httpx.AsyncClient, text: str, app: str, **given: Any) -> str:
    """Its id."""
    body = {"text": text, "app": app, "infer": False, **given}
    return (await http.post("/api/v1/memories", json=body)).raise_for_status().json()["id"]


async def app_id(http: httpx.AsyncClient, name: str) -> str:
    apps = (await http.get("/api/v1/apps", params={"page_size": 100})).raise_for_status().json()["apps"]
    return next(app["id"] for app in apps if app["name"] == name)


async def fill(http: httpx.AsyncClient, *, hostile: bool = False) -> dict[str, str]:
    """Memories of several apps in each state, a revision, a rule and a token; with `hostile`, texts, names, labels
    and metadata are HTML. Page by name → its path."""
    names = {app: HOSTILE if hostile else app for app in _TEXTS}
    if hostile:
        names["windsurf"] = ODD
    text = f"{HOSTILE} [a](javascript:alert(2))" if hostile else "I moved from Braga to Lisbon"
    ids = [await add(http, each, names[app]) for app, texts in _TEXTS.items() for each in texts]
    await add(http, "averylongword" * 30, names["cursor"])
    category = HOSTILE if hostile else "music"
    categories = [category, ODD if hostile else "travel", "home", "plans"]
    metadata: Mapping[str, Any] = HOSTILE_METADATA if hostile else {}
    shown = await add(http, text, names["cursor"], categories=categories, metadata=metadata)
    history = (await http.get(f"/api/v1/memories/{shown}/history")).raise_for_status().json()
    then = history["entries"][0]["recorded_at"]
    revised = {"memory_content": f"{text} in May"}
    (await http.put(f"/api/v1/memories/{shown}", json=revised)).raise_for_status()
    for id_, state in zip(ids, ("paused", "archived"), strict=False):
        body = {"memory_ids": [id_], "state": state}
        (await http.post("/api/v1/memories/actions/pause", json=body)).raise_for_status()
    await http.get("/api/v1/search", params={"query": "tea"})
    app = await app_id(http, names["cursor"])
    rule = {"app_id": app, "effect": "deny", "category": category}
    (await http.put("/api/v1/access-rules", json=rule)).raise_for_status()
    token = {"app": names["cursor"], "label": HOSTILE if hostile else "my laptop", "scopes": ["read", "write"]}
    (await http.post("/api/v1/tokens", json=token)).raise_for_status()
    return pages(shown, app, then)


async def sign_in(page: Page, token: str) -> None:
    """This page is signed in from now on, wherever it goes."""
    await page.add_init_script(f"sessionStorage.setItem('memlog.token', {json.dumps(token)})")


def pages(memory: str, app: str, then: str) -> dict[str, str]:
    """Page by name → its path; those of this memory, app and moment (ISO 8601) among them."""
    return {
        "home": "/",
        "memories": "/memories?archived=true",
        "memories-then": f"/memories?as_of={then}",
        "memories-compared": f"/memories?as_of={then}&until=now",
        "memory": f"/memory/{memory}",
        "memory-compared": f"/memory/{memory}?as_of={then}&until=now",
        "apps": "/apps",
        "app": f"/apps/{app}",
        "settings": "/settings",
        "access": f"/access?app={app}",
        "audit": "/audit",
        "events": "/events",
        "projections": "/projections",
        "dead-letters": "/dead-letters",
        "tokens": "/tokens",
        "health": "/health",
        "api": "/docs",
        "not-found": "/no-such-page",
    }


def dialogs(pages: Mapping[str, str]) -> list[tuple[str, str | re.Pattern[str]]]:
    """Each dialog that opens without anything going on: the page's path, and the button."""
    return [
        ("/memories", "Create memory"),
        ("/memories?archived=true", "Filter"),
        (pages["memory"], "Edit"),
        (pages["memory"], "Limit access…"),
        ("/access", "Add a rule"),
        ("/tokens", "Issue a token"),
        ("/tokens", "Revoke"),
        ("/settings", "Reset"),
        ("/projections", "Rebuild"),
        ("/audit?action=read", re.compile(r"^\d+ memor")),
    ]
