"""The real servers as supervised children: start, refuse, stop, survive kill -9."""

# asyncpg and nats-py are typed in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import asyncio
import json
import os
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import nats
import psutil
import pytest
from nats.js.api import StreamConfig
from standalone.failures import HomeInUse, PortTaken, ServerDidNotStart
from standalone.home import Home
from standalone.nats_server import nats_server
from standalone.postgres_server import postgres_server

_PARENT = Path(__file__).parents[2] / "support" / "standalone_parent.py"


def _processes_of(home_path: Path) -> list[str]:
    """Servers of this home that are alive, backends included (they keep the data folder as their cwd)."""
    found: list[str] = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            line = " ".join(process.cmdline())
            if str(home_path) in line or process.cwd().startswith(str(home_path)):
                found.append(f"{process.pid} {line}")
        except psutil.Error:
            continue
    return found


async def _eventually(condition: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.01)


@dataclass(frozen=True, slots=True)
class _Parent:
    process: asyncio.subprocess.Process
    nats_url: str
    nats_pid: int
    dsn: str
    postgres_pid: int


@asynccontextmanager
async def _parent(home_path: Path) -> AsyncGenerator[_Parent]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(_PARENT), str(home_path), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            async for line in process.stdout:
                if line.startswith(b"READY "):
                    yield _Parent(process, **json.loads(line.removeprefix(b"READY ")))
                    break
            else:
                pytest.fail("the parent ended before it was ready")
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.communicate(), 60)


async def _append(url: str, text: str) -> int:
    client = await nats.connect(url)
    try:
        stream = client.jetstream()
        await stream.add_stream(StreamConfig(name="LOG", subjects=["log.>"]))
        return (await stream.publish("log.x", text.encode())).seq
    finally:
        await client.close()


async def _read(url: str, sequence: int) -> str:
    client = await nats.connect(url)
    try:
        return ((await client.jetstream().get_msg("LOG", sequence)).data or b"").decode()
    finally:
        await client.close()


async def _query(dsn: str, *statements: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1])
    finally:
        await connection.close()


async def _get(url: str) -> Any:
    def read() -> Any:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=60) as answer:
            return json.load(answer)

    return await asyncio.to_thread(read)


async def test_both_servers_start_serve_and_stop_leaving_no_process(home_path: Path) -> None:
    with Home.open(home_path) as home:
        async with nats_server(home) as log, postgres_server(home) as derived:
            sequence = await _append(log.url, "hello")
            assert await _read(log.url, sequence) == "hello"
            assert await _query(derived.dsn, "SELECT 1") == 1
            assert (home.run / "nats-server.json").exists()
            assert (home.run / "postgres.json").exists()
        assert _processes_of(home_path) == []
        assert list(home.run.glob("*.json")) == []


async def test_nats_listens_on_loopback_only_and_syncs_always(home_path: Path) -> None:
    with Home.open(home_path) as home:
        async with nats_server(home) as log:
            listening = psutil.Process(log.child.pid).net_connections()
            assert {c.laddr.ip for c in listening if c.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
            assert (await _get(log.monitor_url + "/jsz"))["config"]["sync_always"] is True
            assert (await _get(log.monitor_url + "/varz"))["jetstream"]["config"]["sync_always"] is True


async def test_nats_refuses_a_client_without_the_password_of_this_start(home_path: Path) -> None:
    with Home.open(home_path) as home:
        async with nats_server(home) as log:
            address = log.url.rpartition("@")[2]
            host, _, port = address.partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
                answer = await asyncio.wait_for(reader.read(), 60)
                assert b"Authorization Violation" in answer
            finally:
                writer.close()
                await writer.wait_closed()


async def test_a_fixed_port_that_is_taken_is_a_clear_error(home_path: Path) -> None:
    with socket.socket() as taken, Home.open(home_path) as home:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=str(port)):
            async with nats_server(home, port=port):
                pass


async def test_nats_can_be_given_a_fixed_port(home_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Home.open(home_path) as home:
        async with nats_server(home, port=port) as log:
            assert log.url.endswith(f"@127.0.0.1:{port}")


async def test_the_reader_role_reads_what_it_was_granted_and_writes_nothing(home_path: Path) -> None:
    with Home.open(home_path) as home:
        async with postgres_server(home) as derived:
            await _query(derived.dsn, "CREATE SCHEMA s", "CREATE TABLE s.t AS SELECT 7 AS n", "SELECT 1")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await _query(derived.reader_dsn, "SELECT n FROM s.t")
            grants = ("GRANT USAGE ON SCHEMA s TO memlog_reader", "GRANT SELECT ON s.t TO memlog_reader", "SELECT 1")
            await _query(derived.dsn, *grants)
            assert await _query(derived.reader_dsn, "SELECT n FROM s.t") == 7
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                await _query(derived.reader_dsn, "INSERT INTO s.t VALUES (8)", "SELECT 1")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await _query(
                    derived.reader_dsn,
                    "SET default_transaction_read_only = off",
                    "INSERT INTO s.t VALUES (8)",
                    "SELECT 1",
                )
            with pytest.raises(asyncpg.InvalidPasswordError):
                await _query(derived.dsn.replace("memlog:", "memlog:x", 1), "SELECT 1")


async def test_postgres_has_no_tcp_port_is_not_root_and_has_trigrams_and_unicode(home_path: Path) -> None:
    with Home.open(home_path) as home:
        async with postgres_server(home) as derived:
            process = psutil.Process(derived.child.pid)
            assert process.uids().effective != 0
            assert [c for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN] == []
            assert await _query(derived.dsn, "SELECT similarity('word', 'wörd') > 0") is True
            assert await _query(derived.dsn, "SELECT upper('ß' || 'é')") == "ßÉ"
            assert await _query(derived.dsn, "SELECT cardinality(show_trgm('кошка'))") > 0


async def test_a_data_folder_of_another_major_version_is_moved_aside(home_path: Path) -> None:
    with Home.open(home_path) as home:
        old = home.postgres / "data"
        old.mkdir()
        (old / "PG_VERSION").write_text("15\n")
        async with postgres_server(home) as derived:
            assert await _query(derived.dsn, "SELECT current_setting('server_version_num')::int / 10000") == 18
        assert [(p / "PG_VERSION").read_text() for p in home.postgres.glob("old-15-*")] == ["15\n"]


async def test_an_initialisation_that_was_killed_is_started_anew(home_path: Path) -> None:
    with Home.open(home_path) as home:
        half_made = home.postgres / "new-half"
        half_made.mkdir()
        (half_made / "PG_VERSION").write_text("18\n")
        async with postgres_server(home) as derived:
            assert await _query(derived.dsn, "SELECT 1") == 1
        assert not half_made.exists()


async def test_a_damaged_data_folder_is_an_error_that_shows_the_log(home_path: Path) -> None:
    with Home.open(home_path) as home:
        async with postgres_server(home):
            pass
        (home.postgres / "data" / "global" / "pg_control").write_bytes(b"")
        with pytest.raises(ServerDidNotStart, match="pg_control"):
            async with postgres_server(home):
                pass
    assert _processes_of(home_path) == []


async def test_a_long_home_path_works(home_path: Path) -> None:
    long = home_path / ("x" * 100)
    with Home.open(long) as home:
        async with postgres_server(home) as derived:
            assert await _query(derived.dsn, "SELECT 1") == 1
        folder = home.socket_folder()
        folder.rmdir()
        folder.parent.rmdir()


async def test_kill_minus_9_of_the_parent_leaves_no_server_and_no_data_is_lost(home_path: Path) -> None:
    for round_number in range(1, 6):
        async with _parent(home_path) as parent:
            for earlier in range(1, round_number):
                assert await _read(parent.nats_url, earlier) == f"round {earlier}"
            assert await _append(parent.nats_url, f"round {round_number}") == round_number
            count = await _query(
                parent.dsn,
                "CREATE TABLE IF NOT EXISTS rounds (n int)",
                "SET synchronous_commit = on",
                f"INSERT INTO rounds VALUES ({round_number})",
                "SELECT count(*) FROM rounds",
            )
            assert count == round_number
            parent.process.kill()
            await _eventually(lambda: not _processes_of(home_path), 60.0)


async def test_the_next_start_may_follow_a_kill_at_once(home_path: Path) -> None:
    for _ in range(5):
        async with _parent(home_path) as parent:
            parent.process.kill()
            await parent.process.wait()
    async with _parent(home_path) as parent:
        assert await _query(parent.dsn, "SELECT 1") == 1


async def test_servers_that_were_killed_themselves_come_back_with_their_data(home_path: Path) -> None:
    with Home.open(home_path) as home:
        async with nats_server(home) as log, postgres_server(home) as derived:
            assert await _append(log.url, "kept") == 1
            await _query(derived.dsn, "SET synchronous_commit = on", "CREATE TABLE kept AS SELECT 5 AS n", "SELECT 1")
            os.kill(log.child.pid, signal.SIGKILL)
            os.kill(derived.child.pid, signal.SIGKILL)
            assert await asyncio.wait_for(log.child.wait(), 60) == -signal.SIGKILL
            assert await asyncio.wait_for(derived.child.wait(), 60) == -signal.SIGKILL
        async with nats_server(home) as log, postgres_server(home) as derived:
            assert await _read(log.url, 1) == "kept"
            assert await _query(derived.dsn, "SELECT n FROM kept") == 5


async def test_a_second_instance_is_refused_with_the_pid_of_the_first(home_path: Path) -> None:
    async with _parent(home_path) as parent:
        with pytest.raises(HomeInUse) as refused, Home.open(home_path, wait=0.2):
            pass
        assert f"process {parent.process.pid} (" in refused.value.message
        assert "standalone_parent.py" in refused.value.message
        assert psutil.pid_exists(parent.nats_pid)
        assert await _query(parent.dsn, "SELECT 1") == 1


async def test_the_lock_outlives_its_owner_as_long_as_nats_lives(home_path: Path) -> None:
    with Home.open(home_path) as home:
        lock = home.lock_file
        async with nats_server(home) as log:
            open_files = [f.path for f in psutil.Process(log.child.pid).open_files()]
            assert str(lock) in open_files


async def test_ctrl_c_in_the_terminal_reaches_only_the_parent(home_path: Path) -> None:
    with Home.open(home_path) as home:
        async with nats_server(home) as log, postgres_server(home) as derived:
            for pid in (log.child.pid, derived.child.pid):
                assert os.getpgid(pid) == pid != os.getpgid(0)
