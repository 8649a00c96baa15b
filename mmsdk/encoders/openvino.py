"""The forward pass of ``encoders.bert`` by OpenVINO, for few tokens and for long texts on a CPU.

A batch is one call without Python's lock: one question takes half the time, and a server goes on answering meanwhile.
The layers are put together here from the library's weights, so nothing is traced or converted. Few texts lie behind
each other in one row, where each sees only itself; many would see too much of nothing, so they have a row each, filled
to the length of the longest, and for many short ones ``encoders.bert`` is faster.
"""

import sys
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float32]
Ids = NDArray[np.int64]
_STEP = 8
"""Lengths are filled to a multiple of it: OpenVINO prepares code for every new shape, which takes milliseconds."""
ROW = 512
"""Tokens that lie in one row: attention looks at every pair of them."""
_HIDDEN = np.float32(-1e9)


class Bert:
    """Encode token ids on a CPU with the weights of a ``BertModel``, in float32 or, if ``half``, in bfloat16.

    ``pooling`` is mean or cls. Safe to share between threads, which wait for each other.
    """

    def __init__(self, model: Any, pooling: str, *, half: bool = False) -> None:
        shown = model.embeddings
        self._model, self._pooling = model, pooling  # OpenVINO reads the weights where they lie
        self._words = _array(shown.word_embeddings.weight)
        self._places = _array(shown.position_embeddings.weight) + _array(shown.token_type_embeddings.weight)[0]
        self._request = _compiled(model, half).create_infer_request()
        self._running = threading.Lock()

    def __call__(self, ids: Sequence[Sequence[int]]) -> Tensor:
        """Give float32 ``[len(ids), hidden]``."""
        lengths = np.array([len(text) for text in ids])
        tokens = np.concatenate([np.asarray(text, np.int64) for text in ids])
        pooled = (
            self._in_a_row(tokens, lengths) if len(ids) > 1 and len(tokens) <= ROW else self._in_rows(tokens, lengths)
        )
        return torch.from_numpy(pooled)

    def _in_a_row(self, tokens: Ids, lengths: Ids) -> Array:
        starts = np.cumsum(lengths) - lengths
        owners = np.repeat(np.arange(len(lengths)), lengths)
        places = np.arange(len(tokens)) - starts[owners]
        rest = -len(tokens) % _STEP
        shown = np.pad(self._words[tokens] + self._places[places], ((0, rest), (0, 0)))
        owners = np.pad(owners, (0, rest), constant_values=-1)
        unseen = np.where(owners[:, None] == owners, np.float32(0), _HIDDEN)
        found = self._run(shown[None], unseen[None, None])[0]
        if self._pooling == "cls":
            return np.asarray(found[starts])
        return _mean(np.add.reduceat(found[: len(tokens)], starts, axis=0), lengths)

    def _in_rows(self, tokens: Ids, lengths: Ids) -> Array:
        longest = min(-(-int(lengths.max()) // _STEP) * _STEP, len(self._places))
        there = np.arange(longest) < lengths[:, None]
        filled = np.zeros(there.shape, np.int64)
        filled[there] = tokens
        unseen = np.where(there, np.float32(0), _HIDDEN)[:, None, None]
        found = self._run(self._words[filled] + self._places[:longest], unseen)
        if self._pooling == "cls":
            return found[:, 0]
        return _mean(np.einsum("bth,bt->bh", found, there.astype(np.float32)), lengths)

    def _run(self, rows: Array, unseen: Array) -> Array:
        with self._running:
            found: Array = self._request.infer([rows, unseen], share_inputs=True)[0]
        return found


def _compiled(model: Any, half: bool) -> Any:
    """Give the layers as a compiled model of rows ``[n, tokens, hidden]`` and what attention adds for each pair."""
    ov = openvino()
    op, config = ov.opset14, model.config
    heads, width, epsilon = config.num_attention_heads, config.hidden_size, config.layer_norm_eps

    def constant(values: Any) -> Any:
        return op.constant(values, shared_memory=isinstance(values, np.ndarray) and values.dtype == np.float32)

    def linear(rows: Any, step: Any) -> Any:
        return op.add(op.matmul(rows, constant(_array(step.weight)), False, True), constant(_array(step.bias)))

    def normed(rows: Any, step: Any) -> Any:
        even = op.mvn(rows, op.constant(np.array([-1])), True, epsilon, "inside_sqrt")
        return op.add(op.multiply(even, constant(_array(step.weight))), constant(_array(step.bias)))

    def split(rows: Any) -> Any:
        return op.transpose(op.reshape(rows, op.constant(np.array([0, 0, heads, width // heads])), True), swap)

    swap = op.constant(np.array([0, 2, 1, 3]))
    joined = op.constant(np.array([0, 0, width]))
    given = op.parameter(ov.PartialShape([-1, -1, width]), ov.Type.f32)
    unseen = op.parameter(ov.PartialShape([-1, 1, -1, -1]), ov.Type.f32)
    rows = normed(given, model.embeddings.LayerNorm)
    for layer in model.encoder.layer:
        own, after = layer.attention.self, layer.attention.output
        parts = (split(linear(rows, part)) for part in (own.query, own.key, own.value))
        mixed = op.transpose(op.scaled_dot_product_attention(*parts, unseen), swap)
        rows = normed(op.add(linear(op.reshape(mixed, joined, True), after.dense), rows), after.LayerNorm)
        inner = op.gelu(linear(rows, layer.intermediate.dense), "erf")
        rows = normed(op.add(linear(inner, layer.output.dense), rows), layer.output.LayerNorm)
    options = {
        "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "ENABLE_CPU_PINNING": False,
    }
    return ov.Core().compile_model(ov.Model([op.result(rows)], [given, unseen]), "CPU", options)


@cache
def openvino() -> Any:
    """Import OpenVINO without its telemetry, which sends an event at every import; it provides for its absence."""
    name = "openvino_telemetry"
    if "openvino" in sys.modules or name in sys.modules:
        import openvino
    else:
        sys.modules[name] = None  # type: ignore[assignment]
        try:
            import openvino
        finally:
            del sys.modules[name]
    return openvino


def _mean(sums: Array, lengths: Ids) -> Array:
    return np.asarray(sums / lengths[:, None].astype(np.float32), np.float32)


def _array(weight: Tensor) -> Array:
    found: Array = weight.detach().float().contiguous().numpy()
    return found
