"""The embedder of one generation of the index, which may not be there when it is wanted, and may come later."""

import asyncio
import time

import structlog
from contracts.errors import MemlogError, Unavailable

from indexer.embedding.choosing import EmbedderChoice, SharedEmbeddings
from indexer.embedding.embedder import Embedding

log = structlog.get_logger()
_WAIT_S = 3.0
"""Less than a search may take: so the one who searches is told why it failed."""
_AGAIN_S = 2.0


class LateEmbedding:
    """`id` is that of the vectors that the generation holds: an embedder that calls itself otherwise when it is opened
    is another one now, and is not used."""

    def __init__(self, choice: EmbedderChoice, id: str, shared: SharedEmbeddings) -> None:
        self.id = id
        self.replaced = False
        """Whether what `choice` opens is another embedder by now."""
        self._choice = choice
        self._shared = shared
        self._embedding: Embedding | None = None
        self._opening: asyncio.Task[None] | None = None
        self._refused: str | None = None
        self._tried_at = 0.0

    @property
    def failure(self) -> str | None:
        """Why it cannot be used, as far as is known; None also while it is being opened for the first time."""
        return self._refused if self._embedding is None else self._embedding.failure

    @property
    def opened(self) -> bool:
        """Whether it was opened."""
        return self._embedding is not None

    async def get(self, patience: float | None = _WAIT_S) -> Embedding:
        """Open it, unless that was tried in vain a moment ago; wait for that at most `patience` seconds (None: however
        long it takes). Raises `Unavailable`, saying why."""
        if self._embedding is None:
            if self._opening is None and time.monotonic() > self._tried_at + _AGAIN_S:
                self._opening = asyncio.create_task(self._open(), name=f"open {self._choice.spec}")
            if self._opening is not None:
                await asyncio.wait((self._opening,), timeout=patience)
        if self._embedding is None:
            raise Unavailable(f"the index cannot use its embedder: {self._refused or 'it is being opened'}")
        return self._embedding

    async def probe(self) -> None:
        """Find out whether it works again, when it did not. Raises `Unavailable`."""
        embedding = await self.get()
        if embedding.failure is not None:
            await embedding.probe()

    async def close(self) -> None:
        """Let go of it."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait((self._opening,))
        if self._embedding is not None:
            self._embedding, self._refused = None, "it is closed"
            await self._shared.give_back(self._choice)
        self._tried_at = float("inf")

    async def _open(self) -> None:
        try:
            opened = await self._shared.take(self._choice)
            if opened.embedder.id == self.id:
                self._embedding = opened
                log.info("embedder_opened", embedder=self.id)
            else:
                self.replaced = True
                await self._shared.give_back(self._choice)
                self._fail(f"it is {opened.embedder.id} now, and the index was made with {self.id}: rebuild the index")
        except MemlogError as error:
            self._fail(error.message)
        except Exception as error:  # noqa: BLE001 - whatever a model's library does: it must be told, not lost
            self._fail(f"{type(error).__name__}: {error}")
        finally:
            self._tried_at = time.monotonic()
            self._opening = None

    def _fail(self, reason: str) -> None:
        if self._refused != reason:
            log.warning("embedder_failed", embedder=self.id, reason=reason)
        self._refused = reason
