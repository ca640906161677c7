"""What the routes of memories, apps, stats and backups really answer is what the OpenAPI document says."""

import io
import re
import uuid
import zipfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from support.openapi import misfits
from support.stack import Stack

DOMAINS = (
    "/api/v1/memories",
    "/api/v1/apps",
    "/api/v1/stats",
    "/api/v1/backup",
    "/api/v1/search",
    "/api/v1/operations",
)


class Checked:
    """A client whose every answer is held against the document. `seen` are the routes and the classes of answers."""

    def __init__(self, http: httpx.AsyncClient, document: dict[str, Any]) -> None:
        self.http = http
        self.document = document
        self.seen: set[tuple[str, str, int]] = set()
        self._routes = sorted(
            ((re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path)), path) for path in document["paths"]),
            key=lambda each: "{" in each[1],
        )

    async def ask(self, method: str, path: str, status: int, **given: Any) -> Any:
        answer = await self.http.request(method, f"/api/v1{path}", **given)
        assert answer.status_code == status, (method, path, answer.text)
        bare = answer.request.url.path.rstrip("/")
        route = next(route for pattern, route in self._routes if pattern.fullmatch(bare))
        responses = self.document["paths"][route][method.lower()]["responses"]
        said = responses.get(str(status)) or responses[f"{status // 100}XX"]
        media = answer.headers["content-type"].partition(";")[0]
        assert media in said["content"], (method, route, status, media)
        self.seen.add((method, route, status // 100))
        if "json" not in media:
            return answer
        wrong = misfits(answer.json(), said["content"][media]["schema"], self.document)
        assert not wrong, (method, route, wrong)
        return answer.json()


@asynccontextmanager
async def checked(stack: Stack) -> AsyncGenerator[Checked]:
    async with stack.http() as http:
        yield Checked(http, (await http.get("/openapi.json")).raise_for_status().json())


async def test_every_answer_of_the_routes_that_openmemory_had_fits_the_document(stack: Stack) -> None:
    who = {"user_id": f"openapi-{uuid.uuid4().hex[:8]}"}
    nobody, unknown = {"user_id": f"nobody-{uuid.uuid4().hex[:8]}"}, str(uuid.uuid4())
    async with checked(stack) as client:
        ask = client.ask

        async def add(text: str, **given: Any) -> str:
            body = {**who, "text": text, "infer": False, **given}
            return (await ask("POST", "/memories", 200, json=body))["id"]

        one = await add("I drink tea", categories=["food"], metadata={"a": [1, None]})
        two = await add("I eat bread", categories=["food"], app="cursor")
        assert await add("I drink tea") == one
        await ask("POST", "/memories", 422, json={**who, "text": " "})
        await ask("POST", "/memories", 400, content=b"{", headers={"Content-Type": "application/json"})
        await ask("POST", "/memories", 413, json={**who, "text": "x" * 300_000})
        await ask("POST", "/memories", 415, content=b"x", headers={"Content-Type": "text/plain"})
        later = await ask("POST", "/memories", 202, json={**who, "text": "later", "infer": False, "wait": "accepted"})
        await ask("GET", f"/operations/{later['operation_id']}", 200, params=who)
        await ask("GET", f"/operations/{unknown}", 404, params=who)
        for slash in ("", "/"):
            await ask("GET", f"/memories{slash}", 200, params={**who, "categories": "food", "size": 1})
            await ask("GET", f"/memories/{one}{slash}", 200, params=who)
            await ask("GET", f"/apps{slash}", 200, params=who)
            await ask("GET", f"/stats{slash}", 200, params=who)
            await ask("POST", f"/memories/filter{slash}", 200, json=who)
        await ask("GET", "/memories", 422, params={**who, "size": 101})
        await ask("GET", f"/memories/{one}", 404, params=nobody)
        await ask("GET", "/memories/nonsense", 422, params=who)
        await ask("PUT", f"/memories/{one}", 200, json={**who, "memory_content": "I drink coffee", "memory_id": one})
        await ask("PUT", f"/memories/{unknown}", 404, json={**who, "memory_content": "x"})
        await ask("POST", "/memories/filter", 400, json={**who, "sort_column": "x"})
        for part in ("history", "access-log", "related"):
            await ask("GET", f"/memories/{one}/{part}", 200, params=who)
            await ask("GET", f"/memories/{unknown}/{part}", 404, params=who)
        await ask("PUT", f"/memories/{two}/categories", 200, json={**who, "categories": ["home"]})
        await ask("PUT", f"/memories/{unknown}/categories", 404, json={**who, "categories": []})
        found = await ask("GET", "/memories/categories", 200, params=who)
        assert found["total"] == len(found["categories"])
        own = await ask("POST", "/memories/categories", 200, json={**who, "name": "Own", "description": "mine"})
        await ask("POST", "/memories/categories", 422, json={**who, "name": ""})
        await ask("DELETE", f"/memories/categories/{own['id']}", 200, params=who)
        await ask("DELETE", f"/memories/categories/{unknown}", 404, params=who)
        await ask("GET", "/memories/categories", 422, params={"user_id": ""})
        changes = await ask("GET", "/memories/changes", 200, params={**who, "since": "2026-01-01T00:00:00Z"})
        assert changes["total"] == len(changes["items"])
        await ask("GET", "/memories/changes", 422, params={**who, "since": "once"})
        await ask("GET", "/memories/timeline", 200, params=who)
        await ask("GET", "/memories/timeline", 422, params={**who, "x": 1})
        await ask("POST", "/memories/actions/pause", 200, json={**who, "memory_ids": [two]})
        await ask("POST", "/memories/actions/pause", 400, json=who)
        await ask("POST", "/memories/actions/archive", 200, params=who, json=[two])
        await ask("POST", "/memories/actions/archive", 404, params=who, json=[unknown])
        await ask("DELETE", "/memories", 200, json={**who, "memory_ids": [two]})
        await ask("DELETE", "/memories", 404, json={**who, "memory_ids": [two, unknown]})
        await ask("POST", "/memories/actions/restore", 200, params=who, json=[two])
        await ask("POST", "/memories/actions/restore", 422, params=who, json=[])
        await ask("GET", "/search", 200, params={**who, "query": "coffee"})
        await ask("GET", "/search", 422, params={**who, "query": ""})
        apps = await ask("GET", "/apps", 200, params=who)
        app = apps["apps"][0]["id"]
        for part in ("", "/memories", "/accessed"):
            await ask("GET", f"/apps/{app}{part}", 200, params=who)
            await ask("GET", f"/apps/{unknown}{part}", 404, params=who)
        await ask("PUT", f"/apps/{app}", 200, params={**who, "is_active": True})
        await ask("PUT", f"/apps/{unknown}", 404, params={**who, "is_active": True})
        await ask("GET", "/apps", 422, params={**who, "sort_by": "colour"})
        await ask("GET", "/stats", 422, params={**who, "x": 1})
        await ask("GET", "/stats/activity", 200, params=who)
        await ask("GET", "/stats/activity", 422, params={**who, "step": "hour"})
        audited = await ask("GET", "/audit", 200, params={**who, "action": "read"})
        await ask("GET", f"/audit/{audited['items'][0]['id']}", 200, params=who)
        await ask("GET", f"/audit/{unknown}", 404, params=who)
        await ask("GET", "/audit", 422, params={**who, "action": "look"})
        file = await ask("POST", "/backup/export", 200, json=who)
        assert zipfile.is_zipfile(io.BytesIO(file.content))
        await ask("POST", "/backup/export", 404, json={**who, "app_id": unknown})
        upload = {"file": ("b.zip", file.content)}
        await ask("POST", "/backup/import", 200, data=who, files=upload, params={"mode": "skip"})
        await ask("POST", "/backup/import", 400, data=who, files={"file": ("b.zip", b"x")})
    tried = {(method, route) for method, route, _ in client.seen}
    for route, operations in client.document["paths"].items():
        if route.startswith(DOMAINS):
            for method in map(str.upper, operations):
                assert (method, route, 2) in client.seen and (method, route, 4) in client.seen, (method, route)
    assert len(tried) >= 24
