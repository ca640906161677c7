"""What an embedder must do for Memlog."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """Turns texts into vectors. Every method blocks and may be called from a worker thread."""

    @property
    def id(self) -> str:
        """Names the model and its weights, such as `minilm-l6-v2/53aa51172d14`: vectors of two ids never mix."""
        ...

    @property
    def dimension(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """(n, dimension) float32 rows, L2-normalized, in the order of `texts`; (0, dimension) for none.

        What of a text lies beyond the model's window is not seen: split it with `chunks` first.
        """
        ...

    def chunks(self, text: str) -> tuple[str, ...]:
        """The pieces of `text` that the model sees whole: overlapping, in order, together all of the text.

        One piece, the text itself, when it fits.
        """
        ...
