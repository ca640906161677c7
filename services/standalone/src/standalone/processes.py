"""Who a process is: a pid alone is not an identity, since the kernel hands it out again."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process as the system shows it. `started` is an opaque stamp that a reused pid does not share."""

    pid: int
    started: str
    command: str


def own_identity() -> ProcessIdentity:
    """The identity of this process."""
    found = identify(os.getpid())
    return found or ProcessIdentity(os.getpid(), "", " ".join(sys.orig_argv))


def identify(pid: int) -> ProcessIdentity | None:
    """The live process with this pid, or None when there is none (a zombie counts as none)."""
    if pid <= 0:
        return None
    if Path("/proc/self/stat").exists():
        return _identify_in_proc(pid)
    return _identify_with_ps(pid)


def is_alive(identity: ProcessIdentity) -> bool:
    """Whether this very process, and not a later one with its pid, is still running."""
    return identify(identity.pid) == identity


def end_process(identity: ProcessIdentity, first: signal.Signals, *, grace: float = 5.0) -> bool:
    """Send `first`, then SIGKILL after `grace` seconds; True once the process is gone.

    The identity is compared again before each signal, so that a pid reused meanwhile is left alone.
    """
    for number in (first, signal.SIGKILL):
        if not is_alive(identity):
            return True
        try:
            os.kill(identity.pid, number)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        if wait_until_gone(identity, grace):
            return True
    return False


def wait_until_gone(identity: ProcessIdentity, seconds: float) -> bool:
    """Whether the process ended within this many seconds."""
    deadline = time.monotonic() + seconds
    while is_alive(identity):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _identify_in_proc(pid: int) -> ProcessIdentity | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    # The second field is the name in parentheses and may itself hold blanks and parentheses.
    fields = stat.rpartition(")")[2].split()
    state, started = fields[0], fields[19]
    if state in {"Z", "X"}:
        return None
    return ProcessIdentity(pid, started, joined(os.fsdecode(raw).rstrip("\0").split("\0")))


def _identify_with_ps(pid: int) -> ProcessIdentity | None:
    def ask(column: str) -> str:
        answer = subprocess.run(
            ["ps", "-ww", "-o", f"{column}=", "-p", str(pid)],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={"PATH": "/bin:/usr/bin", "LC_ALL": "C"},
        )
        return answer.stdout.strip()

    state, started, command = ask("state"), ask("lstart"), ask("command")
    if not state or state.startswith("Z"):
        return None
    return ProcessIdentity(pid, started, command)


def joined(arguments: list[str]) -> str:
    """A command line as one string, the way `ps` prints it."""
    return " ".join(arguments)
