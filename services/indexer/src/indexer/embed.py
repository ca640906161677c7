"""Vectors over NATS request/reply, for those whose own judgement was made with one embedder, whichever the index
uses: it has one owner, and others may ask it."""

import asyncio
import base64

import numpy as np
from contracts.embedding import EmbedReply, EmbedRequest
from contracts.subjects import EMBED
from nats.aio.client import Client

from indexer.embedding.embedder import Embedding
from indexer.embedding.remembering import Source
from indexer.responder import Responder


class EmbedResponder(Responder[EmbedRequest, EmbedReply]):
    """Answers requests for vectors; what was indexed lately costs nothing."""

    def __init__(self, client: Client, source: Source) -> None:
        super().__init__(client, EMBED, EmbedRequest, EmbedReply)
        self._source = source

    async def reply(self, request: EmbedRequest) -> EmbedReply:
        """See `Responder.reply`."""
        embedding = await self._source.get()
        return EmbedReply(embedder=embedding.embedder.id, vectors=await _embed(embedding, request.texts))


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
