"""`memlog` on a home, as a person types it."""

import asyncio
import os
import sys
from pathlib import Path


async def memlog(home: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a command that works on this home, or on the Memlog that runs there."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MEMLOG_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "standalone",
        *arguments,
        env={**inherited, "COLUMNS": "200", "MEMLOG_HOME": str(home)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        out, said = await process.communicate()
    assert process.returncode is not None
    assert b"Traceback" not in said, said.decode()
    return process.returncode, out.decode(), said.decode()
