"""Tokens on a whole Memlog: two gateways on one log, and the embedded form as a person uses it."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from contracts.commands import IssueToken
from contracts.ids import new_uid
from contracts.tokens import new_token
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Implementation
from support.command import memlog
from support.fleet import Fleet, running_fleet
from support.servers import opened
from support.stack import WIRES, call, eventually, running_stack
from support.stdio_bridge import environment, over_stdio
from support.writer import Sender

TOKENS = "/api/v1/tokens"
Json = dict[str, Any]


@pytest.fixture(scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Fleet]:
    folder = tmp_path_factory.mktemp("tokens")
    admin = folder / "admin-token"
    admin.touch(0o600)
    admin.write_text(f"{os.urandom(32).hex()}\n")
    async with running_fleet(
        folder, {"gateway": 2}, MEMLOG_AUTH="token", MEMLOG_ADMIN_TOKEN_FILE=str(admin), MEMLOG_RATE_LIMIT="off"
    ) as fleet:
        yield fleet


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def ask(
    fleet: Fleet, token: str | None, method: str, path: str, gateway: int = 0, **kwargs: Any
) -> httpx.Response:
    """One request with this token; None: with the operator's."""
    headers = fleet.operator if token is None else bearer(token)
    async with httpx.AsyncClient(base_url=fleet.url(gateway), headers=headers, timeout=60.0) as http:
        return await http.request(method, path, **kwargs)


async def issue(fleet: Fleet, user: str, app: str, *scopes: str, by: str | None = None, **more: Any) -> Json:
    body = {"user_id": user, "app": app, "scopes": [*(scopes or ("read", "write", "delete", "admin"))], **more}
    answer = await ask(fleet, by, "POST", TOKENS, json=body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


@asynccontextmanager
async def over_http(url: str, token: str, revision: str) -> AsyncGenerator[Client]:
    info = Implementation(name="test client", version="1")
    async with httpx2.AsyncClient(headers=bearer(token), timeout=60.0) as http:
        transport = streamable_http_client(f"{url}/mcp", http_client=http)
        async with Client(transport, mode=WIRES[revision], client_info=info, read_timeout_seconds=60) as client:
            yield client


async def test_a_token_acts_as_its_user_and_app_over_rest_mcp_and_stdio_on_every_gateway(fleet: Fleet) -> None:
    token = (await issue(fleet, "ada", "cursor", "read", "write"))["token"]
    body = {"text": "Ada cycles to work", "infer": False}
    added = await ask(fleet, token, "POST", "/api/v1/memories", json=body)
    assert added.status_code == 200, added.text
    for revision in WIRES:
        async with over_http(fleet.url(1), token, revision) as client:
            found = await call(client, "search_memory", query="How does Ada get to work?")
            assert [(row["memory"], row["source_app"]) for row in found["results"]] == [
                ("Ada cycles to work", "cursor")
            ]
    env = environment(MEMLOG_TOKEN=token, MEMLOG_URL=fleet.url(1))
    async with over_stdio("2026-07-28", env=env) as client:
        await call(client, "add_memories", text="Ada takes the train when it rains", infer=False)
    found = await ask(fleet, token, "GET", "/api/v1/search", params={"query": "rain", "user_id": "ada"})
    assert "Ada takes the train when it rains" in [row["memory"] for row in found.json()["results"]]
    own = (await issue(fleet, "ada", "dashboard"))["token"]
    listed = (await ask(fleet, own, "GET", "/api/v1/memories", 1)).json()
    assert {item["app_name"] for item in listed["items"]} == {"cursor"} and listed["total"] == 2


async def test_a_revoked_token_counts_nowhere_from_the_answer_on(fleet: Fleet) -> None:
    issued = await issue(fleet, "bea", "cursor", "read")
    token = issued["token"]
    search = {"params": {"query": "tea"}}
    for gateway in (0, 1):
        assert (await ask(fleet, token, "GET", "/api/v1/search", gateway, **search)).status_code == 200
    path = f"{TOKENS}/{issued['id']}"
    assert (await ask(fleet, None, "DELETE", path, 1, params={"user_id": "bea"})).status_code == 200
    for gateway in (0, 1):
        refused = await ask(fleet, token, "GET", "/api/v1/search", gateway, **search)
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
        assert 'error="invalid_token"' in refused.headers["www-authenticate"]
        message: Json = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        assert (await ask(fleet, token, "POST", "/mcp", gateway, json=message)).status_code == 401
    again = await ask(fleet, None, "DELETE", path, params={"user_id": "bea"})
    assert again.status_code == 200, "it is so already"
    listed = (await ask(fleet, None, "GET", TOKENS, params={"user_id": "bea"})).json()
    [shown] = listed["items"]
    assert (shown["id"], shown["state"], shown["created_by"]) == (issued["id"], "revoked", "operator")
    assert shown["revoked_at"] >= shown["created_at"]
    assert (await ask(fleet, None, "DELETE", path)).status_code == 404, "it is none of the operator's own"


async def test_an_expired_token_is_no_token(fleet: Fleet) -> None:
    uid, now = new_uid(), datetime.now(UTC)
    async with opened(fleet.settings(), start=False) as log:
        sender = await Sender(log, uid).open()
        tokens = {"past": now - timedelta(seconds=1), "future": now + timedelta(hours=1)}
        status: dict[str, int] = {}
        for name, expires_at in tokens.items():
            token = new_token(uid)
            await sender.do(
                IssueToken(
                    token_id=token.token_id, hash=token.hash, user="cy", app="cursor", scopes=("read",),
                    expires_at=expires_at,
                )
            )  # fmt: skip
            status[name] = (await ask(fleet, token.text, "GET", "/readyz")).status_code
    assert status == {"past": 401, "future": 200}
    soon = await issue(fleet, "cy", "cursor", "read", expires_in=2)
    assert abs(soon["expires_at"] - (now + timedelta(days=2)).timestamp()) < 600


async def test_nobody_issues_what_they_do_not_have_or_for_whom_they_are_not(fleet: Fleet) -> None:
    owner = (await issue(fleet, "dora", "dashboard", "read", "admin"))["token"]
    app = (await issue(fleet, "dora", "cursor", "read", "admin"))["token"]
    plain = (await issue(fleet, "dora", "dashboard", "read", "write", "delete"))["token"]
    eve = await issue(fleet, "eve", "dashboard", "admin")
    assert (await issue(fleet, "dora", "zed", "read", by=owner))["user_id"] == "dora"
    cases: list[tuple[str, Json, str]] = [
        (owner, {"app": "zed", "scopes": ["read", "write"]}, "insufficient_scope"),
        (owner, {"app": "zed", "scopes": ["read"], "user_id": "eve"}, "another_user"),
        (app, {"app": "zed", "scopes": ["read"]}, "forbidden"),
        (plain, {"app": "zed", "scopes": ["read"]}, "insufficient_scope"),
    ]
    for token, body, code in cases:
        refused = await ask(fleet, token, "POST", TOKENS, json=body)
        assert (refused.status_code, refused.json()["code"]) == (403, code), refused.text
    for token, params, code in [(owner, {"user_id": "eve"}, "another_user"), (app, {}, "forbidden")]:
        for method, path in [("GET", TOKENS), ("DELETE", f"{TOKENS}/{eve['id']}")]:
            refused = await ask(fleet, token, method, path, params=params)
            assert (refused.status_code, refused.json()["code"]) == (403, code), refused.text
    assert (await ask(fleet, owner, "DELETE", f"{TOKENS}/{eve['id']}")).status_code == 404
    assert (await ask(fleet, eve["token"], "GET", TOKENS)).json()["total"] == 1
    peek = await ask(fleet, None, "GET", "/api/v1/memories", params={"user_id": "eve"})
    assert (peek.status_code, peek.json()["code"]) == (403, "another_user"), "the operator reads nobody else's"


@pytest.mark.guarantee("G8")
async def test_what_was_done_with_a_token_stands_under_its_id_and_an_app_is_told_of_its_own_operations(
    fleet: Fleet,
) -> None:
    cursor = await issue(fleet, "eli", "cursor", "read", "write")
    cline = await issue(fleet, "eli", "cline", "read", "write")
    person = await issue(fleet, "eli", "dashboard")
    body = {"text": "Eli plays the cello", "infer": False}
    memory = (await ask(fleet, cursor["token"], "POST", "/api/v1/memories", json=body)).json()
    await ask(fleet, cline["token"], "GET", "/api/v1/search", params={"query": "cello"})
    path = f"/api/v1/memories/{memory['id']}"
    revised = await ask(fleet, cline["token"], "PUT", path, json={"memory_content": "Eli plays the viola"})
    operation = f"/api/v1/operations/{revised.json()['operation_id']}"

    history = (await ask(fleet, person["token"], "GET", f"{path}/history")).json()["entries"]
    assert [each["actor"] for each in history] == [f"token:{cursor['id']}", f"token:{cline['id']}"]

    async def reads() -> set[tuple[str, str]]:
        log = (await ask(fleet, person["token"], "GET", f"{path}/access-log")).json()["logs"]
        found = {(each["app_name"], each["metadata_"]["actor"]) for each in log}
        return found if len(found) > 1 else set()

    expected = {("cline", f"token:{cline['id']}"), ("dashboard", f"token:{person['id']}")}
    assert await eventually(reads) == expected

    own = (await ask(fleet, cline["token"], "GET", operation)).json()
    assert (own["status"], [each["id"] for each in own["results"]]) == ("done", [memory["id"]])
    assert "Eli" not in json.dumps(own)
    assert (await ask(fleet, cursor["token"], "GET", operation)).status_code == 404
    assert "Eli plays the viola" in (await ask(fleet, person["token"], "GET", operation)).text


async def test_no_token_stands_anywhere_but_in_its_answer(fleet: Fleet) -> None:
    issued = await issue(fleet, "fay", "cursor", "read", label="a laptop")
    secret = issued["token"][-43:].encode()
    assert (await ask(fleet, issued["token"], "GET", "/api/v1/search", params={"query": "tea"})).status_code == 200
    listed = (await ask(fleet, None, "GET", TOKENS, params={"user_id": "fay"})).json()["items"]
    assert listed[0]["label"] == "a laptop"
    assert secret.decode() not in str(listed)
    files = [path for path in fleet.logs.parent.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert [path for path in files if secret in path.read_bytes()] == []


async def test_kill_9_of_gateway_and_writer_loses_neither_a_token_nor_a_revocation(fleet: Fleet) -> None:
    count = 6
    outcome: dict[str, bool] = {}

    async def persistent(status: int, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """The first answer that has this status, whatever dies meanwhile."""
        while True:
            try:
                answer = await ask(fleet, None, method, path, 1, **kwargs)
                if answer.status_code == status:
                    return answer
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)

    async def one(number: int) -> None:
        """A token that by its answers counts, or (each second one) does not any more."""
        body = {"user_id": "gus", "app": f"app {number}", "scopes": ["read"]}
        made = (await persistent(201, "POST", TOKENS, json=body)).json()
        outcome[made["token"]] = True
        if number % 2:
            await persistent(200, "DELETE", f"{TOKENS}/{made['id']}", params={"user_id": "gus"})
            outcome[made["token"]] = False

    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(one(number))
        while not outcome:  # noqa: ASYNC110 - it is under way
            await asyncio.sleep(0.01)
        await fleet.again("memory_writer-0", signal.SIGKILL)
        await fleet.again("gateway-1", signal.SIGKILL)
    await fleet.ready()
    assert sorted(outcome.values()).count(False) == count // 2
    for gateway in (0, 1):
        for token, counts in outcome.items():
            status = (await ask(fleet, token, "GET", "/readyz", gateway)).status_code
            assert status == (200 if counts else 401)


async def test_the_command_line_of_a_home_that_asks_for_tokens_is_the_operators(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with running_stack(home, MEMLOG_AUTH="token") as stack:
        admin = home / "admin-token"
        assert admin.stat().st_mode & 0o777 == 0o600
        async with stack.http() as http:
            assert (await http.get("/api/v1/memories")).status_code == 401
            assert (await http.get("/livez")).status_code == 200
        ended = await memlog(home, "token", "issue", "--app", "zed", "--label", "laptop", "--json")
        assert ended.status == 0, ended.said
        issued = json.loads(ended.out)
        assert (issued["app"], issued["scopes"], issued["user_id"]) == ("zed", ["read", "write"], "default")
        added = await memlog(home, "add", "The kettle is blue", "--verbatim", MEMLOG_TOKEN=issued["token"])
        assert added.out.startswith("Remembered as"), added.said
        refused = await memlog(home, "list", "--token", issued["token"])
        assert refused.status == 1 and "memlog token issue" in refused.said

        first = admin.read_text()
        await stack.kill()
        await stack.start()
        assert admin.read_text() == first
        tokens = await memlog(home, "token", "list")
        assert issued["id"] in tokens.out and "laptop" in tokens.out and issued["token"] not in tokens.out
        listed = await memlog(home, "list")
        assert "The kettle is blue" in listed.out and "zed" in listed.out, "the operator is the default user in person"
        revoked = await memlog(home, "token", "revoke", issued["id"])
        assert revoked.status == 0, revoked.said
        refused = await memlog(home, "search", "kettle", MEMLOG_TOKEN=issued["token"])
        assert refused.status == 1 and "MEMLOG_TOKEN" in refused.said
        elsewhere = await memlog(home, "list", "--url", f"http://localhost:{stack.port}")
        assert elsewhere.status == 1, "the operator's token goes to this home's own address alone"


async def test_who_is_connected_to_one_gateway_is_seen_through_the_other_by_its_owner_alone(fleet: Fleet) -> None:
    client = (await issue(fleet, "cora", "cursor", "read"))["token"]
    owner = (await issue(fleet, "cora", "dashboard", "read"))["token"]
    other = (await issue(fleet, "dora", "dashboard", "read"))["token"]

    async def seen(token: str) -> Json:
        answer = await ask(fleet, token, "GET", "/api/v1/connections", gateway=1)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def all_answer() -> bool:
        return (await seen(owner))["gateways"] == 2

    await eventually(all_answer)
    assert (await ask(fleet, client, "GET", "/api/v1/connections")).status_code == 403
    async with (
        httpx.AsyncClient(base_url=fleet.url(0), headers=bearer(client), timeout=60.0) as http,
        http.stream("GET", "/mcp/cursor/sse/cora") as stream,
    ):
        lines = stream.aiter_lines()  # kept: one that nobody holds closes the stream
        await anext(lines)

        async def shown() -> Json | None:
            found = (await seen(owner))["connections"]
            return found[0] if found else None

        connection = await eventually(shown)
        assert (connection["app"], connection["kind"], connection["last_call"]) == ("cursor", "sse", None)
        assert (await seen(other))["connections"] == []

    async def gone() -> bool:
        return (await seen(owner))["connections"] == []

    await eventually(gone)
