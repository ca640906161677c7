"""The results as a table for people."""

import statistics
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from bench.result import BARS, Section
from bench.server import ROLES

_LEGEND = (
    "Under the processes: their CPU milliseconds a request. load, other: cores used by the load generator, and by"
    " what is no part of the run."
)

_LEGEND_OF_EVENTS = (
    "Under the processes: their CPU milliseconds an event. other: cores used by what is no part of the run."
)


def show(machine: dict[str, str | int | float], sections: Sequence[Section], console: Console) -> None:
    """Machine, tables of each benchmark, how much others disturbed, and the bars."""
    console.print("  ".join(f"{name} {value}" for name, value in machine.items()))
    for section in sections:
        _show_latencies(section, console)
        _show_throughputs(section, console)
        _show_comparisons(section, console)
        _show_numbers(section, console)
    _show_others(sections, console)
    _show_bars(numbers_of(sections), console)


def numbers_of(sections: Iterable[Section]) -> dict[str, float]:
    return {name: value for section in sections for name, value in section.numbers.items()}


def _show_latencies(section: Section, console: Console) -> None:
    if not section.latencies:
        return
    columns = ("", "clients", "n", "p50 ms", "p95 ms", "p99 ms", "per s", *ROLES, "load", "other")
    table = Table(*columns, title=section.name, caption=" ".join((*section.notes, _LEGEND)))
    for row in section.latencies:
        cpu = (f"{row.server_cpu_ms[role]:.1f}" for role in ROLES)
        times = (f"{row.p50_ms:.1f}", f"{row.p95_ms:.1f}", f"{row.p99_ms:.1f}", f"{row.rate:.0f}")
        cores = (f"{row.generator_cpu:.2f}", f"{row.other_cpu:.2f}")
        table.add_row(row.name, str(row.clients), str(row.requests), *times, *cpu, *cores)
    console.print(table)


def _show_throughputs(section: Section, console: Console) -> None:
    if not section.throughputs:
        return
    columns = ("", "events", "seconds", "per s", *ROLES, "other")
    table = Table(*columns, title=section.name, caption=" ".join((*section.notes, _LEGEND_OF_EVENTS)))
    for row in section.throughputs:
        cpu = (f"{row.server_cpu_ms[role]:.2f}" for role in ROLES)
        table.add_row(
            row.name,
            str(row.events),
            f"{row.seconds:.1f}",
            f"{row.per_second:.0f}",
            *cpu,
            f"{row.other_cpu:.2f}",
        )
    console.print(table)


def _show_comparisons(section: Section, console: Console) -> None:
    if not section.comparisons:
        return
    table = Table("", "embedded", "processes", "ratio", title=f"{section.name}: processes to embedded")
    for row in section.comparisons:
        table.add_row(row.name, f"{row.embedded:g}", f"{row.processes:g}", f"{row.ratio:.2f}")
    console.print(table)


def _show_numbers(section: Section, console: Console) -> None:
    table = Table("", "", title=f"{section.name}: numbers")
    for name, value in section.numbers.items():
        table.add_row(name, f"{value:g}")
    if section.numbers:
        console.print(table)


def _show_others(sections: Sequence[Section], console: Console) -> None:
    rows = [row for section in sections for row in (*section.latencies, *section.throughputs)]
    if rows:
        most = max(rows, key=lambda row: row.other_cpu)
        usual = statistics.median(row.other_cpu for row in rows)
        console.print(
            f"cores used by others: {usual:.2f} at the median row, at most {most.other_cpu:.2f} ({most.name})"
        )


def _show_bars(numbers: dict[str, float], console: Console) -> None:
    table = Table("bar", "limit", "measured", "", title="bars")
    words = {True: "met", False: "NOT MET", None: "not measured"}
    for bar in BARS:
        measured = numbers.get(bar.number)
        limit = f"{'<=' if bar.at_most else '>='} {bar.limit:g}"
        table.add_row(bar.says, limit, "-" if measured is None else f"{measured:g}", words[bar.met(numbers)])
    console.print(table)
