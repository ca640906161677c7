"""The ONNX graph of all-MiniLM-L6-v2, built from the published weights.

A 6-layer BERT of 384 dimensions, written straight with ONNX Runtime's fused operators (Attention,
SkipLayerNormalization, BiasGelu of com.microsoft), which take a short query from 9 to 5.5 ms here.
The word embeddings, half of the weights, are not in it: the caller looks them up in the memory-mapped
weights file, so that only the rows in use are ever in memory.

Inputs:  `words` (batch, tokens, 384) word embeddings, `lengths` (batch,) int32 tokens in use of each row,
         `pooling` (batch, 1, tokens) weights of the mean: 1 / length on tokens in use, else 0.
Output:  `vectors` (batch, 384) L2-normalized.

Runs as a program (`python -m indexer.embedding.minilm_graph WEIGHTS FOLDER`) because building leaves a
memory peak of some 200 MB behind, which the indexer's process must not keep.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]

from indexer.embedding.minilm_files import MODEL_FILE, WEIGHTS_FILE

_LAYERS = 6
_HEADS = 12
_HIDDEN = 384
_WINDOW = 256
_EPSILON = 1e-12
_MS = "com.microsoft"

Weights = dict[str, NDArray[np.float32]]


class _Graph:
    """Collects nodes and constants; each method returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[np.float32] | NDArray[np.int64]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, operator: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], domain=domain, **attributes))
        return output


def build(weights: Weights) -> onnx.ModelProto:
    """The model, with all its weights inside."""
    graph = _Graph()
    node, constant = graph.node, graph.constant

    # Token types are always 0 here: their row is added to the positions once and for all.
    positions = weights["embeddings.position_embeddings.weight"][:_WINDOW]
    constant("positions", positions + weights["embeddings.token_type_embeddings.weight"][0])
    constant("zero", np.array([0], np.int64))
    constant("one", np.array([1], np.int64))
    node("Shape", ["words"], "tokens", start=1, end=2)
    node("Slice", ["positions", "zero", "tokens", "zero"], "positions_used")
    node("Add", ["words", "positions_used"], "embedded")
    scale = constant("embedded_scale", weights["embeddings.LayerNorm.weight"])
    bias = constant("embedded_bias", weights["embeddings.LayerNorm.bias"])
    x = node("LayerNormalization", ["embedded", scale, bias], "layer_in", axis=-1, epsilon=_EPSILON)
    for layer in range(_LAYERS):
        x = _layer(graph, weights, layer, x)
    node("MatMul", ["pooling", x], "mean")
    node("Squeeze", ["mean", "one"], "mean_row")
    node("LpNormalization", ["mean_row"], "vectors", axis=-1, p=2)

    f32, i32 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT32
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "minilm-l6-v2",
            [
                helper.make_tensor_value_info("words", f32, ["batch", "tokens", _HIDDEN]),
                helper.make_tensor_value_info("lengths", i32, ["batch"]),
                helper.make_tensor_value_info("pooling", f32, ["batch", 1, "tokens"]),
            ],
            [helper.make_tensor_value_info("vectors", f32, ["batch", _HIDDEN])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 19), helper.make_opsetid(_MS, 1)],
        ir_version=10,
    )


def _layer(graph: _Graph, weights: Weights, layer: int, x: str) -> str:
    node, constant = graph.node, graph.constant
    source = f"encoder.layer.{layer}."
    here = f"layer{layer}_"

    def load(name: str, key: str, transpose: bool = False) -> str:
        value = weights[source + key]
        return constant(here + name, value.T if transpose else value)

    def add_and_normalize(left: str, right: str, bias_key: str, norm_key: str, output: str) -> str:
        inputs = [
            left,
            right,
            load(output + "_scale", norm_key + ".weight"),
            load(output + "_shift", norm_key + ".bias"),
            load(output + "_bias", bias_key),
        ]
        return node("SkipLayerNormalization", inputs, here + output, _MS, epsilon=_EPSILON)

    parts = [f"attention.self.{part}." for part in ("query", "key", "value")]
    qkv = constant(here + "qkv", np.concatenate([weights[source + p + "weight"].T for p in parts], axis=1))
    qkv_bias = constant(here + "qkv_bias", np.concatenate([weights[source + p + "bias"] for p in parts]))
    node("Attention", [x, qkv, qkv_bias, "lengths"], here + "heads", _MS, num_heads=_HEADS)
    node("MatMul", [here + "heads", load("out", "attention.output.dense.weight", True)], here + "attended")
    mixed = add_and_normalize(
        x, here + "attended", "attention.output.dense.bias", "attention.output.LayerNorm", "mixed"
    )
    node("MatMul", [mixed, load("up", "intermediate.dense.weight", True)], here + "wide")
    node("BiasGelu", [here + "wide", load("up_bias", "intermediate.dense.bias")], here + "active", _MS)
    node("MatMul", [here + "active", load("down", "output.dense.weight", True)], here + "narrow")
    return add_and_normalize(mixed, here + "narrow", "output.dense.bias", "output.LayerNorm", "result")


def write(weights_file: Path, folder: Path) -> None:
    """Build from `weights_file` (safetensors) and write MODEL_FILE and WEIGHTS_FILE into `folder`.

    The weights stand beside the graph, page-aligned, so that ONNX Runtime maps them instead of copying.
    """
    onnx.save_model(  # pyright: ignore[reportUnknownMemberType]
        build(load_file(weights_file)),
        str(folder / MODEL_FILE),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=WEIGHTS_FILE,
        size_threshold=1024,
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
