"""`python -m fuzz`: send hostile requests to a Memlog of its own, over REST and over MCP.

Prints cases by status, what should not have happened with a command that repeats it, and memory before and after. Exit
status: 0 when nothing of that kind happened and all processes live on, 1 otherwise.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table
from runtime.logging import configure_logging

from bench.server import Server, running
from fuzz.mcp import fuzz_mcp, offered
from fuzz.rest import fuzz_rest
from fuzz.tally import Tally, show
from fuzz.watching import Watch

_DOORS = ("rest", "mcp")


async def _fuzz(server: Server, options: argparse.Namespace, kept: Path) -> bool:
    """Whether all went well."""
    url = f"http://127.0.0.1:{server.port}"
    headers = {"Authorization": f"Bearer {options.token}"} if options.token else {}
    tallies = [Tally(door, options.cases) for door in options.only or _DOORS]
    watches: list[tuple[str, Watch]] = []
    for tally in tallies:
        with Watch(server) as watch:
            if tally.name == "rest":
                await asyncio.to_thread(fuzz_rest, url, tally, options.seed, headers)
            else:
                offer = await offered(url)
                await asyncio.to_thread(fuzz_mcp, url, tally, options.seed, headers, offer, kept)
        watches.append((tally.name, watch))
    console = Console()
    show(tallies, console)
    memory = Table("while", "process", "MB after warm-up", "MB at the end", "stable")
    for name, watch in watches:
        for part, before, after, stable in watch.growth():
            memory.add_row(name, part, f"{before:.0f}", f"{after:.0f}", "yes" if stable else "no")
        for part in watch.dead:
            console.print(f"{name}: {part} died", style="red")
    console.print(memory)
    return not any(tally.failures for tally in tallies) and not any(watch.dead for _, watch in watches)


async def _main(options: argparse.Namespace) -> bool:
    kept = Path(tempfile.mkdtemp(prefix="memlog-fuzz-"))
    with tempfile.TemporaryDirectory(prefix="memlog-fuzzed-") as folder:
        async with running(Path(folder) / "home") as server:
            return await _fuzz(server, options, kept)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="of each kind (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="of an earlier run, to make the same requests")
    parser.add_argument("--only", nargs="+", choices=_DOORS, help="one kind only")
    parser.add_argument(
        "--token", default=os.environ.get("MEMLOG_FUZZ_TOKEN"), help="sent as Bearer (default: MEMLOG_FUZZ_TOKEN)"
    )
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(2**32)
    print(f"seed {options.seed}", file=sys.stderr)
    configure_logging("fuzz", "error", "console")
    sys.exit(0 if asyncio.run(_main(options)) else 1)


if __name__ == "__main__":
    main()
