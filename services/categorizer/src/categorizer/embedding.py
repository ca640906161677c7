"""Asking the indexer for vectors: the embedder has one owner."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from contracts.embedding import MAX_EMBED_CHARACTERS, MAX_EMBED_TEXTS, EmbedReply, EmbedRequest
from contracts.errors import Unavailable, error_from_code
from contracts.subjects import EMBED
from nats.aio.client import Client
from runtime.errors import nats_errors
from runtime.telemetry import trace_headers

from categorizer.decision import Vectors

_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Embedded:
    """(n, dimension) float32, L2-normalized rows, and the id of the embedder that made them."""

    embedder: str
    vectors: Vectors


class Embedding:
    """The indexer's embedder, over NATS."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.embedder: str | None = None
        """Which one answered last."""

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """One row a text; of a long one, the beginning is seen. `texts` must not be empty. Raises `Unavailable` when
        the indexer is down, busy, or changes its embedder meanwhile, and `MemlogError` when it refuses."""
        rows: list[Vectors] = []
        embedders: set[str] = set()
        for start in range(0, len(texts), MAX_EMBED_TEXTS):
            reply = await self._ask([text[:MAX_EMBED_CHARACTERS] for text in texts[start : start + MAX_EMBED_TEXTS]])
            embedders.add(reply.embedder)
            rows += [np.frombuffer(base64.b64decode(vector), "<f4") for vector in reply.vectors]
        if len(embedders) != 1 or len(rows) != len(texts):
            raise Unavailable("the indexer changes its embedder")
        self.embedder = embedders.pop()
        return Embedded(self.embedder, np.stack(rows))

    async def _ask(self, texts: list[str]) -> EmbedReply:
        with nats_errors("reach the indexer, which embeds texts"):
            answer = await self._client.request(
                EMBED,
                EmbedRequest(texts=texts).model_dump_json().encode(),
                timeout=_TIMEOUT_S,
                headers=trace_headers() or None,
            )
        reply = EmbedReply.model_validate_json(answer.data)
        if reply.error is not None:
            raise error_from_code(reply.code or "internal", f"the indexer: {reply.error}")
        return reply
