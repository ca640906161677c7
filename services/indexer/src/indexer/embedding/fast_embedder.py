"""Models of the library `fastembed`, which fetches them from a hub when they are used first: an option, never the
default."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from contracts.errors import ConfigurationError

from indexer.embedding.embedder import PROBE, Vectors, normalized
from indexer.embedding.token_estimate import split_by_estimate

_WINDOW = 480
_SPECIAL = 2
_OVERLAP = 48


class FastEmbedder:
    """`Embedder` on one of its models. Thread-safe."""

    def __init__(self, model: Any, name: str, window: int) -> None:
        self._model = model
        self._name = name
        self._window = window
        self._dimension = len(self.embed([PROBE])[0])

    @classmethod
    def open(cls, name: str, cache: Path, threads: int = 1) -> "FastEmbedder":
        """Load the model; it is fetched into `cache` the first time. Raises `ConfigurationError` when the library is
        not installed, does not know the model, or cannot fetch it."""
        try:
            library: Any = import_module("fastembed")  # no part of Memlog: see the package's extra
        except ImportError as error:
            raise ConfigurationError(
                f"the embedder 'fastembed:{name}' needs a package that is not installed ({error}): "
                "pip install 'memlog-indexer[fastembed]'"
            ) from None
        try:
            model = library.TextEmbedding(model_name=name, cache_dir=str(cache / "fastembed"), threads=threads)
        except Exception as error:  # whatever a download may end with
            raise ConfigurationError(f"the embedder 'fastembed:{name}' cannot be loaded: {error}") from error
        truncation: dict[str, Any] = model.model.tokenizer.truncation or {}
        return cls(model, name, min(_WINDOW, truncation.get("max_length", _WINDOW) - _SPECIAL))

    @property
    def id(self) -> str:
        return f"fastembed:{self._name}/{self._dimension}"

    @property
    def dimension(self) -> int:
        return self._dimension

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.embed`."""
        if not texts:
            return np.empty((0, self._dimension), np.float32)
        return normalized(np.array(list(self._model.embed(list(texts))), np.float32))

    def chunks(self, text: str) -> tuple[str, ...]:
        """See `Model.chunks`, by an estimate of the tokens."""
        return split_by_estimate(text, self._window, _OVERLAP)
