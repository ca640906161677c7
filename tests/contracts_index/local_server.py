"""What the client's local mode cannot do like a server, done beside it."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from indexer.edge_query import bm25_model
from qdrant_client import AsyncQdrantClient, models


class LocalServer(AsyncQdrantClient):
    """Qdrant's rules in the client itself, without a server; it keeps its points in `folder`, or in memory. `indexes`
    are the payload indexes asked for, which local mode only warns about."""

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(":memory:" if folder is None else None, path=None if folder is None else str(folder))
        self.indexes: dict[str, Any] = {}

    async def create_payload_index(self, collection_name: str, field_name: str, *args: Any, **kwargs: Any) -> Any:
        self.indexes[field_name] = args[0]
        return models.UpdateResult(status=models.UpdateStatus.COMPLETED)


class LocalWords:
    """BM25's vectors from the engine in this process: local mode makes none of text."""

    def __init__(self) -> None:
        self._bm25 = bm25_model()

    def of_chunk(self, text: str) -> models.SparseVector:
        vector = self._bm25.embed_document(text)
        return models.SparseVector(indices=vector.indices, values=vector.values)

    def of_query(self, text: str) -> models.SparseVector:
        vector = self._bm25.embed_query(text)
        return models.SparseVector(indices=vector.indices, values=vector.values)


class Interruptions:
    """Before the write of `client` after the first `allowed` ones, `interrupt` is called: it may raise, or let another
    owner write."""

    def __init__(self, client: AsyncQdrantClient, interrupt: Callable[[], Awaitable[None]]) -> None:
        self.allowed: int | None = None
        self._interrupt = interrupt
        for name in ("upsert", "set_payload", "delete"):
            setattr(client, name, self._after_leave(getattr(client, name)))

    def _after_leave(self, write: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def interruptible(*args: Any, **kwargs: Any) -> Any:
            if self.allowed == 0:
                self.allowed = None  # what interrupts is not interrupted itself
                await self._interrupt()
            elif self.allowed is not None:
                self.allowed -= 1
            return await write(*args, **kwargs)

        return interruptible
