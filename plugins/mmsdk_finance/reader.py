"""Read marked sentences: all-MiniLM-L6-v2 with trained low-rank adapters (Hu et al. 2021, arXiv:2106.09685).

The target stands in a sentence as ``[MASK]`` and the other names as one unused word, so the network knows no names.
Its two last vectors, the mean of the sentence and the mean of the target, give the logits of the labels. The whole
network is written out here, because training freezes and wraps its layers; on a CPU, reading runs the core's ``Bert``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import safetensors
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from mmsdk import weights
from mmsdk.encoders.batching import packed
from mmsdk.encoders.bert import Bert
from mmsdk.errors import WeightsError
from mmsdk.recognizers.devices import torch_device
from mmsdk.settings import Settings
from mmsdk_finance.marking import OTHER, TARGET

BODY = "all-MiniLM-L6-v2"
"""The pinned model that the adapters belong to."""
WIDTH, HEADS, LAYERS, LENGTH = 384, 12, 6, 64
_BATCH = 1024  # tokens
_SCALE = 2.0  # of the adapters at the start of training
_OTHER = "[unused5]"  # a row of the vocabulary that no text uses

Weights = Mapping[str, Tensor]
Way = Callable[[Sequence[Sequence[int]]], Tensor]


class Linear(nn.Module):
    """A frozen linear layer; with a ``rank``, a trained product of two thin matrices is added to it."""

    def __init__(self, source: Weights, name: str, *, rank: int, kind: torch.dtype) -> None:
        super().__init__()
        weight, bias = source[f"{name}.weight"], source[f"{name}.bias"]
        self.weight = nn.Parameter(weight.to(kind), requires_grad=False)
        self.bias = nn.Parameter(bias.clone() if rank else bias.to(kind), requires_grad=rank > 0)
        self.rank = rank
        if rank:
            self.A = nn.Parameter(_SCALE * torch.randn(rank, weight.shape[1]) / math.sqrt(weight.shape[1]))
            self.B = nn.Parameter(torch.zeros(weight.shape[0], rank))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map ``[..., in]`` to ``[..., out]``."""
        whole = functional.linear(inputs, self.weight, self.bias.to(inputs.dtype))
        if not self.rank:
            return whole
        thin = functional.linear(inputs, self.A.to(inputs.dtype))
        return whole + functional.linear(thin, self.B.to(inputs.dtype))


class Norm(nn.LayerNorm):
    """A layer normalisation with the weights of a name."""

    def __init__(self, source: Weights, name: str, *, trained: bool = False) -> None:
        super().__init__(WIDTH, eps=1e-12)
        self.load_state_dict({part: source[f"{name}.{part}"] for part in ("weight", "bias")})
        self.requires_grad_(trained)


class Layer(nn.Module):
    """One layer of the transformer, in the names of BERT."""

    def __init__(self, source: Weights, name: str, *, rank: int, kind: torch.dtype, dropout: float) -> None:
        super().__init__()

        def linear(part: str) -> Linear:
            return Linear(source, f"{name}.{part}", rank=rank, kind=kind)

        self.query, self.key, self.value = (linear(f"attention.self.{part}") for part in ("query", "key", "value"))
        self.mixed = linear("attention.output.dense")
        self.mixed_norm = Norm(source, f"{name}.attention.output.LayerNorm", trained=rank > 0)
        self.up, self.down = linear("intermediate.dense"), linear("output.dense")
        self.norm = Norm(source, f"{name}.output.LayerNorm", trained=rank > 0)
        self.dropout = nn.Dropout(dropout if rank else 0.0)
        self.kind = kind

    def forward(self, state: Tensor, mask: Tensor | None) -> Tensor:
        """Map float32 ``[n, tokens, WIDTH]`` to the same shape."""
        inputs = state.to(self.kind)
        query, key, value = (
            part(inputs).unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)
        state = self.mixed_norm(state + self.dropout(self.mixed(mixed)).float())
        wide = functional.gelu(self.up(state.to(self.kind)))
        normed: Tensor = self.norm(state + self.dropout(self.down(wide)).float())
        return normed


class Network(nn.Module):
    """The encoder and the linear layer over [mean of the sentence; mean of the target]."""

    def __init__(
        self, source: Weights, labels: int, *, kind: torch.dtype, rank: int = 0, frozen: int = 0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        first = source["embeddings.position_embeddings.weight"] + source["embeddings.token_type_embeddings.weight"][0]
        self.words = nn.Parameter(source["embeddings.word_embeddings.weight"], requires_grad=False)
        self.places = nn.Parameter(first, requires_grad=False)
        self.norm = Norm(source, "embeddings.LayerNorm")
        self.layers = nn.ModuleList(
            Layer(source, f"encoder.layer.{n}", rank=rank if n >= frozen else 0, kind=kind, dropout=dropout)
            for n in range(LAYERS)
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * WIDTH, labels)
        if "head.weight" in source:
            self.head.load_state_dict({part: source[f"head.{part}"] for part in ("weight", "bias")})

    def forward(self, ids: Tensor, there: Tensor, target: Tensor) -> Tensor:
        """Give logits ``[n, labels]``; ``there`` marks real tokens, ``target`` those of the target (maybe none)."""
        mask = None if bool(there.all()) else there[:, None, None, :]
        state = self.norm(self.words[ids] + self.places[: ids.shape[1]])
        for layer in self.layers:
            state = layer(state, mask)
        mean = _mean(state, there)
        aimed = torch.where(target.any(dim=1, keepdim=True), _mean(state, target), mean)
        logits: Tensor = self.head(self.dropout(torch.cat([mean, aimed], dim=1)))
        return logits


class Unpadded:
    """Compute what ``Network`` does, on a CPU: nothing is computed for padding, a fifth faster on headlines."""

    def __init__(self, source: Weights, labels: int, *, target: int, kind: torch.dtype) -> None:
        from transformers import BertConfig, BertModel

        config = BertConfig(
            hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=4 * WIDTH
        )
        with torch.device("meta"):
            model = BertModel(config, add_pooling_layer=False)
        model.load_state_dict(dict(source), strict=False, assign=True)
        self._bert, self._target = Bert(model, "mean", kind), target
        self._head = nn.Linear(2 * WIDTH, labels)
        self._head.load_state_dict({part: source[f"head.{part}"] for part in ("weight", "bias")})

    def __call__(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Give logits ``[len(rows), labels]`` of token ids; texts of equal length must be neighbours."""
        given, found = iter(rows), []
        for state in self._bert.states(rows):
            target = torch.tensor(list(islice(given, len(state)))).eq(self._target)
            mean = state.mean(1)
            aimed = torch.where(target.any(dim=1, keepdim=True), _mean(state, target), mean)
            found.append(self._head(torch.cat([mean, aimed], dim=1)))
        return torch.cat(found)


class Reader:
    """Give the logits of labels for marked sentences, the mean over the adapters in files that ``save`` wrote.

    Without ``files`` it is for training: ``source`` holds the plain body, and there is no network yet.
    """

    def __init__(self, files: Sequence[Path], *, settings: Settings, labels: int = 3) -> None:
        self.source = body(settings)
        self.tokenizer = _tokenizer(settings)
        self._target = self.tokenizer.token_to_id("[MASK]") or 0
        self.device = torch_device(settings.device)
        self.kind = torch.bfloat16 if _native_bfloat16(self.device) else torch.float32
        weights = [merged(self.source, adapters(file)) for file in files]
        self._ways = [self._way(one, labels) for one in weights]
        if files:
            self.source = {}

    def _way(self, source: Weights, labels: int) -> Way:
        if self.device.type == "cpu":
            return Unpadded(source, labels, target=self._target, kind=self.kind)
        return self._padded(Network(source, labels, kind=self.kind).eval().to(self.device))

    def _padded(self, network: nn.Module) -> Way:
        def run(rows: Sequence[Sequence[int]]) -> Tensor:
            logits: Tensor = network(*self.tensors(rows))
            return logits

        return run

    def tokens(self, marked: Sequence[str]) -> list[list[int]]:
        """Give the token ids of marked sentences, cut to ``LENGTH``."""
        return [row.ids for row in self.tokenizer.encode_batch([written(text) for text in marked])]

    def tensors(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, Tensor]:
        """Pad token ids and give what ``Network`` takes."""
        longest = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
        there = torch.arange(longest)[None, :] < torch.tensor([len(row) for row in rows])[:, None]
        return ids.to(self.device), there.to(self.device), ids.eq(self._target).to(self.device)

    def logits(self, marked: Sequence[str], *, networks: Sequence[nn.Module] = ()) -> NDArray[np.float32]:
        """Give logits ``[n, labels]`` of marked sentences in order."""
        ways = [self._padded(network) for network in networks] or self._ways
        if not ways:
            raise TypeError("this reader was made without files; give the networks that are trained")
        rows = self.tokens(marked)
        found: list[NDArray[np.float32]] = [np.zeros(0, np.float32)] * len(rows)
        with torch.inference_mode():
            for batch in packed([len(row) for row in rows], _BATCH):
                taken = [rows[n] for n in batch]
                logits = torch.stack([way(taken) for way in ways]).mean(dim=0)
                for position, row in zip(batch, logits.cpu().numpy(), strict=True):
                    found[position] = row
        return np.stack(found) if found else np.zeros((0, 3), np.float32)


def written(marked: str) -> str:
    """Write the marks as the network knows them; no text can write them itself."""
    plain = marked.replace("[", "(").replace("]", ")")
    return plain.replace(TARGET, " [MASK] ").replace(OTHER, f" {_OTHER} ")


def body(settings: Settings) -> Weights:
    """Read the weights of the pinned body, in BERT's names."""
    file = weights.resolve(BODY, settings=settings) / "model.safetensors"
    return {name.removeprefix("bert."): value.float() for name, value in load_file(file).items()}


def merged(source: Weights, changes: Weights) -> Weights:
    """Put trained changes into weights: ``x.A`` and ``x.B`` add ``B @ A`` to ``x.weight``, others replace ``x``."""
    found = dict(source)
    for name, value in changes.items():
        layer, _, kind = name.rpartition(".")
        if kind == "B":
            found[f"{layer}.weight"] = source[f"{layer}.weight"] + value.float() @ changes[f"{layer}.A"].float()
        elif kind != "A":
            found[name] = value.float()
    return found


def adapters(file: Path) -> Weights:
    """Read the changes that ``fitting.save`` wrote."""
    try:
        return load_file(file)
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{file} holds no adapters: {error}; train them anew or reinstall mmsdk") from error


def _tokenizer(settings: Settings) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(weights.resolve(BODY, settings=settings) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LENGTH)
    tokenizer.add_special_tokens([_OTHER])
    return tokenizer


def _mean(state: Tensor, where: Tensor) -> Tensor:
    share = where.unsqueeze(-1).float()
    return (state * share).sum(dim=1) / share.sum(dim=1).clamp(min=1)


def _native_bfloat16(device: torch.device) -> bool:
    """Say whether the device has instructions for bfloat16; others are slower in it than in float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    has = dict(getattr(torch.cpu, "get_capabilities", dict)())
    return device.type == "cpu" and bool(has.get("avx512_bf16") or has.get("amx_bf16"))
