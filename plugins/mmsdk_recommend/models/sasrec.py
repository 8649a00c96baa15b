"""SASRec: self-attention over the history predicts what comes next (Kang and McAuley 2018), with full softmax.

Cross-entropy over all items instead of sampled negatives, which is what makes it strong (Klenitskiy and Vasilev
2023). Items start from the factors of how often they follow each other closely (positive pointwise mutual information,
Levy and Goldberg 2014), and their biases from how often they occur, so that few epochs are enough. It knows the order
of items, and nothing of their times or content. Runs on CPU and GPU.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds
from torch import Tensor, nn
from torch.nn import functional

from mmsdk_recommend.interactions import Floats, Histories
from mmsdk_recommend.models.protocol import Arrays, Contributions, Corpus, Target, single

_LOGITS = 2**22
"""Logits held at a time: 16 MiB; the C library maps what is larger anew each time, which costs more than computing."""
_WINDOWS = 4
"""Windows of each history an epoch: the longest histories do not outweigh all others."""
_NEAR = 5


class _Block(nn.Module):
    def __init__(self, dimension: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.before, self.after = nn.LayerNorm(dimension), nn.LayerNorm(dimension)
        self.asked, self.mixed = nn.Linear(dimension, 3 * dimension), nn.Linear(dimension, dimension)
        self.wide, self.narrow = nn.Linear(dimension, 4 * dimension), nn.Linear(4 * dimension, dimension)

    def forward(self, x: Tensor) -> Tensor:
        rows, length, dimension = x.shape
        parts = self.asked(self.before(x)).view(rows, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        seen = functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], dropout_p=dropout, is_causal=True)
        mixed = self.mixed(seen.transpose(1, 2).reshape(rows, length, dimension))
        x = x + functional.dropout(mixed, self.dropout, self.training)
        thought = self.narrow(functional.gelu(self.wide(self.after(x))))
        return x + functional.dropout(thought, self.dropout, self.training)


class _Network(nn.Module):
    """Turn items ``[rows, length]`` (0 pads, at the end) into what is expected next ``[rows, length, dimension]``."""

    def __init__(self, items: int, options: dict[str, Any]) -> None:
        super().__init__()
        dimension, dropout = options["dimension"], options["dropout"]
        self.items = nn.Embedding(items + 1, dimension)
        self.places = nn.Embedding(options["length"], dimension)
        self.blocks = nn.ModuleList(_Block(dimension, options["heads"], dropout) for _ in range(options["blocks"]))
        self.bias = nn.Parameter(torch.zeros(items))
        self.norm, self.dropout = nn.LayerNorm(dimension), dropout
        for table in (self.items, self.places):
            nn.init.normal_(table.weight, std=dimension**-0.5)

    def forward(self, sequences: Tensor) -> Tensor:
        places = self.places.weight[: sequences.shape[1]]
        x = functional.dropout(self.items(sequences) + places, self.dropout, self.training)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """Score all items; ``[..., items]``."""
        return hidden @ self.items.weight[1:].T + self.bias


class SASRec:
    """Score what comes next after the last ``length`` items of a history.

    ``device="auto"`` takes a GPU when there is one. Equal seed, data and machine give equal weights.

    >>> model = SASRec(dimension=8, heads=1, epochs=1)
    >>> model.fit(Corpus(Histories.of([[0, 1, 2], [1, 2, 0]], width=3)))
    >>> model.score(Histories.of([[0, 1]], width=3)).shape
    (1, 3)
    """

    def __init__(self, dimension: int = 64, *, epochs: int = 10, dropout: float = 0.3, **options: Any) -> None:
        known = {"length": 50, "blocks": 2, "heads": 2, "rate": 1e-3, "device": "auto"}
        if set(options) - set(known):
            raise TypeError(f"unknown: {', '.join(sorted(set(options) - set(known)))}")
        self.options = {"dimension": dimension, "epochs": epochs, "dropout": dropout, **known, **options}
        self._network: _Network | None = None

    def get_params(self) -> dict[str, Any]:
        """Give the parameters."""
        return dict(self.options)

    def fit(self, corpus: Corpus) -> None:
        """Train."""
        with torch.random.fork_rng():
            torch.manual_seed(corpus.seed)
            network = _Network(corpus.histories.width, self.options)
            _start(network, corpus.histories)
            network = network.to(self.device).train()
            self._train(network, corpus.histories, np.random.default_rng(corpus.seed))
        self._network = network.eval()

    @property
    def device(self) -> str:
        """Where it runs."""
        chosen = str(self.options["device"])
        return ("cuda" if torch.cuda.is_available() else "cpu") if chosen == "auto" else chosen

    def score(self, histories: Histories) -> Floats:
        """Score all items as the next; 0 for all after an empty history."""
        out = np.zeros((len(histories), histories.width), np.float32)
        for rows, hidden in self._expected(histories):
            with torch.inference_mode():
                out[rows] = self._fitted().logits(hidden).float().cpu().numpy()
        return out

    def item_vectors(self) -> Floats:
        """Give the item vectors, and their biases as the last dimension."""
        network = self._fitted()
        with torch.inference_mode():
            found = torch.cat([network.items.weight[1:], network.bias[:, None]], dim=1)
        return np.asarray(found.cpu().numpy())

    def vectors(self, histories: Histories) -> Floats:
        """Give what is expected next, with 1 for the bias; zeros for an empty history."""
        out = np.zeros((len(histories), self.options["dimension"] + 1), np.float32)
        for rows, hidden in self._expected(histories):
            out[rows] = np.pad(hidden.float().cpu().numpy(), ((0, 0), (0, 1)), constant_values=1)
        return out

    def _expected(self, histories: Histories) -> Iterator[tuple[np.ndarray[Any, np.dtype[np.int64]], Tensor]]:
        """Give rows with what the network expects after them, 256 at a time, empty ones left out."""
        network, length = self._fitted(), self.options["length"]
        some = np.flatnonzero(histories.lengths)
        for start in range(0, len(some), 256):
            rows = some[start : start + 256]
            sequences = [histories.row(row)[-length:] + 1 for row in rows]
            last = torch.tensor([len(row) - 1 for row in sequences], device=self.device)
            with torch.inference_mode():
                hidden = network(_padded(sequences).to(self.device))[torch.arange(len(rows)), last]
            yield rows, hidden

    def contributions(self, history: Histories, target: Target) -> Contributions:
        """Give the whole score as one: attention does not split into the items of a history."""
        value = float(self.score(single(history))[0] @ target)
        return Contributions(np.zeros(len(history.items)), {"sequence": value})

    def arrays(self) -> Arrays:
        """Give the weights."""
        return {name: value.cpu().numpy() for name, value in self._fitted().state_dict().items()}

    def restore(self, arrays: Arrays) -> None:
        """Take the weights."""
        network = _Network(len(arrays["items.weight"]) - 1, self.options)
        network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in arrays.items()})
        self._network = network.to(self.device).eval()

    def _fitted(self) -> _Network:
        if self._network is None:
            raise ValueError("this model is not fitted")
        return self._network

    def _train(self, network: _Network, of: Histories, random: np.random.Generator) -> None:
        size = max(1, min(64, _LOGITS // (self.options["length"] * (of.width + 1))))
        windows = int(np.minimum(np.ceil(of.lengths / self.options["length"]) + 1, _WINDOWS).sum())
        steps = max(1, self.options["epochs"] * (windows // size + 2))
        optimizer = torch.optim.AdamW(network.parameters(), lr=self.options["rate"], weight_decay=0.01)
        plan = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.options["rate"], total_steps=steps, pct_start=0.15)
        for _ in range(self.options["epochs"]):
            for batch in _batches(of, self.options["length"], size, random=random):
                sequences = _padded(batch).to(self.device)
                wanted = sequences[:, 1:] > 0
                if not wanted.any():
                    continue
                hidden = network(sequences[:, :-1])[wanted]
                loss = functional.cross_entropy(network.logits(hidden), sequences[:, 1:][wanted] - 1)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                if plan.last_epoch < steps - 1:
                    plan.step()


def _batches(
    of: Histories, length: int, size: int, *, random: np.random.Generator
) -> Iterator[list[np.ndarray[Any, np.dtype[np.int64]]]]:
    """Cut every history into windows, at other places each time, and give them mixed; items count from 1."""
    windows = []
    for number in range(len(of)):
        row = of.row(number) + 1
        first = int(random.integers(1, length + 1)) if len(row) > length else len(row)
        cuts = [0, *range(first, len(row), length), len(row)]
        pairs = list(pairwise(cuts))
        chosen = random.choice(len(pairs), min(len(pairs), _WINDOWS), replace=False)
        windows += [row[max(0, pairs[place][0] - 1) : pairs[place][1]] for place in chosen]
    order = random.permutation(len(windows))
    for start in range(0, len(order), size):
        yield [windows[place] for place in order[start : start + size]]


def _padded(rows: list[np.ndarray[Any, np.dtype[np.int64]]]) -> Tensor:
    out = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for place, row in enumerate(rows):
        out[place, : len(row)] = row
    return torch.from_numpy(out)


def _start(network: _Network, of: Histories) -> None:
    """Start items from the factors of their co-occurrence within a few places."""
    counts = np.bincount(of.items, minlength=of.width).astype(np.float64)
    pairs = []
    for step in range(1, _NEAR + 1):
        same = of.rows[:-step] == of.rows[step:]
        pairs.append(np.stack([of.items[:-step][same], of.items[step:][same]]))
    first, second = np.concatenate(pairs, axis=1)
    both = csr_matrix((np.ones(len(first)), (first, second)), shape=(of.width, of.width))
    both = (both + both.T).tocoo()
    size = min(network.items.weight.shape[1], of.width - 1)
    sums = np.maximum(np.asarray(both.sum(axis=1)).ravel(), 1)
    gain = np.log(
        np.maximum(both.data * sums.sum() / (sums[both.row] * sums[both.col] ** 0.75 * sums.sum() ** 0.25), 1)
    )
    if size > 0 and gain.any():  # else nothing is taken together more often than by chance
        found = csr_matrix((gain, (both.row, both.col)), shape=both.shape)
        left, values, _ = svds(found, k=size, rng=0)
        vectors = left * np.sqrt(np.maximum(values, 0))
        vectors /= max(float(np.sqrt((vectors**2).sum(axis=1).mean())), 1e-9)
        with torch.no_grad():
            network.items.weight[1:, :size] = torch.from_numpy(vectors).float()
    with torch.no_grad():
        network.bias.copy_(torch.from_numpy(np.log((counts + 0.5) / max(counts.mean(), 1e-9))))
