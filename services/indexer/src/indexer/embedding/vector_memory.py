"""Vectors of the texts that were used last, in this process."""

from collections import OrderedDict
from hashlib import blake2b

from indexer.embedding.embedder import Vectors


class VectorMemory:
    """At most `limit` vectors, each (dimension,). Texts are known by their hash: they may be long."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._vectors: OrderedDict[bytes, Vectors] = OrderedDict()

    def get(self, text: str) -> Vectors | None:
        key = _hash(text)
        if key in self._vectors:
            self._vectors.move_to_end(key)
        return self._vectors.get(key)

    def put(self, text: str, vector: Vectors) -> None:
        key = _hash(text)
        self._vectors[key] = vector.copy()  # a row would keep its whole batch in memory
        self._vectors.move_to_end(key)
        while len(self._vectors) > self._limit:
            self._vectors.popitem(last=False)


def _hash(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
