"""How fast the embedder is on its own: one query at a time, and batches of memories.

Run as `python -m bench.embedder [THREADS]`; prints one JSON line.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from indexer.embedding.embedder import Embedder
from indexer.embedding.minilm import MiniLM

# Lengths are those of what people store: mostly one sentence, now and then a paragraph.
_MEMORIES = (
    "I prefer dark roast coffee in the morning.",
    "My sister Clara moved to Lisbon in March and works as a marine biologist.",
    "The staging server is rebooted every Friday at 18:00.",
    "Allergic to peanuts.",
    "We decided to write the parser by hand: generated ones gave error messages that nobody understood, and "
    "the grammar is small enough to keep in one file.",
    "Flight TP1337 leaves at 9:15.",
    "Learning Portuguese, forty minutes a day, mostly by listening to the news.",
    "Use tabs in Makefiles, four spaces everywhere else.",
)
_QUERIES = (
    "what coffee do I like?",
    "where does my sister live now?",
    "when is the staging server rebooted?",
    "which foods do I have to avoid?",
)


@dataclass(frozen=True, slots=True)
class EmbedderSpeed:
    """Milliseconds for one short query, and texts a second of the mean memory in batches of 32."""

    query_p50_ms: float
    query_p95_ms: float
    texts_per_second: float


def measure(embedder: Embedder, queries: int = 300, batches: int = 20) -> EmbedderSpeed:
    """Time `queries` single queries and `batches` batches, after a warm-up. Blocks for some seconds."""
    for query in _QUERIES * 3:
        embedder.embed([query])
    single = [_seconds(lambda text=_QUERIES[i % 4]: embedder.embed([text])) for i in range(queries)]
    batch = [f"{i}: {text}" for i in range(4) for text in _MEMORIES]
    spent = _seconds(lambda: [embedder.embed(batch) for _ in range(batches)])
    percentiles = statistics.quantiles(single, n=20)
    return EmbedderSpeed(
        query_p50_ms=round(statistics.median(single) * 1000, 2),
        query_p95_ms=round(percentiles[-1] * 1000, 2),
        texts_per_second=round(batches * len(batch) / spent, 1),
    )


def texts_per_second(embedder: Embedder, texts: Sequence[str], batch: int = 32) -> float:
    """How many of these texts the embedder does a second when it has nothing else to do. Blocks for some seconds."""
    embedder.embed(texts[:batch])
    batches = [texts[at : at + batch] for at in range(0, len(texts), batch)]
    return len(texts) / _seconds(lambda: [embedder.embed(each) for each in batches])


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    with tempfile.TemporaryDirectory() as cache:
        embedder = MiniLM.open(Path(cache), threads)
        print(json.dumps({"embedder": embedder.id, "threads": threads, **asdict(measure(embedder))}))


if __name__ == "__main__":
    main()
