"""Vectors over NATS request/reply, for those whose own judgement was made with one embedder, whichever the index
uses: it has one owner, and others may ask it."""

import asyncio
import base64

import numpy as np
import structlog
from contracts.embedding import EmbedReply, EmbedRequest
from contracts.errors import MemlogError
from contracts.subjects import EMBED
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import ValidationError
from runtime.nats import subscribe
from runtime.spans import handling

from indexer.embedding.embedder import Embedding
from indexer.embedding.remembering import Source

log = structlog.get_logger()


class EmbedResponder:
    """Answers requests for vectors, each in a task of its own; what was indexed lately costs nothing."""

    def __init__(self, client: Client, source: Source) -> None:
        self._client = client
        self._source = source
        self._running: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        async def arrived(message: Msg) -> None:
            task = asyncio.ensure_future(self._answer(message))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

        await subscribe(self._client, EMBED, arrived, queue="indexer")

    async def close(self) -> None:
        """Cut off what is still being answered: its callers are told by their own time-out."""
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _answer(self, message: Msg) -> None:
        with handling(EMBED, "EmbedRequest", message.headers or {}):
            try:
                request = EmbedRequest.model_validate_json(message.data)
                embedding = await self._source.get()
                reply = EmbedReply(embedder=embedding.embedder.id, vectors=await _embed(embedding, request.texts))
            except ValidationError as error:
                reply = EmbedReply(code="invalid_input", error=f"{error.error_count()} fields of the request are wrong")
            except MemlogError as error:
                reply = EmbedReply(code=error.code, error=error.message)
            except Exception as error:  # the caller must get an answer, whatever is wrong here
                log.error("embedding_failed", exc_info=error)
                reply = EmbedReply(code="internal", error=f"a defect in the indexer ({type(error).__name__})")
            await message.respond(reply.model_dump_json().encode())


async def _embed(embedding: Embedding, texts: list[str]) -> list[str]:
    pieces: list[str] = []
    ends: list[int] = []
    for text in texts:
        # In the pieces in which it is indexed: those are remembered.
        pieces += embedding.embedder.chunks(text)
        ends.append(len(pieces))
        await asyncio.sleep(0)  # tokenizing must not hold up queries
    rows = await embedding.embed(pieces, background=True)
    found: list[str] = []
    for first, end in zip([0, *ends], ends, strict=False):
        mean = rows[first:end].mean(axis=0)
        vector = mean / max(float(np.linalg.norm(mean)), 1e-12)
        found.append(base64.b64encode(vector.astype("<f4").tobytes()).decode())
    return found
