"""What an embedder must do for Memlog."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
PROBE = "A memory is a text that somebody may want to find again."
"""What is embedded to find out whether that works."""


class Model(Protocol):
    """What embedders of all kinds have in common."""

    @property
    def id(self) -> str:
        """Names the model and its weights, such as `minilm-l6-v2/53aa51172d14`: vectors of two ids never mix."""
        ...

    @property
    def dimension(self) -> int: ...

    def chunks(self, text: str) -> tuple[str, ...]:
        """The pieces of `text` that the model sees whole: overlapping, in order, together all of the text.

        One piece, the text itself, when it fits.
        """
        ...


class Embedder(Model, Protocol):
    """A model in this process. Every method blocks and may be called from a worker thread."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """(n, dimension) float32 rows, L2-normalized, in the order of `texts`; (0, dimension) for none.

        What of a text lies beyond the model's window is not seen: split it with `chunks` first.
        """
        ...


class Embedding(Protocol):
    """An embedder as services use it: several may ask at once, and queries go ahead of all else."""

    @property
    def embedder(self) -> Model: ...

    @property
    def failure(self) -> str | None:
        """Why it did not work when it was asked last; None when it did."""
        ...

    async def embed(self, texts: Sequence[str], urgent: bool = False, background: bool = False) -> Vectors:
        """(n, dimension) float32 rows, L2-normalized, in the order of `texts`. `urgent`: queries, that somebody waits
        for; `background`: what may wait until there is nothing to index.

        Raises `Unavailable`, saying why, for what may heal by itself; what else it raises is the texts' own fault.
        """
        ...

    async def probe(self) -> None:
        """Ask it something, to find out whether it works. Raises `Unavailable`."""
        ...

    async def close(self) -> None: ...


def normalized(rows: Vectors) -> Vectors:
    """Each row divided by its length."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.maximum(lengths, 1e-12)).astype(np.float32)
