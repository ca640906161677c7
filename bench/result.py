"""What a run found, and the bars that it is held against."""

from dataclasses import dataclass, field

from bench.load import Latency


@dataclass(frozen=True, slots=True)
class Throughput:
    """How long one piece of work over many events took. `server_cpu_ms` is CPU milliseconds an event by role,
    `other_cpu` the cores that neither Memlog nor the benchmark used."""

    name: str
    events: int
    seconds: float
    per_second: float
    server_cpu_ms: dict[str, float]
    other_cpu: float


@dataclass(frozen=True, slots=True)
class Beside:
    """One thing measured in both forms; `ratio` is processes to embedded."""

    name: str
    embedded: float
    processes: float
    ratio: float

    @classmethod
    def of(cls, name: str, embedded: float, processes: float) -> "Beside":
        return cls(name, embedded, processes, round(processes / embedded, 2))


@dataclass(slots=True)
class Section:
    """One benchmark's findings: latencies, throughputs, comparisons of the two forms, and single numbers by name (the
    unit is in the name)."""

    name: str
    latencies: list[Latency] = field(default_factory=list[Latency])
    throughputs: list[Throughput] = field(default_factory=list[Throughput])
    comparisons: list[Beside] = field(default_factory=list[Beside])
    numbers: dict[str, float] = field(default_factory=dict[str, float])
    notes: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Bar:
    """A number that has to be at most, or at least, this."""

    says: str
    number: str
    limit: float
    at_most: bool

    def met(self, numbers: dict[str, float]) -> bool | None:
        """None when it was not measured."""
        if self.number not in numbers:
            return None
        return numbers[self.number] <= self.limit if self.at_most else numbers[self.number] >= self.limit


BARS = (
    Bar("start to first search, first of all (s)", "start_first_s", 10.0, at_most=True),
    Bar("start to first search, fresh home (s)", "start_fresh_s", 10.0, at_most=True),
    Bar("start to first search, warm home (s)", "start_warm_s", 10.0, at_most=True),
    Bar("start to first search, after kill -9 (s)", "start_killed_s", 10.0, at_most=True),
    Bar("idle memory, all processes (MB PSS)", "idle_pss_mb", 700.0, at_most=True),
    Bar("accepted adds/s, 8 clients", "accepted_adds_per_s", 300.0, at_most=False),
    Bar("searchable adds sustained / embedder alone", "searchable_to_embedder", 0.60, at_most=False),
    Bar("add to searchable p50, 1 client, REST (ms)", "add_searchable_rest_p50_ms", 40.0, at_most=True),
    Bar("add to searchable p50, 1 client, MCP (ms)", "add_searchable_mcp_p50_ms", 40.0, at_most=True),
    Bar("search p50 at 10k, 1 client, REST (ms)", "search_10k_rest_p50_ms", 20.0, at_most=True),
    Bar("search p95 at 10k, 1 client, REST (ms)", "search_10k_rest_p95_ms", 40.0, at_most=True),
    Bar("search p50 at 10k, 1 client, MCP (ms)", "search_10k_mcp_p50_ms", 20.0, at_most=True),
    Bar("search p95 at 10k, 1 client, MCP (ms)", "search_10k_mcp_p95_ms", 40.0, at_most=True),
    Bar("rebuild of the read models (events/s)", "rebuild_read_models_events_per_s", 5000.0, at_most=False),
    Bar("rebuild of the index, vectors cached (events/s)", "rebuild_index_events_per_s", 3000.0, at_most=False),
    Bar("accepted add p50, traced / not traced, REST", "tracing_add_accepted_rest_ratio", 1.05, at_most=True),
    Bar("accepted add p50, traced / not traced, MCP", "tracing_add_accepted_mcp_ratio", 1.05, at_most=True),
    Bar("add to searchable p50, traced / not traced, REST", "tracing_add_searchable_rest_ratio", 1.05, at_most=True),
    Bar("add to searchable p50, traced / not traced, MCP", "tracing_add_searchable_mcp_ratio", 1.05, at_most=True),
    Bar("search p50, traced / not traced, REST", "tracing_search_rest_ratio", 1.05, at_most=True),
    Bar("search p50, traced / not traced, MCP", "tracing_search_mcp_ratio", 1.05, at_most=True),
    Bar(
        "dashboard: /memories opened to its first row seen, 50k (ms)", "dashboard_memories_row_ms", 1000.0, at_most=True
    ),
    Bar("dashboard: / opened to its first row seen, 50k (ms)", "dashboard_home_row_ms", 1000.0, at_most=True),
    Bar("dashboard: longest task while one types, 50k (ms)", "dashboard_longest_task_ms", 50.0, at_most=True),
)
