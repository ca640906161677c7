"""`memlog mcp` as a client starts it: a process with pipes."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp_types import Implementation
from support.running_gateway import WIRES

COMMAND = (sys.executable, "-m", "standalone", "mcp")


def environment(**settings: str) -> dict[str, str]:
    """This process's, without any setting of Memlog but these."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("MEMLOG_")}, **settings}


def over_stdio(revision: str, *arguments: str, env: Mapping[str, str] | None = None) -> Client:
    """A client of the SDK that starts `memlog mcp` with these arguments."""
    command, *first = COMMAND
    parameters = StdioServerParameters(command=command, args=[*first, *arguments], env=dict(env or environment()))
    info = Implementation(name="test client", version="1")
    return Client(stdio_client(parameters), mode=WIRES[revision], client_info=info, read_timeout_seconds=60)


@asynccontextmanager
async def raw_stdio(*arguments: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """The process alone; killed at the end if it is still there."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, env=environment(), stdin=pipe, stdout=pipe, stderr=pipe
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def run_stdio(*arguments: str, given: bytes = b"") -> tuple[int, bytes, bytes]:
    """Give it all of its input and wait for its end: exit status, stdout, stderr."""
    async with raw_stdio(*arguments) as process, asyncio.timeout(240):
        out, said = await process.communicate(given)
        assert process.returncode is not None
        return process.returncode, out, said
