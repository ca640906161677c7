"""`python -m bench`: measure Memlog over real HTTP and MCP, on this machine, load generator included.

Prints a table and writes bench/results/<date>.json. Exit status: 0 measured (whether or not bars are met), 1 failed.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import uvloop
from rich.console import Console

from bench import adding, hops, machine, searching, starting, sustained
from bench.plan import FULL, QUICK, Plan
from bench.result import BARS, Section
from bench.table import numbers_of, show
from bench.texts import Texts

_BENCHMARKS: dict[str, Callable[[Plan], Awaitable[Section]]] = {
    "start": starting.run,
    "add": adding.run,
    "search": searching.run,
    "sustained": sustained.run,
    "hops": hops.run,
}
_RESULTS = Path(__file__).parent / "results"
_SEED = 2026


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter and smaller: for trying out, not for numbers")
    parser.add_argument("--only", nargs="+", choices=list(_BENCHMARKS), metavar="NAME", help=", ".join(_BENCHMARKS))
    parser.add_argument(
        "--patience",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="wait this long at each row for others to leave the CPU alone, and measure disturbed rows again",
    )
    options = parser.parse_args()
    described = machine.describe()
    with (
        tempfile.TemporaryDirectory(prefix="memlog-bench-") as scratch,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        plan = Plan(QUICK if options.quick else FULL, Path(scratch), Texts(_SEED), options.patience)
        sections = runner.run(_measure(plan, options.only or list(_BENCHMARKS)))
    show(described, sections, Console(highlight=False, width=160))
    print(f"written to {_write(described, plan, sections)}")


async def _measure(plan: Plan, names: list[str]) -> list[Section]:
    sections: list[Section] = []
    for name in names:
        plan.say(f"--- {name}")
        sections.append(await _BENCHMARKS[name](plan))
    return sections


def _write(described: dict[str, str | int | float], plan: Plan, sections: list[Section]) -> str:
    now = datetime.now().astimezone()
    numbers = numbers_of(sections)
    bars = [asdict(bar) | {"measured": numbers.get(bar.number), "met": bar.met(numbers)} for bar in BARS]
    _RESULTS.mkdir(exist_ok=True)
    path = _RESULTS / f"{now:%Y-%m-%d-%H%M%S}.json"
    document = {
        "at": now.isoformat(timespec="seconds"),
        "machine": described,
        "sizes": asdict(plan.sizes),
        "benchmarks": [asdict(section) for section in sections],
        "bars": bars,
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name


if __name__ == "__main__":
    main()
