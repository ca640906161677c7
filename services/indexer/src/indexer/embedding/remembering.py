"""Vectors of users' texts: from the cache where they were made before, else from the embedder."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from contracts.errors import ContentDamaged, KeyMissing
from runtime.keys import SealingKey

from indexer.embedding.cache import VectorCache
from indexer.embedding.embedder import Embedding, Model, Vectors

_TEXT = "chunk"


class Keys(Protocol):
    """Where users' data keys are: `runtime.keys.KeyStore`."""

    async def get(self, uid: str) -> SealingKey:
        """Raises `KeyMissing` when the user was erased, `Unavailable`."""
        ...


@dataclass(frozen=True, slots=True)
class Piece:
    """What one vector is made of: a text that the model sees whole, and whose it is."""

    uid: str
    text: str


@dataclass(frozen=True, slots=True)
class Embedded:
    """Pieces with a vector each, (n, dimension) float32, and a hash each, keyed by their user: the same for the same
    text whatever the embedder, empty for a user who was erased."""

    pieces: Sequence[Piece]
    vectors: Vectors
    hashes: tuple[str, ...]

    def __getitem__(self, part: slice) -> "Embedded":
        return Embedded(self.pieces[part], self.vectors[part], self.hashes[part])


@dataclass(slots=True)
class Counts:
    """Vectors that came from the cache, and that the embedder made."""

    hits: int = 0
    misses: int = 0


class RememberingEmbedder:
    """An embedder behind the cache. Each vector is sealed with its user's key and lies under a name that the same
    key gives: without the key it can neither be read nor be told whose, or of which text, it is (ADR 17)."""

    def __init__(self, embedding: Embedding, cache: VectorCache | None, keys: Keys) -> None:
        self.counts = Counts()
        self._embedding = embedding
        self._cache = cache
        self._keys = keys

    @property
    def embedder(self) -> Model:
        return self._embedding.embedder

    async def embed(self, pieces: Sequence[Piece]) -> Embedded:
        """Raises as `Embedding.embed`, and `Unavailable` when a key cannot be read."""
        keys = await self._keys_of(pieces)
        places = self._places(pieces, keys)
        vectors = await self._known(places)
        # Texts of like length go together: the shorter ones of a run are padded.
        missing = sorted((p for p in dict.fromkeys(pieces) if p not in vectors), key=lambda piece: len(piece.text))
        made = dict(zip(missing, await self._embedding.embed([piece.text for piece in missing]), strict=True))
        self._remember({place: made[piece] for piece, place in places.items() if piece in made})
        self.counts.hits += len(vectors)
        self.counts.misses += len(made)
        vectors |= made
        rows = [vectors[piece] for piece in pieces]
        return Embedded(
            pieces,
            np.stack(rows) if rows else np.empty((0, self.embedder.dimension), np.float32),
            tuple(keys[p.uid].tag(_TEXT, p.text).hex() if p.uid in keys else "" for p in pieces),
        )

    async def _keys_of(self, pieces: Sequence[Piece]) -> dict[str, SealingKey]:
        keys: dict[str, SealingKey] = {}
        for uid in {piece.uid for piece in pieces}:
            with contextlib.suppress(KeyMissing):
                keys[uid] = await self._keys.get(uid)
        return keys

    def _places(self, pieces: Sequence[Piece], keys: Mapping[str, SealingKey]) -> dict[Piece, "_Place"]:
        """Where their vectors are kept; nowhere for a user who was erased."""
        if self._cache is None:
            return {}
        purpose = f"embedding/{self.embedder.id}"
        return {
            piece: _Place(keys[piece.uid], keys[piece.uid].tag(purpose, piece.text))
            for piece in dict.fromkeys(pieces)
            if piece.uid in keys
        }

    async def _known(self, places: Mapping[Piece, "_Place"]) -> dict[Piece, Vectors]:
        """The vectors that the cache has, each (dimension,)."""
        if self._cache is None or not places:
            return {}
        stored = await self._cache.get([place.name for place in places.values()])
        known: dict[Piece, Vectors] = {}
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
