"""Runs the embedded servers until killed: `standalone_parent.py HOME` prints one JSON line when both are ready."""

import asyncio
import json
import signal
import sys
from pathlib import Path

from standalone.home import Home
from standalone.nats_server import nats_server
from standalone.postgres_server import postgres_server


async def serve(path: Path) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    with Home.open(path) as home:
        async with nats_server(home) as nats, postgres_server(home) as postgres:
            ready = {
                "nats_url": nats.url,
                "nats_pid": nats.child.pid,
                "dsn": postgres.dsn,
                "postgres_pid": postgres.child.pid,
            }
            print("READY " + json.dumps(ready), flush=True)
            await stopped.wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
