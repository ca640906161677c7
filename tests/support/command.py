"""`memlog` as a person types it, run to its end on a home."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

PASSPHRASE = "correct horse battery"


@dataclass(frozen=True, slots=True)
class Ended:
    status: int
    out: str
    said: str


async def memlog(home: Path, *arguments: str, given: bytes = b"", **settings: str) -> Ended:
    """Exit status, stdout and stderr. A stack trace fails the test."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MEMLOG_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "standalone", *arguments,
        env={**inherited, "COLUMNS": "80", "MEMLOG_HOME": str(home), "MEMLOG_KEYS_PASSPHRASE": PASSPHRASE, **settings},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(120):
        out, said = await process.communicate(given)
    assert process.returncode is not None
    assert b"Traceback" not in said, said.decode()
    return Ended(process.returncode, out.decode(), said.decode())


async def done(home: Path, *arguments: str, given: bytes = b"", **settings: str) -> str:
    """What it prints; it has to end well."""
    ended = await memlog(home, *arguments, given=given, **settings)
    assert ended.status == 0, ended.said
    return ended.out
