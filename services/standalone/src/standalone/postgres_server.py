"""PostgreSQL from its wheel: the derived stores of the embedded form, on a private Unix socket.

Everything in it can be rebuilt from the log, hence `synchronous_commit=off`, and a data folder of another
major version is moved aside instead of upgraded.
"""

import asyncio
import contextlib
import json
import locale
import os
import secrets
import shutil
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlencode

import structlog

from standalone.children import Account, Child, ChildSpec, run_to_end, start
from standalone.failures import ServerDidNotStart
from standalone.files import write_atomically
from standalone.home import Home
from standalone.leftovers import end_stale_postmaster, remove_stale_sockets
from standalone.postgres_files import (
    account_for_server,
    give_to,
    major_version,
    postgres_binaries,
)

_log = structlog.get_logger()
_SUPERUSER = "postgres"
_OWNER = "memlog"
_READER = "memlog_reader"
_DATABASE = "memlog"
_PORT = 5432
_POLL_SECONDS = 0.01
_READY_SECONDS = 60.0
_INIT_SECONDS = 120.0
# After kill -9 the old backends take a moment to notice and to let go of the shared memory.
_ATTEMPTS = 8
_RETRY_SECONDS = 0.4

# Small rather than fast: a laptop runs this beside everything else. Each line saves memory or a process.
_SETTINGS = {
    "listen_addresses": "",
    "port": str(_PORT),
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "off",
    "shared_buffers": "32MB",
    "max_connections": "40",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "wal_recycle": "off",
    "wal_buffers": "1MB",
    "min_wal_size": "32MB",
    "max_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "io_method": "sync",
    "huge_pages": "off",
    "max_worker_processes": "2",
    "max_parallel_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "max_logical_replication_workers": "0",
    "autovacuum_max_workers": "1",
    "autovacuum_worker_slots": "1",
    "maintenance_work_mem": "32MB",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",  # the details of an error repeat the row, and so a memory's text
    "log_timezone": "UTC",
    "timezone": "UTC",
    "lc_messages": "C",
}


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server. `dsn` owns the database `memlog`; `reader_dsn` may only read it."""

    dsn: str
    reader_dsn: str
    child: Child


@dataclass(frozen=True, slots=True)
class _Passwords:
    superuser: str
    owner: str
    reader: str


@asynccontextmanager
async def postgres_server(home: Home) -> AsyncGenerator[PostgresServer]:
    """Run PostgreSQL on the home's data folder until left; yields once it accepts connections.

    Initialises the folder on first use. Raises BinaryMissing, HomeUnusable, or ServerDidNotStart.
    """
    binaries = postgres_binaries()
    account = account_for_server(home)
    socket_folder = home.socket_folder()
    give_to(account, socket_folder)
    data = home.postgres / "data"
    await _ensure_initialised(home, binaries, account)
    passwords = _read_passwords(home)
    child = await _start_with_retries(home, binaries, account, socket_folder)
    try:
        _log.info("postgres_ready", pid=child.pid, socket=str(socket_folder))
        yield PostgresServer(
            _dsn(_OWNER, passwords.owner, socket_folder), _dsn(_READER, passwords.reader, socket_folder), child
        )
    finally:
        await child.stop()
        _log.debug("postgres_stopped", data=str(data))


def _dsn(role: str, password: str, socket_folder: Path) -> str:
    query = urlencode({"host": str(socket_folder), "port": _PORT}, safe="/")
    return f"postgresql://{role}:{password}@/{_DATABASE}?{query}"


async def _start_with_retries(home: Home, binaries: Path, account: Account | None, socket_folder: Path) -> Child:
    data = home.postgres / "data"
    settings = {**_SETTINGS, "unix_socket_directories": f'"{socket_folder}"'}
    arguments = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    spec = ChildSpec(
        name="postgres",
        command=[str(binaries / "postgres"), "-D", str(data), *arguments],
        env=_environment(),
        # SIGINT is a fast shutdown with a checkpoint; SIGQUIT is immediate, and recovered from at start.
        stop_signal=signal.SIGINT,
        death_signal=signal.SIGQUIT,
        run_as=account,
    )
    for attempt in range(1, _ATTEMPTS + 1):
        await asyncio.to_thread(end_stale_postmaster, data)
        remove_stale_sockets(socket_folder)
        child = await start(home, spec)
        try:
            if await _ready(child, data):
                return child
            if attempt == _ATTEMPTS:
                raise child.failure(
                    "ended before it was ready. Its data is rebuilt from the log: if it is damaged, remove "
                    f"{home.postgres} while Memlog is stopped"
                )
        except BaseException:
            await child.stop()
            raise
        await child.stop()
        _log.warning("postgres_start_retried", attempt=attempt, exit_code=child.returncode)
        await asyncio.sleep(_RETRY_SECONDS)
    raise AssertionError("unreachable: the last attempt returns or raises")


async def _ready(child: Child, data: Path) -> bool:
    """Wait until the server says `ready` in postmaster.pid, as pg_ctl does; False when it ended before."""
    deadline = time.monotonic() + _READY_SECONDS
    while child.returncode is None:
        if time.monotonic() > deadline:
            raise child.failure(f"was not ready within {_READY_SECONDS:.0f} s")
        with suppress(OSError, ValueError):
            lines = (data / "postmaster.pid").read_text().splitlines()
            # A stale file of an earlier server also says `ready`, under another pid.
            if len(lines) >= 8 and int(lines[0]) == child.pid and lines[7].strip() == "ready":
                return True
        await asyncio.sleep(_POLL_SECONDS)
    return False


async def _ensure_initialised(home: Home, binaries: Path, account: Account | None) -> None:
    data = home.postgres / "data"
    for half_made in home.postgres.glob("new-*"):
        await asyncio.to_thread(shutil.rmtree, half_made)
    wanted = await asyncio.to_thread(major_version, binaries)
    found = _data_version(data)
    if found == wanted and _passwords_file(home).exists():
        give_to(account, data)
        return
    if data.exists():
        aside = home.postgres / f"old-{found or 'unknown'}-{time.strftime('%Y%m%dT%H%M%S')}"
        data.rename(aside)
        _log.warning(
            "postgres_data_moved_aside",
            reason=f"made by PostgreSQL {found}, this is {wanted}" if found != wanted else "passwords.json is lost",
            then="everything in it is rebuilt from the log",
            moved_to=str(aside),
        )
    await _initialise(home, binaries, account)


async def _initialise(home: Home, binaries: Path, account: Account | None) -> None:
    """initdb, roles, database and extension in a folder of another name, which then gets its own: a kill in
    the middle leaves nothing that looks finished."""
    passwords = _Passwords(*(secrets.token_urlsafe(24) for _ in range(3)))
    new = home.postgres / f"new-{secrets.token_hex(4)}"
    new.mkdir(mode=0o700)
    give_to(account, new)
    password_file, script = home.run / "initdb.password", home.run / "initdb.sql"
    write_atomically(password_file, passwords.superuser + "\n")
    write_atomically(script, "\n".join(_bootstrap(passwords)) + "\n")
    give_to(account, password_file)
    initdb = [
        *(str(binaries / "initdb"), "-D", str(new), "-U", _SUPERUSER, "--pwfile", str(password_file)),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", f"--lc-ctype={_character_type()}"),
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"),
    ]
    single = [
        *(str(binaries / "postgres"), "--single", "-D", str(new), "-c", "exit_on_error=on"),
        *("-c", "log_min_messages=warning", "template1"),
    ]
    try:
        for name, command, stdin in (("initdb", initdb, None), ("postgres-roles", single, script)):
            spec = ChildSpec(
                name, command, env=_environment(), death_signal=signal.SIGKILL, run_as=account, stdin=stdin
            )
            await run_to_end(home, spec, timeout=_INIT_SECONDS)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    finally:
        for file in (password_file, script):
            file.unlink(missing_ok=True)
    write_atomically(_passwords_file(home), json.dumps(asdict(passwords)) + "\n")
    new.rename(home.postgres / "data")
    _log.info("postgres_initialised", data=str(home.postgres / "data"))


def _character_type() -> str:
    """A libc locale that knows letters beyond ASCII: pg_trgm asks it what a word is, and under C a Cyrillic or Chinese
    text has no trigrams, so that its search would find no index."""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        for name in ("C.UTF-8", "en_US.UTF-8", "UTF-8"):
            with contextlib.suppress(locale.Error):
                locale.setlocale(locale.LC_CTYPE, name)
                return name
        return "C"
    finally:
        locale.setlocale(locale.LC_CTYPE, before)


def _bootstrap(passwords: _Passwords) -> list[str]:
    """Statements for single-user mode in template1, one a line; the new database copies template1."""
    return [
        f"CREATE ROLE {_OWNER} LOGIN PASSWORD '{passwords.owner}'",
        f"CREATE ROLE {_READER} LOGIN PASSWORD '{passwords.reader}'",
        f"ALTER ROLE {_READER} SET default_transaction_read_only = on",
        "CREATE EXTENSION pg_trgm",
        f"CREATE DATABASE {_DATABASE} OWNER {_OWNER}",
        f"REVOKE ALL ON DATABASE {_DATABASE} FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {_DATABASE} TO {_READER}",
    ]


def _passwords_file(home: Home) -> Path:
    return home.postgres / "passwords.json"


def _read_passwords(home: Home) -> _Passwords:
    path = _passwords_file(home)
    try:
        return _Passwords(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise ServerDidNotStart(
            f"{path} is damaged ({error}). Remove {home.postgres} while Memlog is stopped: it is rebuilt."
        ) from error


def _data_version(data: Path) -> str | None:
    try:
        return (data / "PG_VERSION").read_text().strip()
    except OSError:
        return None


def _environment() -> dict[str, str]:
    # Nothing of the user's PG* variables; a fixed locale keeps the macOS postmaster single-threaded.
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
