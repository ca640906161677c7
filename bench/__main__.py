"""`python -m bench`: measure Memlog over real HTTP and MCP, on this machine, load generator included.

Prints a table and writes bench/results/<date>.json. Exit status: 0 measured (whether or not bars are met), 1 when a
benchmark failed: the others are measured all the same.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import uvloop
from rich.console import Console
from runtime.logging import configure_logging

from bench import (
    adding,
    dashboard,
    forms,
    hops,
    listing,
    machine,
    rebuilding,
    replaying,
    searching,
    starting,
    sustained,
    tracing,
)
from bench.corpus import Corpus
from bench.plan import FULL, QUICK, Plan
from bench.result import BARS, Section
from bench.table import numbers_of, show
from bench.texts import Texts

_BENCHMARKS: dict[str, Callable[[Plan], Awaitable[Section]]] = {
    "start": starting.run,
    "add": adding.run,
    "sustained": sustained.run,
    "hops": hops.run,
    "search": searching.run,
    "list": listing.run,
    "forms": forms.run,
    "replay": replaying.run,
    "rebuild": rebuilding.run,
    "tracing": tracing.run,
    "dashboard": dashboard.run,
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
    configure_logging("bench", "error", "console")  # of the servers that it starts itself
    described = machine.describe()
    sizes = QUICK if options.quick else FULL
    corpus, texts = Corpus(_SEED, sizes.held[-1]), Texts(_SEED)
    texts.never(memory.text for memory in corpus.first(sizes.held[-1]))
    with (
        tempfile.TemporaryDirectory(prefix="memlog-bench-") as scratch,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        plan = Plan(sizes, Path(scratch), texts, corpus, options.patience)
        sections, failed = runner.run(_measure(plan, options.only or list(_BENCHMARKS)))
    show(described, sections, Console(highlight=False, width=160))
    print(f"written to {_write(described, plan, sections, failed)}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


async def _measure(plan: Plan, names: list[str]) -> tuple[list[Section], dict[str, str]]:
    """What was found, and why which benchmarks found nothing."""
    sections: list[Section] = []
    failed: dict[str, str] = {}
    for name in names:
        plan.say(f"--- {name}")
        try:
            sections.append(await _BENCHMARKS[name](plan))
        except Exception as error:  # noqa: BLE001 - the others are worth having
            traceback.print_exc()
            failed[name] = f"{type(error).__name__}: {error}"
    plan.say("--- done")
    return sections, failed


def _write(described: dict[str, str | int | float], plan: Plan, sections: list[Section], failed: dict[str, str]) -> str:
    now = datetime.now().astimezone()
    numbers = numbers_of(sections)
    bars = [asdict(bar) | {"measured": numbers.get(bar.number), "met": bar.met(numbers)} for bar in BARS]
    _RESULTS.mkdir(exist_ok=True)
    path = _RESULTS / f"{now:%Y-%m-%d-%H%M%S}.json"
    document = {
        "at": now.isoformat(timespec="seconds"),
        "machine": described | {"load_after": machine.load()},
        "sizes": asdict(plan.sizes),
        "benchmarks": [asdict(section) for section in sections],
        "failed": failed,
        "bars": bars,
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name


if __name__ == "__main__":
    main()
