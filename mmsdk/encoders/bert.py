"""The forward pass of BERT encoders (Devlin et al. 2019, https://arxiv.org/abs/1810.04805) without padding.

The tokens of a batch are the rows of one matrix, filled to a multiple of 8 or 64, so that next to nothing is computed
for padding; attention runs over texts of equal length together. In Python it is a few calls a layer: one short text
takes a fraction of the library's time. Weights are the library's. It knows nothing of tokenizers.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

_TINY, _SHORT = 32, 192
"""Up to this length, plain matrix products are faster than the fused attention of torch on a CPU.

For the shortest they are in float32, which takes as long as bfloat16 and needs no code prepared by oneDNN, of which it
keeps some for every count of texts of every length.
"""


class Bert:
    """Encode token ids on a CPU with the weights of a ``BertModel`` in one precision; ``pooling`` is mean or cls."""

    def __init__(self, model: Any, pooling: str, dtype: torch.dtype) -> None:
        config = model.config
        self._heads, self._epsilon, self._pooling = config.num_attention_heads, config.layer_norm_eps, pooling
        self._dtype = dtype
        shown = model.embeddings
        self._words = shown.word_embeddings.weight.detach().to(dtype)
        self._places = (shown.position_embeddings.weight + shown.token_type_embeddings.weight[0]).detach().to(dtype)
        self._norm = self._pair(shown.LayerNorm)
        self._layers = [self._layer(layer) for layer in model.encoder.layer]

    def __call__(self, ids: Sequence[Sequence[int]]) -> Tensor:
        """Give float32 ``[len(ids), hidden]``. Texts of equal length must be neighbours."""
        return torch.cat([run.mean(1) if self._pooling == "mean" else run[:, 0] for run in self.states(ids)])

    @torch.inference_mode()
    def states(self, ids: Sequence[Sequence[int]]) -> list[Tensor]:
        """Give the last vectors of the tokens, float32 ``[texts, tokens, hidden]`` for each run of equal length."""
        runs = [(length, len(list(group))) for length, group in groupby(map(len, ids))]
        tokens = [token for text in ids for token in text]
        spare = filled(len(tokens)) - len(tokens)
        flat = torch.tensor(tokens + [0] * spare)
        places = torch.cat(
            [*(torch.arange(length).repeat(count) for length, count in runs), torch.zeros(spare, dtype=torch.long)]
        )
        rows = self._normed(self._words[flat] + self._places[places], self._norm)
        for joined, mixed, first, inner, outer, second in self._layers:
            attended = self._attended(linear(rows, *joined), runs)
            rows = self._normed(linear(attended, *mixed).add_(rows), first)
            rows = self._normed(linear(linear(rows, *inner, gelu=True), *outer).add_(rows), second)
        split = rows[: len(tokens)].float().split_with_sizes([length * count for length, count in runs])
        return [part.view(count, length, -1) for part, (length, count) in zip(split, runs, strict=True)]

    def _attended(self, joined: Tensor, runs: Sequence[tuple[int, int]]) -> Tensor:
        width = joined.shape[1] // 3
        parts = []
        sizes = [length * count for length, count in runs]
        *pieces, rest = joined.split_with_sizes([*sizes, len(joined) - sum(sizes)])
        for part, (length, count) in zip(pieces, runs, strict=True):
            split = part.view(count, length, 3, self._heads, width // self._heads).permute(2, 0, 3, 1, 4)
            if length > _SHORT:
                query, key, value = split.unbind(0)
                mixed = functional.scaled_dot_product_attention(query, key, value, scale=1.0)
            else:
                whole = split.reshape(3, count * self._heads, length, -1)
                query, key, value = (whole.float() if length <= _TINY else whole).unbind(0)
                mixed = torch.bmm(_softmax(torch.bmm(query, key.transpose(1, 2))), value).to(joined.dtype)
            parts.append(mixed.view(count, self._heads, length, -1).transpose(1, 2).reshape(count * length, width))
        parts.append(rest[:, :width])
        return torch.cat(parts)

    def _normed(self, rows: Tensor, norm: tuple[Tensor, Tensor]) -> Tensor:
        return functional.layer_norm(rows, rows.shape[1:], *norm, self._epsilon)

    def _layer(self, layer: Any) -> tuple[tuple[Tensor, Tensor], ...]:
        """Give weight and bias of each step; queries, keys and values in one, queries already scaled."""
        own = layer.attention.self
        scale = (own.query.out_features / self._heads) ** -0.5
        weights = torch.cat([own.query.weight * scale, own.key.weight, own.value.weight])
        biases = torch.cat([own.query.bias * scale, own.key.bias, own.value.bias])
        after = layer.attention.output
        return (
            (laid_out(weights.detach().to(self._dtype)), biases.detach().to(self._dtype)),
            self._linear(after.dense),
            self._pair(after.LayerNorm),
            self._linear(layer.intermediate.dense),
            self._linear(layer.output.dense),
            self._pair(layer.output.LayerNorm),
        )

    def _linear(self, step: Any) -> tuple[Tensor, Tensor]:
        weight, bias = self._pair(step)
        return laid_out(weight), bias

    def _pair(self, step: Any) -> tuple[Tensor, Tensor]:
        return step.weight.detach().to(self._dtype), step.bias.detach().to(self._dtype)


def filled(rows: int) -> int:
    """Give how many rows to multiply: oneDNN prepares code for every new number, which takes as long as a text."""
    step = 8 if rows <= 128 else 64
    return -(-rows // step) * step


def _softmax(scores: Tensor) -> Tensor:
    """Compute in float32, three times as fast as bfloat16; torch goes by single numbers in rows under 16."""
    wide = scores.float()
    if scores.shape[-1] >= 16:
        return wide.softmax(-1).to(scores.dtype)
    raised = (wide - wide.amax(-1, keepdim=True)).exp_()
    return raised.div_(raised.sum(-1, keepdim=True)).to(scores.dtype)


def laid_out(weight: Tensor) -> Tensor:
    """Lay a weight out as oneDNN multiplies it, so that no call has to; as it is where torch cannot."""
    try:
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)
        torch.ops.mkldnn._linear_pointwise(weight[:1], packed, None, "none", [], "")
    except (AttributeError, RuntimeError, NotImplementedError):
        return weight
    return packed


def linear(rows: Tensor, weight: Tensor, bias: Tensor, *, gelu: bool = False) -> Tensor:
    """Multiply by a weight, as it is or laid out, and add a bias."""
    if not weight.is_mkldnn:
        made = functional.linear(rows, weight, bias)
        return functional.gelu(made) if gelu else made
    after, algorithm = ("gelu", "none") if gelu else ("none", "")
    return cast(Tensor, torch.ops.mkldnn._linear_pointwise(rows, weight, bias, after, [], algorithm))


def pooling_of(modules: Sequence[Any]) -> str | None:
    """Give how the modules of a sentence-transformers model pool, if ``Bert`` computes what they do."""
    first, *rest = modules
    config: Any = getattr(getattr(first, "auto_model", None), "config", None)
    if getattr(config, "model_type", "") != "bert" or getattr(first, "do_lower_case", False):
        return None
    is_plain = config.hidden_act == "gelu" and getattr(config, "position_embedding_type", "absolute") == "absolute"
    names = [type(module).__name__ for module in rest]
    if not is_plain or config.is_decoder or names[:1] != ["Pooling"] or set(names[1:]) - {"Normalize"}:
        return None
    return rest[0].pooling_mode if rest[0].pooling_mode in ("mean", "cls") and rest[0].include_prompt else None
