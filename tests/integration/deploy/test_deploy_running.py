"""Services started from the command, environment and user that their images and compose.yaml declare work together; one
that does more than it has to is refused, by NATS and by PostgreSQL, whatever its own code says."""

import asyncio
import json
import re
import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from contracts.errors import ConfigurationError
from contracts.permissions import OPERATOR, inbox_prefix, permissions
from nats.aio.msg import Msg
from runtime.postgres import Pool, StatementRefused, create_pool, postgres_errors
from support.composed import SERVICES, Composed, composed
from support.overstepping import LISTENERS, connected, forbidden
from support.stack import eventually


@pytest.fixture(scope="module")
async def running() -> AsyncGenerator[Composed]:
    # Not below pytest's own folder, which other users may not enter.
    folder = Path(tempfile.mkdtemp(prefix="memlog-composed-"))
    try:
        async with composed(folder) as here:
            await here.up()
            yield here
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def client(running: Composed, token: str | None = None) -> httpx.AsyncClient:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=running.url, headers=headers, timeout=30.0)


async def test_a_memory_is_added_and_found_with_the_admin_token(running: Composed) -> None:
    async with client(running, running.admin_token) as http:
        added = await http.post("/api/v1/memories", json={"text": "The kettle is descaled on Fridays", "infer": False})
        assert added.status_code == 200, added.text
        found = await http.get("/api/v1/search", params={"query": "kettle"})
        assert [each["memory"] for each in found.json()["results"]] == ["The kettle is descaled on Fridays"]
        id_ = added.json()["id"]

        async def categorized() -> bool:
            return bool((await http.get(f"/api/v1/memories/{id_}")).json()["categories"])

        await eventually(categorized, timeout=60.0)


async def test_the_gateway_answers_to_its_name_in_compose_and_to_no_foreign_one(running: Composed) -> None:
    async with client(running, running.admin_token) as http:
        for host, status in (("gateway:8765", 200), ("evil.example", 403)):
            assert (await http.get("/api/v1/apps", headers={"Host": host})).status_code == status


async def test_nobody_is_let_in_without_a_token(running: Composed) -> None:
    async with client(running) as http:
        assert (await http.get("/api/v1/memories")).status_code == 401
        assert (await http.get("/readyz")).status_code == 401
        assert (await http.get("/livez")).status_code == 200


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_runs_as_its_images_user_if_anybody_can_become_one(running: Composed, service: str) -> None:
    process = psutil.Process(running.processes[service].pid)
    declared = running.images[service].user
    assert declared.split(":")[0] != "0"
    if psutil.Process().uids().real == 0:
        assert f"{process.uids().real}:{process.gids().real}" == declared


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_writes_nowhere_but_into_its_volume(running: Composed, service: str) -> None:
    """What it keeps open for writing; what it may write at all, its user says."""
    process = psutil.Process(running.processes[service].pid)
    state, log = running.folder / "state" / service, running.folder / "logs"
    written = [file.path for file in process.open_files() if file.mode != "r"]
    assert [path for path in written if not path.startswith((str(state), str(log)))] == []
    if not running.images[service].volumes:
        assert [*state.rglob("*")] == []


async def test_the_operator_has_the_command_line_with_token_and_log(running: Composed) -> None:
    for command in (("status", "--json"), ("token", "list", "--json"), ("backup", "a.tar", "--json")):
        process = await running.run("tools", *running.images["tools"].entrypoint, *command)
        assert await process.wait() == 0, (command, running.log_of("tools"))
    assert (running.folder / "state" / "tools" / "a.tar").stat().st_size > 0


async def test_the_whole_is_verified_and_no_service_asks_for_what_it_may_not(running: Composed) -> None:
    async with client(running, running.admin_token) as http:
        async with http.stream("GET", "/api/v1/events/stream") as events:
            assert events.status_code == 200
            await http.post("/api/v1/memories", json={"text": "Live as it comes", "infer": False})
            async with asyncio.timeout(30):
                assert await anext(line async for line in events.aiter_lines() if line.startswith("data:"))
        # Compared with a fresh fold: so each store is built anew beside the one that serves.
        assert (await http.post("/api/v1/verification", json={"stores": True})).status_code == 202

        async def verified() -> bool:
            return (await http.get("/api/v1/verification")).json()["state"] == "done"

        await eventually(verified, timeout=120.0)
        done = (await http.get("/api/v1/verification")).json()
        assert done["result"] == "equal", done
        for read in ("health", "projections", "anchors", "dead-letters", "events", "access-rules"):
            assert (await http.get(f"/api/v1/{read}")).status_code == 200, read
    # Services name their connections; tests that overstep do not.
    assert re.findall(r'python3:[a-z-]+".*Violation.*', (running.folder / "nats.log").read_text()) == []


async def ignore(_: Msg) -> None:
    """Nothing arrives."""


@pytest.mark.parametrize("service", SERVICES)
async def test_what_a_service_has_no_business_with_it_cannot_publish(running: Composed, service: str) -> None:
    asked = forbidden(service)
    async with connected(running, OPERATOR) as (operator, _):
        js = operator.jetstream()  # pyright: ignore[reportUnknownMemberType]
        before = {info.config.name: info.state.last_seq for info in await js.streams_info()}
        async with connected(running, service) as (client, refused):
            for subject in asked:
                await client.publish(subject, b"{}", reply=client.new_inbox())
            await client.flush()
            said = [f'publish to "{subject.lower()}"' for subject in asked]
            await eventually(lambda: _true(len(refused) >= len(asked)), timeout=30.0)
        assert [each for each in said if not any(each in line for line in refused)] == []
        after = {info.config.name: info.state.last_seq for info in await js.streams_info()}
        leases = "KV_MEMLOG_LEASES"  # renewed all the time, by those who hold them
        assert after | {leases: 0} == before | {leases: 0}


@pytest.mark.parametrize("service", SERVICES)
async def test_what_is_meant_for_others_a_service_cannot_hear(running: Composed, service: str) -> None:
    asked = [subject for subject, may in LISTENERS.items() if service not in may]
    asked += [f"{inbox_prefix(other)}.>" for other in permissions() if other != service]
    async with connected(running, service) as (client, refused):
        for subject in asked:
            await client.subscribe(subject, cb=ignore)  # pyright: ignore[reportUnknownMemberType]
        await client.flush()
        await eventually(lambda: _true(len(refused) >= len(asked)), timeout=30.0)
        assert [
            each for each in asked if not any(f'subscription to "{each.lower()}"' in line for line in refused)
        ] == []


@pytest.mark.parametrize("user", ["gateway", "memlog", "", None])
async def test_only_who_has_the_password_is_anybody(running: Composed, user: str | None) -> None:
    said = {} if user is None else {"user": user, "pass": running.nats_password("indexer")}
    reader, writer = await asyncio.open_connection("127.0.0.1", running.nats_port)
    try:
        assert (await reader.readline()).startswith(b"INFO")
        writer.write(f"CONNECT {json.dumps({'verbose': False} | said)}\r\nPING\r\n".encode())
        assert b"Authorization Violation" in await reader.readline()
    finally:
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def database(dsn: str) -> AsyncGenerator[Pool]:
    """One connection."""
    pool = await create_pool(dsn, application_name="test", size=1)
    try:
        with postgres_errors():
            yield pool
    finally:
        await pool.close()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM memlog.memories",
        "UPDATE memlog.memories SET state = 'deleted'",
        "INSERT INTO memlog.memories DEFAULT VALUES",
        "TRUNCATE memlog_generations.generations",
        "CREATE TABLE public.mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE TEMP TABLE mine (id int)",
        "DROP VIEW memlog.memories",
        "ALTER ROLE memlog_gateway SUPERUSER",
        "SET ROLE memlog_audit",
        "COPY memlog.memories TO PROGRAM 'cat'",
        "SELECT pg_read_file('/etc/passwd')",
    ],
)
async def test_the_gateways_role_reads_and_does_nothing_else(running: Composed, statement: str) -> None:
    # That its sessions begin read-only is a habit which it could drop; its rights it cannot.
    for habit, why in (("on", "InsufficientPrivilege|ReadOnly"), ("off", "InsufficientPrivilege")):
        with pytest.raises(StatementRefused, match=why):
            async with database(running.postgres_dsn("gateway")) as gateway:
                assert await gateway.fetchval("SELECT count(*) FROM memlog.memories") >= 0
                await gateway.execute(f"SET default_transaction_read_only = {habit}")
                await gateway.execute(statement)


async def test_the_gateways_role_sees_the_views_and_not_what_is_behind_them(running: Composed) -> None:
    async with database(running.postgres_dsn("gateway")) as gateway:
        behind = await gateway.fetch(
            "SELECT relname FROM pg_class JOIN pg_namespace AS schema ON schema.oid = relnamespace "
            "WHERE nspname LIKE 'memlog%' AND relkind = 'r' AND has_table_privilege(pg_class.oid, 'SELECT')"
        )
        assert behind == []
        unseen = await gateway.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'memlog'::regnamespace AND relkind = 'v' "
            "AND NOT has_table_privilege(oid, 'SELECT')"
        )
        assert unseen == []


@pytest.mark.parametrize("role", ["memlog_reader", "memlog_writer", "memory-writer", "indexer", "memlog_audit"])
async def test_who_has_no_business_there_does_not_get_into_postgresql(running: Composed, role: str) -> None:
    """Not with the gateway's password."""
    dsn = running.postgres_dsn("gateway").replace("memlog_gateway:", f"{role}:")
    with pytest.raises(ConfigurationError):
        async with database(dsn):
            pass


async def _true(holds: bool) -> bool:
    return holds
