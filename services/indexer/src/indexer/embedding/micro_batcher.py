"""Batches what waits together for a blocking embedder; queries go ahead of indexing, and that of all else."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from contracts.errors import Unavailable
from runtime.spans import embedding

from indexer.embedding.embedder import Embedder, Vectors
from indexer.embedding.vector_memory import VectorMemory


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Bounds of one batch. A query may have to wait for a whole one: on a slow core 512 characters take about 50 ms
    (one text alone, of 256 tokens, 80 ms). While nobody has asked anything for `quiet_s` seconds, batches may be
    larger, which makes indexing a tenth faster."""

    texts: int = 32
    characters: int = 512
    quiet_characters: int = 2048
    quiet_s: float = 2.0
    cached_queries: int = 512
    cached_texts: int = 4096
    """About 2 KB each. A text is wanted again soon after it was indexed, by whoever reacts to it."""


@dataclass(slots=True)
class _Request:
    done: "asyncio.Future[Vectors]"
    missing: int
    rows: list[Vectors | None] = field(default_factory=list[Vectors | None])


@dataclass(frozen=True, slots=True)
class _Item:
    """One text of a request: the unit that batches are made of, so that large requests do not block."""

    request: _Request
    row: int
    text: str
    memory: VectorMemory


class MicroBatcher:
    """`await embed(...)` in front of an embedder that runs in one worker thread.

    While a batch runs, what arrives waits and goes into the next one. A batch holds texts of one kind only, the
    most urgent that wait: they do not wait for the indexing that would fill it up. Texts are remembered, queries
    and others apart, so that an import forgets no query. The owner calls `close`, or uses `async with`.
    """

    def __init__(self, embedder: Embedder, limits: BatchLimits | None = None) -> None:
        self._embedder = embedder
        self._limits = limits or BatchLimits()
        self._urgent: deque[_Item] = deque()
        self._waiting: deque[_Item] = deque()
        self._background: deque[_Item] = deque()
        self._queries = VectorMemory(self._limits.cached_queries)
        self._texts = VectorMemory(self._limits.cached_texts)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="embedder")
        self._pump: asyncio.Task[None] | None = None
        self._closed = False
        self._asked_at = -math.inf

    failure = None

    @property
    def embedder(self) -> Embedder:
        return self._embedder

    async def __aenter__(self) -> "MicroBatcher":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def embed(self, texts: Sequence[str], urgent: bool = False, background: bool = False) -> Vectors:
        """(n, dimension) float32, as `Embedder.embed`. `urgent`: queries, that somebody waits for; `background`: what
        may wait until there is nothing to index.

        Raises what the embedder raised for a batch that held one of these texts, and `Unavailable` after
        or during `close`.
        """
        if self._closed:
            raise Unavailable("the embedder is closed")
        if not texts:
            return np.empty((0, self._embedder.dimension), np.float32)
        request = _Request(asyncio.get_running_loop().create_future(), 0)
        queue = self._urgent if urgent else self._background if background else self._waiting
        memory = self._queries if urgent else self._texts
        if urgent:
            self._asked_at = time.monotonic()
        for row, text in enumerate(texts):
            known = memory.get(text)
            request.rows.append(known)
            if known is None:
                request.missing += 1
                queue.append(_Item(request, row, text, memory))
        if request.missing == 0:
            return _joined(request)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._run_batches(), name="embedder batches")
        with embedding(self._embedder.id, "onnxruntime", request.missing):
            return await request.done

    async def probe(self) -> None:
        """See `Embedding.probe`: the model is in this process."""

    async def close(self) -> None:
        """Let the running batch end, refuse what still waits, stop the worker thread."""
        self._closed = True
        for queue in (self._urgent, self._waiting, self._background):
            for item in queue:
                _fail(item.request, Unavailable("the embedder is closing"))
            queue.clear()
        if self._pump is not None:
            await self._pump
        self._worker.shutdown()

    async def _run_batches(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._next_batch():
            run = loop.run_in_executor(self._worker, self._embedder.embed, [item.text for item in batch])
            await asyncio.wait([run])
            error = run.exception()
            if error is None:
                self._deliver(batch, run.result())
            else:
                for item in batch:
                    _fail(item.request, error)

    def _next_batch(self) -> list[_Item]:
        batch: list[_Item] = []
        characters = 0
        quiet = time.monotonic() - self._asked_at > self._limits.quiet_s
        most = self._limits.quiet_characters if quiet else self._limits.characters
        # Items of failed and cancelled requests fall away here; only what is live decides the queue.
        queues = (self._urgent, self._waiting, self._background)
        queue = next(filter(_skip_settled, queues), self._background)
        while _skip_settled(queue) and len(batch) < self._limits.texts:
            characters += len(queue[0].text)
            if batch and characters > most:
                break
            batch.append(queue.popleft())
        return batch

    def _deliver(self, batch: list[_Item], vectors: Vectors) -> None:
        for item, vector in zip(batch, vectors, strict=True):
            request = item.request
            request.rows[item.row] = vector
            request.missing -= 1
            item.memory.put(item.text, vector)
            if request.missing == 0 and not request.done.done():
                request.done.set_result(_joined(request))


def _skip_settled(queue: deque[_Item]) -> bool:
    """Drop items that nobody waits for any more; whether one is left."""
    while queue and queue[0].request.done.done():
        queue.popleft()
    return bool(queue)


def _joined(request: _Request) -> Vectors:
    return np.stack([row for row in request.rows if row is not None])


def _fail(request: _Request, error: BaseException) -> None:
    if not request.done.done():
        request.done.set_exception(error)
