"""Embedders for tests that need vectors, and none in particular."""

from collections.abc import Sequence
from zlib import crc32

import numpy as np
from indexer.embedding.embedder import Embedding, Vectors, normalized


class CountingEmbedder:
    """A vector of its own for each text; `asked` are the texts that it was given."""

    def __init__(self, id: str = "test/1", dimension: int = 8) -> None:
        self.id = id
        self.dimension = dimension
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        rows = [np.random.default_rng(crc32(f"{self.id}{text}".encode())).normal(size=self.dimension) for text in texts]
        return normalized(np.array(rows, np.float32).reshape(len(texts), self.dimension))

    def chunks(self, text: str) -> tuple[str, ...]:
        return (text,)


class Ready:
    """An embedder that is there already."""

    def __init__(self, embedding: Embedding) -> None:
        self._embedding = embedding

    async def get(self) -> Embedding:
        return self._embedding
