"""Vectors of users' texts: from the cache where they were made before, else from the embedder."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from contracts.errors import ContentDamaged, KeyMissing
from runtime.keys import SealingKey
from runtime.metrics import VECTORS

from indexer.embedding.cache import VectorCache
from indexer.embedding.embedder import Embedding, Vectors

_CHUNK_AT_ONCE = 64


class Keys(Protocol):
    """Where users' data keys are: `runtime.keys.KeyStore`."""

    async def get(self, uid: str) -> SealingKey:
        """Raises `KeyMissing` when the user was erased, `Unavailable`."""
        ...


class Source(Protocol):
    """Where the embedder is had from: `LateEmbedding`."""

    async def get(self) -> Embedding:
        """Raises `Unavailable` while there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """A text, and whose it is."""

    uid: str
    text: str


@dataclass(frozen=True, slots=True)
class Embedded:
    """A text's pieces with a vector each, (n, dimension) float32, and a hash of 63 bits each, keyed by their user: the
    same for the same piece whatever the embedder, 0 for a user who was erased."""

    chunks: tuple[str, ...]
    vectors: Vectors
    hashes: tuple[int, ...]


def text_hash(key: SealingKey, text: str) -> int:
    """63 bits, by which two generations can tell whether they hold the same text."""
    return int.from_bytes(key.tag("chunk", text)[:8]) >> 1


@dataclass(slots=True)
class Counts:
    """Vectors that came from the cache, and that the embedder made."""

    hits: int = 0
    misses: int = 0

    def as_facts(self) -> dict[str, int]:
        """As health and the progress of a rebuild tell them."""
        return {"vectors_from_cache": self.hits, "vectors_made": self.misses}


class RememberingEmbedder:
    """An embedder behind the cache. Each vector is sealed with its user's key and lies under a name that the same key
    gives: without the key it can neither be read nor be told whose, or of which text, it is (ADR 19)."""

    def __init__(
        self,
        source: Source,
        cache: VectorCache | None,
        keys: Keys,
        counts: Counts | None = None,
        *,
        believe: bool = True,
    ) -> None:
        """`counts` may be shared. Unless it shall `believe` the cache, all is made anew, and replaces what is there."""
        self.counts = counts or Counts()
        self._source = source
        self._cache = cache
        self._keys = keys
        self._believe = believe

    async def embed(self, texts: Sequence[Text]) -> list[Embedded]:
        """In the order of the texts. Raises as `Embedding.embed`, and `Unavailable` when there is no embedder, or a
        key cannot be read."""
        if not texts:
            return []
        embedding = await self._source.get()
        pieces: list[list[Text]] = []
        for text in texts:
            pieces.append([Text(text.uid, chunk) for chunk in embedding.embedder.chunks(text.text)])
            if len(pieces) % _CHUNK_AT_ONCE == 0:
                await asyncio.sleep(0)  # tokenizing a large batch must not hold up queries
        keys = await self._keys_of(texts)
        vectors = await self._vectors(embedding, [piece for of_text in pieces for piece in of_text], keys)
        return [
            Embedded(
                tuple(piece.text for piece in of_text),
                np.stack([vectors[piece] for piece in of_text]),
                tuple(text_hash(keys[piece.uid], piece.text) if piece.uid in keys else 0 for piece in of_text),
            )
            for of_text in pieces
        ]

    async def _vectors(
        self, embedding: Embedding, pieces: Sequence[Text], keys: Mapping[str, SealingKey]
    ) -> dict[Text, Vectors]:
        places = self._places(embedding.embedder.id, pieces, keys)
        vectors = await self._known(places) if self._believe else {}
        # Texts of like length go together: the shorter ones of a run are padded.
        missing = sorted((p for p in dict.fromkeys(pieces) if p not in vectors), key=lambda piece: len(piece.text))
        made = dict(zip(missing, await embedding.embed([piece.text for piece in missing]), strict=True))
        self._remember({place: made[piece] for piece, place in places.items() if piece in made})
        self.counts.hits += len(vectors)
        self.counts.misses += len(made)
        VECTORS.add(len(vectors), {"source": "cache"})
        VECTORS.add(len(made), {"source": "model"})
        return vectors | made

    async def _keys_of(self, texts: Sequence[Text]) -> dict[str, SealingKey]:
        keys: dict[str, SealingKey] = {}
        for uid in {text.uid for text in texts}:
            with contextlib.suppress(KeyMissing):
                keys[uid] = await self._keys.get(uid)
        return keys

    def _places(self, embedder: str, pieces: Sequence[Text], keys: Mapping[str, SealingKey]) -> dict[Text, "_Place"]:
        """Where their vectors are kept; nowhere for a user who was erased."""
        if self._cache is None:
            return {}
        return {
            piece: _Place(keys[piece.uid], keys[piece.uid].tag(f"embedding/{embedder}", piece.text))
            for piece in dict.fromkeys(pieces)
            if piece.uid in keys
        }

    async def _known(self, places: Mapping[Text, "_Place"]) -> dict[Text, Vectors]:
        """The vectors that the cache has, each (dimension,)."""
        if self._cache is None or not places:
            return {}
        stored = await self._cache.get([place.name for place in places.values()])
        known: dict[Text, Vectors] = {}
        for piece, place in places.items():
            if (sealed := stored.get(place.name)) is not None:
                with contextlib.suppress(ContentDamaged):  # it is embedded again, and replaced
                    known[piece] = place.open(sealed)
        return known

    def _remember(self, made: Mapping["_Place", Vectors]) -> None:
        if self._cache is not None:
            self._cache.put({place.name: place.seal(vector) for place, vector in made.items()})


@dataclass(frozen=True, slots=True)
class _Place:
    """A row of the cache, and the key that its vector is sealed with, bound to the row: it cannot be moved."""

    key: SealingKey
    name: bytes

    def seal(self, vector: Vectors) -> bytes:
        return self.key.seal(vector.astype("<f4").tobytes(), b"embedding|" + self.name)

    def open(self, sealed: bytes) -> Vectors:
        """Raises `ContentDamaged`."""
        return np.frombuffer(self.key.open(sealed, b"embedding|" + self.name), "<f4").astype(np.float32)
