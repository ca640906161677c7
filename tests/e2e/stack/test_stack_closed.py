"""Access fails closed: whatever forbids an app to read a memory, no way of reading gives it away, nor does a write."""

import json
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import Implementation
from support.inside import Inside
from support.poison import DEAD, refused_by_postgresql
from support.stack import call

RULES = "/api/v1/access-rules"
SECRET = "The safe in the cellar opens with 4711"
READER, WRITER = "cursor", "notes"


@dataclass(frozen=True, slots=True)
class Scene:
    """A memory that one app wrote, of category Health, and another app that reads it."""

    memlog: Inside
    client: Client
    user: str
    memory_id: str
    written: str
    """When, for reads of the past (a position)."""

    async def app_id(self, name: str = READER) -> str:
        params = {"user_id": self.user, "name": name}
        return (await self.memlog.http.get("/api/v1/apps", params=params)).json()["apps"][0]["id"]

    async def set_rule(self, effect: str, **about: str) -> dict[str, Any]:
        body = {"user_id": self.user, "app_id": await self.app_id(), "effect": effect, **about}
        answer = await self.memlog.http.put(RULES, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def remove_rule(self, rule_id: str) -> None:
        answer = await self.memlog.http.delete(f"{RULES}/{rule_id}", params={"user_id": self.user})
        assert answer.status_code == 200, answer.text

    async def set_default(self, policy: str) -> None:
        answer = await self.memlog.http.put(f"{RULES}/default", json={"user_id": self.user, "policy": policy})
        assert answer.json() == {"policy": policy}

    async def preview(self) -> list[str]:
        params = {"user_id": self.user, "app_id": await self.app_id()}
        page = (await self.memlog.http.get(f"{RULES}/preview", params=params)).json()
        assert page["total"] == len(page["items"])
        return [item["content"] for item in page["items"]]


@asynccontextmanager
async def scene(memlog: Inside) -> AsyncGenerator[Scene]:
    user = f"closed-{uuid.uuid4().hex[:8]}"
    body = {"user_id": user, "text": SECRET, "app": WRITER, "categories": ["Health", "home"]}
    memory = (await memlog.http.post("/api/v1/memories", json=body)).raise_for_status().json()
    client = Client(
        f"{memlog.url}/mcp/{READER}/http/{user}",
        client_info=Implementation(name="test client", version="1"),
        read_timeout_seconds=60,
        cache=None,
    )
    async with client:
        await call(client, "list_memories")  # by its first use the app becomes known
        params = {"user_id": user, "memory_id": memory["id"]}
        [written, *_] = (await memlog.http.get("/api/v1/events", params=params)).json()["events"]
        yield Scene(memlog, client, user, memory["id"], written["position"])


# -- each way to read --------------------------------------------------------------------------------------------


async def search(at: Scene) -> str:
    return str(await at.client.call_tool("search_memory", {"query": "how does the safe open"}))


async def search_in_category(at: Scene) -> str:
    return str(await at.client.call_tool("search_memory", {"query": "safe", "categories": ["health"]}))


async def search_over_rest(at: Scene) -> str:
    params = {"user_id": at.user, "query": "how does the safe open", "app": READER}
    return (await at.memlog.http.get("/api/v1/search", params=params)).text


async def list_memories(at: Scene) -> str:
    return str(await at.client.call_tool("list_memories", {}))


async def history(at: Scene) -> str:
    return str(await at.client.call_tool("get_memory_history", {"memory_id": at.memory_id}))


async def search_the_past(at: Scene) -> str:
    params = {"user_id": at.user, "query": "how does the safe open", "app": READER, "as_of": at.written}
    return (await at.memlog.http.get("/api/v1/search", params=params)).text


async def list_the_past(at: Scene) -> str:
    return str(await at.client.call_tool("list_memories", {"as_of": at.written}))


async def resources(at: Scene) -> str:
    return str(await at.client.list_resources())


async def resource(at: Scene) -> str:
    return str(await at.client.read_resource(f"memory://{at.memory_id}"))


async def recall(at: Scene) -> str:
    return str(await at.client.get_prompt("recall", {"topic": "how does the safe open"}))


async def or_error(way: Callable[[Scene], Awaitable[str]], at: Scene) -> str:
    try:
        return await way(at)
    except MCPError as error:
        return f"{error} {error.error.data}"


WAYS: list[Callable[[Scene], Awaitable[str]]] = [
    search,
    search_in_category,
    search_over_rest,
    list_memories,
    history,
    search_the_past,
    list_the_past,
    resources,
    resource,
    recall,
]

# -- each thing that forbids it ----------------------------------------------------------------------------------


@asynccontextmanager
async def paused_app(at: Scene) -> AsyncGenerator[None]:
    path = f"/api/v1/apps/{await at.app_id()}"
    for active in (False, True):
        params = {"user_id": at.user, "is_active": active}
        assert (await at.memlog.http.put(path, params=params)).json()["is_active"] is active
        if not active:
            yield


@asynccontextmanager
async def rule_against_everything(at: Scene) -> AsyncGenerator[None]:
    rule = await at.set_rule("deny")
    yield
    await at.remove_rule(rule["id"])


@asynccontextmanager
async def rule_against_a_category(at: Scene) -> AsyncGenerator[None]:
    allowed, denied = await at.set_rule("allow", category="home"), await at.set_rule("deny", category="HEALTH")
    yield
    await at.remove_rule(denied["id"])
    await at.remove_rule(allowed["id"])


@asynccontextmanager
async def rule_against_the_memory(at: Scene) -> AsyncGenerator[None]:
    allowed, denied = await at.set_rule("allow", category="health"), await at.set_rule("deny", memory_id=at.memory_id)
    yield
    await at.remove_rule(denied["id"])
    await at.remove_rule(allowed["id"])


@asynccontextmanager
async def default_own(at: Scene) -> AsyncGenerator[None]:
    await at.set_default("own")
    yield
    await at.set_default("allow")


@asynccontextmanager
async def all_memories_paused(at: Scene) -> AsyncGenerator[None]:
    for state in ("paused", "active"):
        body = {"user_id": at.user, "global_pause": True, "state": state}
        assert (await at.memlog.http.post("/api/v1/memories/actions/pause", json=body)).status_code == 200
        if state == "paused":
            yield


@asynccontextmanager
async def unknown_app(at: Scene) -> AsyncGenerator[None]:
    """The read models do not have it, as when they gave up on its registration."""
    table, uid, app_id = await _serving(at.memlog, "apps"), await at.memlog.uid(at.user), await at.app_id()
    await at.memlog.sql(f"UPDATE {table} SET uid = 'nobody' WHERE uid = $1 AND app_id = $2", uid, app_id)
    yield
    await at.memlog.sql(f"UPDATE {table} SET uid = $1 WHERE uid = 'nobody' AND app_id = $2", uid, app_id)


@asynccontextmanager
async def rules_out_of_reach(at: Scene) -> AsyncGenerator[None]:
    await at.memlog.sql("REVOKE SELECT ON memlog.access_rules FROM memlog_reader")
    yield
    await at.memlog.sql("GRANT SELECT ON memlog.access_rules TO memlog_reader")


async def _serving(memlog: Inside, table: str) -> object:
    [(name,)] = await memlog.sql(
        """SELECT table_schema || '.' || table_name FROM information_schema.view_table_usage
           WHERE view_schema = 'memlog' AND view_name = $1""",
        table,
    )
    return name


Forbids = Callable[[Scene], Any]
CONDITIONS: list[Forbids] = [
    paused_app,
    rule_against_everything,
    rule_against_a_category,
    rule_against_the_memory,
    default_own,
    all_memories_paused,
    unknown_app,
    rules_out_of_reach,
]


@pytest.mark.guarantee("G8")
@pytest.mark.parametrize("forbidden", CONDITIONS, ids=lambda condition: condition.__name__)
async def test_what_an_app_may_not_read_comes_back_on_no_way(memlog: Inside, forbidden: Forbids) -> None:
    async with scene(memlog) as at:
        for way in WAYS:
            assert SECRET in await way(at), f"{way.__name__} shows it while nothing forbids it"
        async with forbidden(at):
            for way in WAYS:
                assert "4711" not in await or_error(way, at), way.__name__
            changed = await at.client.call_tool("update_memory", {"memory_id": at.memory_id, "text": "mine now"})
            assert changed.is_error
            assert "4711" not in str(changed)
            gone = await at.client.call_tool("delete_memories", {"memory_ids": [at.memory_id]})
            assert gone.is_error or (gone.structured_content or {})["not_accessible"] == [at.memory_id]
            everything = await at.client.call_tool("delete_all_memories", {})
            assert everything.is_error or (everything.structured_content or {})["deleted"] == 0
        for way in WAYS:
            assert SECRET in await way(at), f"{way.__name__} shows it again"


@pytest.mark.guarantee("G8")
async def test_rules_are_kept_listed_with_names_and_obeyed_at_once(memlog: Inside) -> None:
    async with scene(memlog) as at:
        denied = await at.set_rule("deny", category="  health ")
        assert (denied["app_name"], denied["category"], denied["effect"]) == (READER, "health", "deny")
        assert await at.preview() == []
        allowed = await at.set_rule("allow", memory_id=at.memory_id)
        assert await at.preview() == [SECRET]
        again = await at.set_rule("allow", category="HEALTH")
        assert again["id"] == denied["id"], "one rule for a category, however it is spelled"
        params: dict[str, str | int] = {"user_id": at.user, "app_id": await at.app_id(), "size": 1}
        pages = [(await memlog.http.get(RULES, params={**params, "page": page})).json() for page in (1, 2, 3)]
        assert [page["total"] for page in pages] == [2, 2, 2]
        assert [[rule["id"] for rule in page["items"]] for page in pages] == [[again["id"]], [allowed["id"]], []]
        others = {"user_id": at.user, "app_id": await at.app_id(WRITER)}
        assert (await memlog.http.get(RULES, params=others)).json()["total"] == 0
        stranger = f"{at.user}-2"
        assert (await memlog.http.get(RULES, params={"user_id": stranger})).json()["items"] == []
        foreign = await memlog.http.delete(f"{RULES}/{allowed['id']}", params={"user_id": stranger})
        assert (foreign.status_code, foreign.json()["code"]) == (404, "not_found")


async def test_what_no_rule_can_be_about_is_refused(memlog: Inside) -> None:
    async with scene(memlog) as at:
        for body, status in (
            ({"app_id": str(uuid.uuid4())}, 404),
            ({"app_id": await at.app_id(), "memory_id": str(uuid.uuid4())}, 404),
        ):
            answer = await memlog.http.put(RULES, json={"user_id": at.user, "effect": "deny", **body})
            assert answer.status_code == status, answer.text
        [(owner,)] = await memlog.sql(
            "SELECT app_id FROM memlog.apps WHERE uid = $1 AND name = 'dashboard'", await memlog.uid(at.user)
        )
        answer = await memlog.http.put(RULES, json={"user_id": at.user, "effect": "deny", "app_id": owner})
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


@pytest.mark.guarantee("G8")
async def test_a_default_of_ones_own_leaves_an_app_what_it_wrote_and_the_owner_everything(memlog: Inside) -> None:
    async with scene(memlog) as at:
        await call(at.client, "add_memories", text="The bicycle is in the garage")
        await at.set_default("own")
        found = (await call(at.client, "search_memory", query="where is the safe and the bicycle"))["results"]
        assert [item["memory"] for item in found] == ["The bicycle is in the garage"] == await at.preview()
        params = {"user_id": at.user, "query": "how does the safe open"}
        assert SECRET in (await memlog.http.get("/api/v1/search", params=params)).text


@pytest.mark.guarantee("G8")
async def test_the_best_of_what_an_app_may_read_is_found_behind_any_number_that_it_may_not(memlog: Inside) -> None:
    async with scene(memlog) as at:
        await at.set_rule("deny")
        for number in range(25):
            body = {"user_id": at.user, "text": f"The safe number {number} opens with 4711", "app": WRITER}
            assert (await memlog.http.post("/api/v1/memories", json=body)).status_code == 200
        body = {"user_id": at.user, "text": "Trains to Berlin leave at nine", "app": WRITER}
        memory_id = (await memlog.http.post("/api/v1/memories", json=body)).json()["id"]
        await at.set_rule("allow", memory_id=memory_id)
        found = (await call(at.client, "search_memory", query="how does the safe open", limit=1))["results"]
        assert [item["id"] for item in found] == [memory_id]


@pytest.mark.guarantee("G8")
async def test_an_app_that_adds_what_it_may_not_read_is_told_nothing_but_what_it_said(memlog: Inside) -> None:
    async with scene(memlog) as at:
        await at.set_rule("deny")
        body = {"user_id": at.user, "text": SECRET, "app": READER}
        answer = await memlog.http.post("/api/v1/memories", json=body)
        assert answer.status_code == 200
        assert WRITER not in answer.text and "Health" not in answer.text
        assert json.loads(answer.text)["results"][0]["event"] == "NONE"


@pytest.mark.guarantee("G8")
async def test_while_a_rule_is_put_aside_nobody_knows_what_an_app_may_read_so_it_reads_nothing(memlog: Inside) -> None:
    async with scene(memlog) as at:
        async with refused_by_postgresql(memlog, "access_rules", "category <> 'poison'"):
            body = {"user_id": at.user, "app_id": await at.app_id(), "effect": "deny", "category": "poison"}
            answer = await memlog.http.put(RULES, json=body)
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            for way in WAYS:
                assert "4711" not in await or_error(way, at), way.__name__
            changed = await at.client.call_tool("update_memory", {"memory_id": at.memory_id, "text": "mine now"})
            assert changed.is_error and "not known" in str(changed.content[0])
            owners = {"user_id": at.user, "query": "how does the safe open"}
            assert SECRET in (await memlog.http.get("/api/v1/search", params=owners)).text
        healed = (await memlog.http.post(f"{DEAD}/redrive")).json()["results"]
        assert [each["status"] for each in healed] == ["healed"]
        for way in WAYS:
            assert SECRET in await way(at), way.__name__
