"""The index: what a vector store must do for Memlog. Two adapters, one contract test suite.

Text is not stored in the index (architecture §6): it goes in to be weighed (BM25) and only ids, user, app,
state, categories and times stay.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import numpy as np
from contracts.access import Access
from contracts.positions import Checkpoint
from numpy.typing import NDArray

Vector = NDArray[np.float32]


def of_user(uid: str, memory_id: str) -> str:
    """What a memory is called in the index: ids of memories are a user's own, and two users may have the same."""
    return f"{uid}|{memory_id}"


def bare(name: str) -> str:
    """The memory's id, as its user knows it."""
    return name.rpartition("|")[2]


@dataclass(frozen=True, slots=True)
class PutVersion:
    """A version of a memory's text becomes the current one; older ones stay for searches of the past. It replaces what
    is stored of the same version, and of later ones.

    `chunks` are the pieces of the text that the embedder saw, `vectors` (n_chunks, dimension) L2-normalized rows for
    them, `hashes` keyed ones of them: by these, texts can be compared that the index does not keep. Times are epoch
    milliseconds. `sequence` is the event's sequence in its shard.
    """

    memory_id: str
    uid: str
    app_id: str
    version: int
    state: str
    categories: tuple[str, ...]
    created_at: int
    updated_at: int
    chunks: tuple[str, ...]
    vectors: Vector
    hashes: tuple[int, ...]
    sequence: int


@dataclass(frozen=True, slots=True)
class Revise:
    """The memory's next text, with the categories that go with it: its app and time of creation stay as they are, and
    its state where none is given. As `PutVersion` otherwise."""

    memory_id: str
    version: int
    state: str | None
    categories: tuple[str, ...]
    updated_at: int
    chunks: tuple[str, ...]
    vectors: Vector
    hashes: tuple[int, ...]
    sequence: int


@dataclass(frozen=True, slots=True)
class SetState:
    """The memory's state changed (`active`, `paused`, `archived`, `deleted`); its points stay, so that it can come
    back as it was: no search sees a state that its filter does not name."""

    memory_id: str
    state: str
    updated_at: int
    sequence: int


@dataclass(frozen=True, slots=True)
class SetCategories:
    """The memory's categories changed."""

    memory_id: str
    categories: tuple[str, ...]
    updated_at: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Remove:
    """The memory is gone for good: its points go, a tombstone with `sequence` stays, so that no stale write
    (a replay from an older position, a former owner that woke up) brings it back."""

    memory_id: str
    sequence: int


Change = PutVersion | Revise | SetState | SetCategories | Remove


@dataclass(frozen=True, slots=True)
class SearchFilter:
    """What may be found. `None` means no restriction by that field; an EMPTY tuple means nothing matches
    (an empty result set is never "no filter"). Within a field: any of; between fields: and.

    `exclude_*` are must-not. `created_from`/`created_to` are inclusive epoch milliseconds. `access`: what the app that
    asks may read; None where no app asks.

    `past`: memory ids by version, for a search of the past: these texts, whatever has become of the memories since, and
    whatever `states` says. Categories are those of now, and none for a text that was replaced.
    """

    uid: str
    states: tuple[str, ...] = ("active",)
    app_ids: tuple[str, ...] | None = None
    categories: tuple[str, ...] | None = None
    memory_ids: tuple[str, ...] | None = None
    exclude_app_ids: tuple[str, ...] = ()
    exclude_memory_ids: tuple[str, ...] = ()
    created_from: int | None = None
    created_to: int | None = None
    access: Access | None = None
    past: Mapping[int, tuple[str, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One memory found: its best chunk's fused score (0..1, higher is better)."""

    memory_id: str
    version: int
    score: float


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """A point as it is stored: see `indexer.points`. `vector` is (dimension,), None where the point has none or none
    was asked for."""

    id: UUID
    payload: Mapping[str, Any]
    vector: Vector | None


class MemoryIndex(Protocol):
    """A vector store for one generation of the index. One owner at a time calls `claim`, then `checkpoint`, then
    `apply` from there on; after any error again from `checkpoint`. Anyone may search and count meanwhile.

    An adapter that has to wait for a network does so without holding up the event loop, and raises `Unavailable`
    when the store does not answer.
    """

    kind: str
    """Which store this is, for health."""
    settles_s: float
    """For how long a write may show in part; 0 where reads and writes take turns."""
    failure: str | None
    """Why the store cannot be used now, for health; None as far as is known."""

    async def claim(self, shard: int, epoch: int) -> None:
        """A new owner of the shard announces its lease's epoch: from here on, what other instances write with an
        older one is refused. Raises `ConcurrencyConflict` when a newer epoch has claimed the shard already."""
        ...

    async def epoch(self, shard: int) -> int:
        """The newest epoch that has claimed the shard, 0 where none has (or, of a store that only one process can have
        open, none since it was opened)."""
        ...

    async def apply(self, changes: Sequence[Change], checkpoint: Checkpoint) -> None:
        """Apply changes in order, then move the shard's checkpoint. A change whose sequence is not above
        the memory's last applied one is dropped, so that applying a batch again changes nothing.
        Raises nothing for stale changes, `ConcurrencyConflict` when a newer owner has claimed the shard; store
        errors propagate and leave the checkpoint unmoved."""
        ...

    async def refold(self, shard: int, changes: Sequence[Change]) -> None:
        """Replace all that is stored of the memories that `changes` name, of one shard, by what these changes alone
        lead to, in order; a memory of which nothing is left gets a tombstone at its last one. The checkpoint stays.
        Interrupted, it may be called again. Raises as `apply`."""
        ...

    async def checkpoint(self, shard: int) -> Checkpoint | None:
        """The last checkpoint that `apply` made durable for the shard, or None."""
        ...

    async def search(self, vector: Vector, text: str, where: SearchFilter, limit: int) -> list[Hit]:
        """Hybrid search: dense (cosine) and BM25 in one query, the filter part of it, fused by normalized,
        weighted scores; best chunk per memory; at most `limit` memories, best first."""
        ...

    async def count(self, where: SearchFilter) -> int:
        """How many memories (not points) match."""
        ...

    async def scroll(self, after: UUID | None, limit: int, *, vectors: bool) -> list[StoredPoint]:
        """At most `limit` points, of all users, by id, from the one that follows `after`; fewer only at the end. With
        chunks, heads and checkpoints, and without what depends on who wrote them."""
        ...

    async def read(self, ids: Sequence[UUID], *, vectors: bool) -> list[StoredPoint]:
        """Those of the points that there are, as from `scroll`, in any order."""
        ...

    async def probe(self) -> None:
        """Find out whether the store can be used, and set `failure` accordingly. Raises what any call would."""
        ...

    async def close(self) -> None: ...
