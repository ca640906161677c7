"""The MCP Inspector's command line. Without npm or network the test that asks for it fails."""

import json
from pathlib import Path
from typing import Any

from support.node import NODE, installed, run

_PACKAGE, _VERSION = "@modelcontextprotocol/inspector", "2.12.0"
_MAIN = "clients/launcher/build/index.js"
_RUN_S = 120


class Inspector:
    """`home` is where it may keep its own files."""

    def __init__(self, home: Path) -> None:
        self._home = home

    async def __call__(self, *arguments: str) -> dict[str, Any]:
        """What `mcp-inspector --cli ARGUMENTS` prints. Fails with its words when it fails."""
        main = await installed(_PACKAGE, _VERSION, _MAIN)
        settings = {"HOME": str(self._home), "MCP_CATALOG_PATH": str(self._home / "catalog.json")}
        status, out, said = await run(_RUN_S, str(NODE), str(main), "--cli", *arguments, env=settings)
        assert status == 0, f"mcp-inspector {' '.join(arguments)} ended with {status}:\n{said}\n{out}"
        return json.loads(out)
