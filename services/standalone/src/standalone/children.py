"""Direct children: started so that they cannot outlive this process, logged, and stopped within a bound."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from standalone import launch
from standalone.failures import ServerDidNotStart
from standalone.files import tail
from standalone.home import Home
from standalone.leftovers import ChildRecord, write_record
from standalone.processes import ProcessIdentity, identify, joined, own_identity

_log = structlog.get_logger()
LOG_LIMIT_BYTES = 8 * 1024 * 1024
LOG_CHECK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine to run a child as, instead of root."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to run one child.

    `command` is an absolute program path and its arguments. `stop_signal` asks it to stop, `death_signal` is
    what the kernel sends when this process dies, `stop_grace` is in seconds. `env` replaces the environment
    (None: inherit it). `keeps_home_lock`: the child inherits the lock's descriptor. `stdin` is a file to read
    from (None: nothing).
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGTERM
    stop_grace: float = 10.0
    keeps_home_lock: bool = False
    run_as: Account | None = None
    stdin: Path | None = None


class Child:
    """A running child. Its owner awaits `wait()` to notice its end, and leaves by `stop()`."""

    def __init__(self, spec: ChildSpec, process: asyncio.subprocess.Process, log: Path, record: Path) -> None:
        self.name = spec.name
        self.log = log
        self._spec = spec
        self._process = process
        self._record = record

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for the child to end, keeping its log bounded meanwhile; the exit code."""
        while True:
            try:
                return await asyncio.wait_for(self._process.wait(), LOG_CHECK_SECONDS)
            except TimeoutError:
                bound_log(self.log)

    async def stop(self) -> int:
        """Send the stop signal, wait `stop_grace` seconds, kill; the exit code. Safe to call twice.

        When cancelled while waiting, the child is killed at once.
        """
        try:
            if self._process.returncode is None:
                self._signal(self._spec.stop_signal)
                try:
                    await asyncio.wait_for(self._process.wait(), self._spec.stop_grace)
                except TimeoutError:
                    _log.warning("child_killed", child=self.name, pid=self.pid, after=self._spec.stop_grace)
        finally:
            if self._process.returncode is None:
                self._signal(signal.SIGKILL)
        code = await self._process.wait()
        self._record.unlink(missing_ok=True)
        return code

    def failure(self, what: str) -> ServerDidNotStart:
        """An error that says `what`, where the log is, and how the log ends."""
        code = "" if self.returncode is None else f" (exit code {self.returncode})"
        return ServerDidNotStart(f"{self.name} {what}{code}. Its log {self.log} ends:\n{tail(self.log)}")

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)


@asynccontextmanager
async def running(home: Home, spec: ChildSpec) -> AsyncGenerator[Child]:
    """Start a child and stop it on the way out.

    Call it on the main thread's event loop: Linux ties the death signal to the *thread* that forked. The
    child leads a session of its own, so Ctrl-C reaches only this process, which stops children in order.
    """
    child = await start(home, spec)
    try:
        yield child
    finally:
        await child.stop()


async def start(home: Home, spec: ChildSpec) -> Child:
    """Start a child without waiting for it to be ready; the caller owns stopping it."""
    home.logs.mkdir(mode=0o700, exist_ok=True)
    home.run.mkdir(mode=0o700, exist_ok=True)
    log_path = home.logs / f"{spec.name}.log"
    bound_log(log_path)
    options = {
        "parent": os.getpid(),
        "death_signal": int(spec.death_signal),
        "uid": spec.run_as.uid if spec.run_as else None,
        "gid": spec.run_as.gid if spec.run_as else None,
    }
    inherited = (home.lock,) if spec.keeps_home_lock and home.lock is not None else ()
    source = os.open(spec.stdin or os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    descriptor = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            launch.__file__,
            json.dumps(options),
            *spec.command,
            stdin=source,
            stdout=descriptor,
            stderr=descriptor,
            env=dict(spec.env) if spec.env is not None else None,
            cwd="/",
            pass_fds=inherited,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
        os.close(source)
    record = home.run / f"{spec.name}.json"
    child = Child(spec, process, log_path, record)
    try:
        found = identify(process.pid)
        started = found.started if found is not None else ""
        identity = ProcessIdentity(process.pid, started, joined(list(spec.command)))
        write_record(record, ChildRecord(spec.name, identity, own_identity(), int(spec.stop_signal)))
    except BaseException:
        await child.stop()
        raise
    _log.debug("child_started", child=spec.name, pid=process.pid)
    return child


async def run_to_end(home: Home, spec: ChildSpec, *, timeout: float) -> None:
    """Run a one-off helper (initdb) to its end; raises ServerDidNotStart if it fails or takes too long."""
    async with running(home, spec) as child:
        try:
            code = await asyncio.wait_for(child.wait(), timeout)
        except TimeoutError:
            raise child.failure(f"did not finish within {timeout:.0f} s") from None
        if code != 0:
            raise child.failure("failed")


def bound_log(path: Path) -> None:
    """Keep a log under a few megabytes: the text moves to `<name>.1` and the file, open in append mode by the
    child, starts again from nothing. Lines written during the copy are lost."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return
    if size <= LOG_LIMIT_BYTES:
        return
    with path.open("rb+") as log, path.with_name(f"{path.name}.1").open("wb") as old:
        log.seek(max(0, size - LOG_LIMIT_BYTES))
        old.write(log.read(LOG_LIMIT_BYTES))
        log.truncate(0)
