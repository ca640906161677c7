"""What a run ran on."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil
from standalone.nats_server import nats_binary
from standalone.postgres_files import postgres_binaries

_ROOT = Path(__file__).parent.parent


def describe() -> dict[str, str | int | float]:
    """CPU, memory, kernel, versions of what serves, which code, and the load before the run."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 0,
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "nats_server": _said(str(nats_binary()), "--version"),
        "postgres": _said(str(postgres_binaries() / "postgres"), "--version"),
        "memlog": version("memlog-standalone"),
        "git_commit": _git(),
        "load_before": load(),
    }


def load() -> float:
    """The load average of the last minute: how much others want, when Memlog does not run."""
    return round(os.getloadavg()[0], 2)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _git() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"
    commit = _said(git, "-C", str(_ROOT), "rev-parse", "--short=12", "HEAD")
    changed = _said(git, "-C", str(_ROOT), "status", "--porcelain", "--untracked-files=no", "--", "libs", "services")
    return f"{commit} and changes not committed" if changed else commit


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return done.stdout.strip()
