"""Train the adapters of the reader on marked sentences. Knows nothing of where sentences and labels come from."""

import logging
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmsdk.errors import WeightsError
from mmsdk_finance.reader import Network, Reader, adapters

_LOG = logging.getLogger(__name__)
_SMOOTHING, _CLIP, _WARM = 0.05, 1.0, 0.06
_NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "mixed": "attention.output.dense",
    "mixed_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm": "output.LayerNorm",
}


@dataclass(frozen=True)
class Plan:
    """Say how adapters are trained: their ``rank``, layers left as they are from below, and the usual numbers.

    As many ``readers`` are trained, which differ by chance only; the mean of their logits errs less than any of them.
    They go on from those of ``start``, a folder of a model or ``bundled``; with none, from the encoder as it is.
    A reader is the mean of the weights of its last steps, a share ``average`` of all; with 0 those of the last.
    """

    readers: int = 2
    start: str = ""
    epochs: int = 4
    rate: float = 1e-3
    rank: int = 32
    frozen: int = 0
    dropout: float = 0.1
    batch: int = 32
    seed: int = 0
    average: float = 0.0


def trained(
    reader: Reader, texts: Sequence[Sequence[str]], labels: Sequence[int], *, plan: Plan, start: Path | None = None
) -> Network:
    """Train on texts, each given in one or more ways of marking it; every epoch takes one of them by chance.

    The first way is taken four times in five. ``start`` is a file that ``save`` wrote, to go on from.
    """
    torch.manual_seed(plan.seed)
    chance = random.Random(plan.seed)  # noqa: S311
    network = Network(
        reader.source, max(labels) + 1, kind=reader.kind, rank=plan.rank, frozen=plan.frozen, dropout=plan.dropout
    ).to(reader.device)
    if start is not None:
        _go_on(network, start)
    optimizer, shares = _optimizer(network)
    mean = _Mean(network)
    ways = [reader.tokens(ways) for ways in texts]
    total, step, since = plan.epochs * -(-len(ways) // plan.batch), 0, time.monotonic()
    network.train()
    for epoch in range(plan.epochs):
        rows = [way[0] if len(way) == 1 or chance.random() < 0.8 else chance.choice(way[1:]) for way in ways]
        lost = 0.0
        for batch in _batches(rows, plan.batch, chance):
            for group, share in zip(optimizer.param_groups, shares, strict=True):
                group["lr"] = plan.rate * share * min((step + 1) / (_WARM * total), 1) * (1 - step / total)
            right = torch.tensor([labels[n] for n in batch], device=reader.device)
            with sdpa_kernel(SDPBackend.MATH):  # on a CPU the backward pass of the others takes a third of the time
                lost += _stepped(network, optimizer, reader.tensors([rows[n] for n in batch]), right)
            step += 1
            if step > (1 - plan.average) * total:
                mean.take()
            if step % 50 == 0:
                _LOG.info("step %d of %d, %.0f s", step, total, time.monotonic() - since)
        _LOG.info("epoch %d, loss %.4f, %.0f s", epoch + 1, lost * plan.epochs / total, time.monotonic() - since)
    mean.put()
    return network.eval()


class _Mean:
    """Average what is trained of a network over the steps at which it is taken (Izmailov et al. 2018)."""

    def __init__(self, network: Network) -> None:
        self._parts = [part for part in network.parameters() if part.requires_grad]
        self._sums: list[Tensor] = []
        self._count = 0

    @torch.no_grad()
    def take(self) -> None:
        """Take in the weights as they are now."""
        self._sums = self._sums or [torch.zeros_like(part) for part in self._parts]
        self._count += 1
        for total, part in zip(self._sums, self._parts, strict=True):
            total.add_(part)

    @torch.no_grad()
    def put(self) -> None:
        """Let the network have the mean; with nothing taken it stays as it is."""
        for total, part in zip(self._sums, self._parts, strict=False):
            part.copy_(total / self._count)


def save(network: Network, file: Path) -> None:
    """Write what was trained as safetensors in float16, in BERT's names, for ``Reader``."""
    part = file.with_suffix(".part")
    save_file({_named(name): value for name, value in _changes(network)}, str(part))
    part.replace(file)


def _optimizer(network: Network) -> tuple[torch.optim.Optimizer, list[float]]:
    """Give the optimizer and the share of the learning rate of each of its groups: adapters, small parts, head."""
    groups: list[list[nn.Parameter]] = [[], [], []]
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups[2 if name.startswith("head.") else 0 if name.endswith((".A", ".B")) else 1].append(parameter)
    return torch.optim.AdamW([{"params": group} for group in groups], lr=1.0, weight_decay=0.01), [1.0, 0.3, 2.0]


def _stepped(network: Network, optimizer: torch.optim.Optimizer, inputs: Sequence[Tensor], labels: Tensor) -> float:
    loss = functional.cross_entropy(network(*inputs), labels, label_smoothing=_SMOOTHING)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_([p for p in network.parameters() if p.requires_grad], _CLIP)
    optimizer.step()
    return float(loss.detach())


def _batches(rows: Sequence[Sequence[int]], size: int, chance: random.Random) -> Iterator[list[int]]:
    """Give batches of rows of like length, in random order."""
    order = list(range(len(rows)))
    chance.shuffle(order)
    found = []
    for start in range(0, len(order), size * 16):
        near = sorted(order[start : start + size * 16], key=lambda n: len(rows[n]))
        found += [near[n : n + size] for n in range(0, len(near), size)]
    chance.shuffle(found)
    yield from found


def _go_on(network: Network, file: Path) -> None:
    kept = adapters(file)
    for name, value in network.named_parameters():
        if value.requires_grad:
            found = kept.get(_named(name))
            if found is None or found.shape != value.shape:
                raise WeightsError(f"{file} holds no {_named(name)} of shape {tuple(value.shape)}: train without it")
            value.data.copy_(found)


def _changes(network: Network) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            yield name, parameter.detach().half().cpu().contiguous()


def _named(name: str) -> str:
    if not name.startswith("layers."):
        return name
    _, number, part, kind = name.split(".")
    return f"encoder.layer.{number}.{_NAMES[part]}.{kind}"
