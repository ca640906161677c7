"""An embedder on another machine, or in another process, in front of those who want vectors."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import numpy as np
import structlog
from contracts.errors import Unavailable
from runtime.spans import embedding

from indexer.embedding.embedder import PROBE, Model, Vectors
from indexer.embedding.vector_memory import VectorMemory

log = structlog.get_logger()
_TEXTS = 128
_CHARACTERS = 60_000
"""Of one request: answers come soon enough for the time-out, and no server's limit is near."""
_AT_ONCE = 4
_URGENT_S = 4.0
"""Less than a search may take: so the one who searches is told why it failed."""
_PATIENT_S = 90.0
_CACHED_QUERIES = 512
_CACHED_TEXTS = 4096


class RemoteEmbedder(Model, Protocol):
    """One request a call."""

    async def embed(self, texts: Sequence[str], urgent: bool) -> Vectors:
        """As `Embedding.embed`, for few enough texts. `urgent`: do not try again for long."""
        ...

    async def close(self) -> None: ...


class RemoteEmbedding:
    """`Embedding` over requests: few at once, and queries never wait for those of indexing. Texts are remembered,
    queries and others apart."""

    def __init__(self, embedder: RemoteEmbedder) -> None:
        self.failure: str | None = None
        self._embedder = embedder
        self._lanes = asyncio.Semaphore(_AT_ONCE)
        self._queries = VectorMemory(_CACHED_QUERIES)
        self._texts = VectorMemory(_CACHED_TEXTS)
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def embedder(self) -> Model:
        return self._embedder

    async def embed(self, texts: Sequence[str], urgent: bool = False, background: bool = False) -> Vectors:
        """See `Embedding.embed`. What indexes and what is background go side by side: the server is not ours."""
        if self._closed:
            raise Unavailable("the embedder is closed")
        memory = self._queries if urgent else self._texts
        vectors = {text: memory.get(text) for text in texts}
        missing = [text for text, vector in vectors.items() if vector is None]

        async def ask(part: Sequence[str]) -> None:
            rows = await self._ask(part, urgent)
            for text, row in zip(part, rows, strict=True):
                memory.put(text, row)
                vectors[text] = row

        requests = [asyncio.create_task(ask(part)) for part in _parts(missing)]
        self._running.update(requests)
        try:
            await asyncio.gather(*requests)
        finally:
            for request in requests:
                request.cancel()
            await asyncio.gather(*requests, return_exceptions=True)
            self._running.difference_update(requests)
        rows = [vector for vector in (vectors[text] for text in texts) if vector is not None]
        return np.stack(rows) if rows else np.empty((0, self._embedder.dimension), np.float32)

    async def probe(self) -> None:
        """See `Embedding.probe`."""
        await self._ask([PROBE], urgent=True)

    async def close(self) -> None:
        """Cut off what is under way."""
        self._closed = True
        for request in self._running:
            request.cancel()
        await self._embedder.close()

    async def _ask(self, texts: Sequence[str], urgent: bool) -> Vectors:
        try:
            with embedding(self._embedder.id, "openai", len(texts)):
                async with self._lane(urgent):
                    rows = await self._embedder.embed(texts, urgent)
        except Unavailable as error:
            if not self._closed and self.failure is None:
                log.warning("embedder_failed", embedder=self._embedder.id, reason=error.message)
            self.failure = error.message
            raise
        if self.failure is not None:
            log.info("embedder_answers_again", embedder=self._embedder.id)
            self.failure = None
        return rows

    @asynccontextmanager
    async def _lane(self, urgent: bool) -> AsyncGenerator[None]:
        try:
            if urgent:
                async with asyncio.timeout(_URGENT_S):
                    yield
            else:
                async with self._lanes, asyncio.timeout(_PATIENT_S):
                    yield
        except TimeoutError:
            raise Unavailable(f"the embedder {self._embedder.id} does not answer in time") from None
        except asyncio.CancelledError:
            if self._closed:
                raise Unavailable("the embedder is closing") from None
            raise


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    part: list[str] = []
    characters = 0
    for text in texts:
        if part and (len(part) == _TEXTS or characters + len(text) > _CHARACTERS):
            yield part
            part, characters = [], 0
        part.append(text)
        characters += len(text)
    if part:
        yield part
