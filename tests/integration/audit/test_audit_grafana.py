"""What Grafana asks of the audited access log, as its role: each query of the dashboards, and nothing else."""

import json
import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from audit.generations import access_models, read_models
from audit.keeper import PostgresKeeper
from audit.schema import AUDITED, install
from audit.store import PostgresStore
from contracts.codec import Recorded
from contracts.events import AppRegistered, MemoriesRead, MemoryAdded, ReadItem, UserRegistered
from runtime.postgres import DERIVED_STORE, Pool, StatementRefused, create_pool, postgres_errors
from runtime.store import ProjectionStore
from standalone.home import Home
from standalone.postgres_server import PostgresServer
from support.expressions import statements
from support.recorded_events import APP, UID, at, recorded

GRANTS = Path(__file__).parents[3] / "deploy" / "postgres" / "grants.sql"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PASSWORD = "for-tests"
NAME = "grafana_test"
_FROM, _TO = at(0), at(10)
_MACROS = (
    (r"\$__timeFilter\(([\w.]+)\)", rf"\1 BETWEEN '{_FROM.isoformat()}' AND '{_TO.isoformat()}'"),
    (r"\$__timeGroupAlias\(([\w.]+), \$__interval\)", r'floor(extract(epoch from \1) / 60) * 60 AS "time"'),
    (r"\$__timeFrom\(\)", f"'{_FROM.isoformat()}'"),
    (r"\$app\b", "'claude','cursor'"),
    (r"\$user\b", f"'{UID}'"),
)
"""As Grafana puts them in."""


_READ = MemoriesRead(kind="search", query="where is the safe", items=(ReadItem(id="m1", rank=1, score=0.9),))
READ, AGAIN = (
    replace(recorded(sequence, _READ), trace_id=TRACE, subject=f"memlog.access.0.{UID}.{APP}") for sequence in (1, 2)
)


def expanded(statement: str) -> str:
    for macro, text in _MACROS:
        statement = re.sub(macro, text, statement)
    assert "$" not in statement
    return statement


@pytest.fixture(scope="module")
def dsn(server: str, home: Home, postgres: PostgresServer) -> Callable[[str, str], str]:
    """The DSN of a role, by its password, in the database of this module."""
    at_server = server.replace("/postgres?", f"/{NAME}?")
    return lambda role, password: at_server.replace(urlsplit(postgres.dsn).netloc, f"{role}:{password}@")


@pytest.fixture(scope="module")
async def grafana(home: Home, administrator: Pool, dsn: Callable[[str, str], str]) -> AsyncGenerator[Pool]:
    """Grafana's pool, on read models with a memory, and a read of it, in the database that deploy/ sets up."""
    await administrator.execute(f"CREATE DATABASE {NAME}")
    superuser = json.loads((home.postgres / "passwords.json").read_text())["superuser"]
    setting_up = await create_pool(dsn("postgres", superuser), application_name="tests", size=1)
    await setting_up.execute(GRANTS.read_text().replace("DATABASE memlog", f"DATABASE {NAME}"))
    for role in ("memlog_audit", "memlog_grafana"):
        await setting_up.execute(f"ALTER ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    owner = await create_pool(dsn("memlog_audit", PASSWORD), application_name="audit", size=2, settings=DERIVED_STORE)
    pool = None
    try:
        await fill(owner)
        pool = await create_pool(dsn("memlog_grafana", PASSWORD), application_name="grafana", size=2)
        yield pool
    finally:
        for each in filter(None, (pool, owner, setting_up)):
            each.terminate()
        await administrator.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


async def fill(owner: Pool) -> None:
    events = PostgresStore(owner, await install(owner, read_models))
    reads = PostgresStore(owner, await install(owner, access_models))
    await feed(
        events,
        recorded(1, UserRegistered(name="Ada")),
        recorded(2, AppRegistered(app_id=APP, name="claude")),
        recorded(3, MemoryAdded(memory_id="m1", text="The safe is behind the clock")),
    )
    await feed(reads, READ)


async def feed(store: ProjectionStore, *events: Recorded) -> None:
    await store.claim(0, 1)
    await store.checkpoint(0)
    await store.apply(events, 1)


@pytest.mark.parametrize(("where", "statement"), statements(), ids=[where for where, _ in statements()])
async def test_a_query_of_the_dashboards_can_be_answered(grafana: Pool, where: str, statement: str) -> None:
    rows = await grafana.fetch(expanded(statement))
    assert rows or "Unusual" in where


async def test_a_read_leads_to_its_trace(grafana: Pool) -> None:
    listed = next(statement for where, statement in statements() if "the last first" in where)
    (row,) = await grafana.fetch(expanded(listed))
    assert (row["app"], row["user"], row["memories"], row["trace"]) == ("claude", UID, 1, TRACE)


async def test_grafana_sees_no_text_query_or_name_of_a_user(grafana: Pool) -> None:
    views = await grafana.fetch(
        "SELECT c.relname, n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'v') AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
        " AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"
    )
    assert {(row["nspname"], row["relname"]) for row in views} == {("memlog", name) for name in AUDITED}
    for name in AUDITED:
        shown = " ".join(str(dict(row)) for row in await grafana.fetch(f"SELECT * FROM memlog.{name}"))
        assert "safe" not in shown
        assert "Ada" not in shown


@pytest.mark.parametrize("table", ["memory_texts", "memories", "users", "access_log", "history", "operations"])
async def test_any_other_table_is_refused(grafana: Pool, table: str) -> None:
    with pytest.raises(StatementRefused, match="InsufficientPrivilege"), postgres_errors():
        await grafana.fetch(f"SELECT * FROM memlog.{table}")


async def test_grafana_changes_nothing(grafana: Pool) -> None:
    with pytest.raises(StatementRefused), postgres_errors():
        await grafana.execute("DELETE FROM memlog.reads")


async def test_another_generation_is_seen_once_it_serves(grafana: Pool, dsn: Callable[[str, str], str]) -> None:
    owner = await create_pool(dsn("memlog_audit", PASSWORD), application_name="audit", size=2, settings=DERIVED_STORE)
    try:
        keeper = PostgresKeeper(owner, owner, access_models)
        number = (await keeper.create(None, False)).number
        await feed(await keeper.open(number), READ, AGAIN)
        await keeper.note(number, "following", parity="equal", difference=None)
        await keeper.switch(number)
    finally:
        owner.terminate()
    assert len(await grafana.fetch("SELECT * FROM memlog.reads")) == 2
