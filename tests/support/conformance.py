"""The official MCP conformance suite, from npm: `make conformance` runs it against a whole Memlog.

Memlog serves fixtures then that the suite asks for by name (`gateway.mcp.conformance`).
"""

import asyncio
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from support.node import NODE, installed, run
from support.stack import running_stack

_PACKAGE, _VERSION = "@modelcontextprotocol/conformance", "0.2.0-alpha.12"
_RUN_S = 180
REQUIRED = {"2026-07-28": 37, "2025-11-25": 30}
"""Spec revision → how many scenarios it requires of a server."""


@dataclass(frozen=True, slots=True)
class Conformance:
    """What the suite found: scenarios that the revision requires, by whether they passed. `said` is all its words."""

    passed: list[str]
    failed: list[str]
    said: str

    def __str__(self) -> str:
        words = f"{len(self.passed)} of {len(self.passed) + len(self.failed)} required scenarios pass"
        return f"{words}; not: {', '.join(self.failed)}" if self.failed else words


async def install() -> Path:
    """The suite's program. Raises `support.node.NotInstalled` without npm or network."""
    return await installed(_PACKAGE, _VERSION, "dist/index.js")


async def check(url: str, revision: str) -> Conformance:
    """Run what the revision requires against the server at this URL."""
    main = await install()
    arguments = ("server", "--url", url, "--requirements", revision)
    status, out, err = await run(_RUN_S, str(NODE), str(main), *arguments)
    said = f"{out}\n{err}"
    outcomes = {name: mark == "✓" for mark, name in re.findall(r"(?m)^([✓✗]) ([\w-]+): \d+ passed", said)}
    # Extensions, and what the suite's own reference server cannot pass yet, run along and do not count.
    unscored = set(re.findall(r"(?m)^  [✓✗] ([\w-]+) \([\w-]+\)$", said))
    found = Conformance(
        [name for name, passed in outcomes.items() if passed and name not in unscored],
        [name for name, passed in outcomes.items() if not passed and name not in unscored],
        said,
    )
    assert (status == 0) == (not found.failed and bool(found.passed)), said
    return found


async def _main() -> int:
    await install()
    complete = True
    with tempfile.TemporaryDirectory(prefix="memlog-") as folder:
        async with running_stack(Path(folder) / "home", MEMLOG_CONFORMANCE_FIXTURES="1") as stack:
            for revision, required in REQUIRED.items():
                found = await check(f"{stack.url}/mcp", revision)
                complete = complete and len(found.passed) == required and not found.failed
                if found.failed:
                    print(found.said)
                print(f"{revision}: {found}")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
