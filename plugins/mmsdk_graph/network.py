"""Read entities and relations of sentences at once: all-MiniLM-L6-v2, its upper layers fine-tuned, with two heads.

The lower layers stay as they are, so what they give for a sentence is computed once. Words are tagged (BILOU) from the
vectors of their first piece, spaCy's vector and hashed features. Each candidate pair of entities is two markers behind
the text that begin as the entities' first pieces, see the text and each other, and are not seen by it (after Zhong and
Chen 2021, https://arxiv.org/abs/2010.12812); from their vectors, the entities' and what stands between, the relations
are judged. The network is written out because no library lets markers be attended to like that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from mmsdk import weights
from mmsdk.encoders.batching import packed
from mmsdk.settings import Settings
from mmsdk_graph.features import BUCKETS, SHAPES

BODY = "all-MiniLM-L6-v2"
"""The pinned model whose upper layers are fine-tuned."""
WIDTH, HEADS, LAYERS, LENGTH = 384, 12, 6, 480
KEPT, SHOWN = 4, 2
"""How many layers from below stay as they are, and from which lower one tags are read too."""
SPACY = 96
_BUDGET = 4096  # pieces of a batch
_KEEP = 1_000_000  # pieces; 1.5 GB
Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Pair:
    """Hold a candidate: word spans and type numbers of head and tail."""

    head: tuple[int, int]
    tail: tuple[int, int]
    kinds: tuple[int, int]


@dataclass(frozen=True)
class Row:
    """Hold a sentence as the network reads it: pieces with the word each belongs to, and features of the words.

    ``vectors`` is float32 ``[words, SPACY]``, zeros without spaCy; ``below`` is what the lower layers give for it.
    """

    pieces: Sequence[int]
    words: Sequence[int]
    shapes: Sequence[int]
    signals: Sequence[int]
    features: Sequence[Sequence[int]]
    vectors: NDArray[np.float32]
    pairs: Sequence[Pair] = ()
    below: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """Hold rows as tensors; ``firsts`` are places of first pieces, ``heads`` and ``tails`` spans of pieces of pairs."""

    ids: Tensor
    shapes: Tensor
    signals: Tensor
    there: Tensor
    firsts: Tensor
    vectors: Tensor
    below: Tensor | None
    features: Tensor
    offsets: Tensor
    pair_rows: Tensor
    pair_slots: Tensor
    heads: Tensor
    tails: Tensor
    kinds: Tensor

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Batch":
        """Pad rows; of each word the first piece is ``firsts`` in the flattened [n, tokens]."""
        longest = max(len(row.pieces) for row in rows) + 2
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        shapes, signals = ids.clone(), ids.clone()
        vectors = torch.zeros(len(rows), longest, SPACY)
        firsts: list[int] = []
        pairs: list[tuple[int, ...]] = []
        for number, row in enumerate(rows):
            ids[number, : len(row.pieces) + 2] = torch.tensor([101, *row.pieces, 102])
            for name, target in (("shapes", shapes), ("signals", signals)):
                values = getattr(row, name)
                target[number, 1 : len(row.pieces) + 1] = torch.tensor([values[word] + 1 for word in row.words])
            vectors[number, 1 : len(row.pieces) + 1] = torch.from_numpy(row.vectors)[list(row.words)]
            begins, ends = _bounds(row)
            firsts += [number * longest + begin for begin in begins]
            for slot, pair in enumerate(row.pairs):
                spans = [place for one in (pair.head, pair.tail) for place in (begins[one[0]], ends[one[1] - 1])]
                pairs.append((number, slot, *spans, *pair.kinds))
        table = torch.tensor(pairs, dtype=torch.long).reshape(-1, 8)
        bags = [features for row in rows for features in row.features]
        offsets = torch.tensor([0, *map(len, bags)]).cumsum(0)[:-1]
        flat = torch.tensor([feature for bag in bags for feature in bag], dtype=torch.long)
        there = torch.arange(longest)[None] < torch.tensor([len(row.pieces) + 2 for row in rows])[:, None]
        columns = (table[:, 0], table[:, 1], table[:, 2:4], table[:, 4:6], table[:, 6:8])
        found = [row.below for row in rows if row.below is not None]
        below = pad_sequence(found, batch_first=True).float() if len(found) == len(rows) else None
        return cls(ids, shapes, signals, there, torch.tensor(firsts), vectors, below, flat, offsets, *columns)


def _bounds(row: Row) -> tuple[list[int], list[int]]:
    """Give where each word's pieces begin and end, counted from the start mark."""
    begins: list[int] = []
    ends: list[int] = []
    for place, word in enumerate(row.words, 1):
        if word == len(begins):
            begins.append(place)
            ends.append(place)
        ends[word] = place + 1
    return begins, ends


class Layer(nn.Module):
    """One layer of the transformer, in the names of BERT."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.query, self.key, self.value, self.mixed = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.mixed_norm, self.norm = nn.LayerNorm(WIDTH, eps=1e-12), nn.LayerNorm(WIDTH, eps=1e-12)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.dropout = nn.Dropout(dropout)

    def forward(self, state: Tensor, mask: Tensor) -> Tensor:
        """Map ``[n, tokens, WIDTH]`` to the same shape; ``mask`` is true where one token may see another."""
        query, key, value = (
            part(state).unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)
        state = self.mixed_norm(state + self.dropout(self.mixed(seen)))
        normed: Tensor = self.norm(state + self.dropout(self.down(functional.gelu(self.up(state)))))
        return normed


class Network(nn.Module):
    """The encoder with its two heads: ``tags`` BILOU tags, ``kinds`` entity types, ``relations`` relation types."""

    def __init__(self, tags: int, kinds: int, *, relations: int, signals: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(30522, WIDTH), nn.Embedding(512, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.layers = nn.ModuleList(Layer(0.0 if n < KEPT else dropout) for n in range(LAYERS))
        self.shapes, self.signals = nn.Embedding(len(SHAPES) + 1, WIDTH), nn.Embedding(signals + 1, WIDTH)
        self.spacy, self.markers = nn.Linear(SPACY, WIDTH), nn.Embedding(2 * kinds, WIDTH)
        self.dropout, self.wide_dropout = nn.Dropout(dropout), nn.Dropout(2 * dropout)
        self.tag, self.sparse = nn.Linear(3 * WIDTH + SPACY, tags), nn.EmbeddingBag(BUCKETS, tags, mode="sum")
        self.joined, self.relation = nn.Linear(5 * WIDTH, WIDTH), nn.Linear(WIDTH, relations)
        self.kinds = kinds
        for zeroed in (self.shapes.weight, self.signals.weight, self.sparse.weight, self.spacy.weight, self.spacy.bias):
            nn.init.zeros_(zeroed)
        nn.init.normal_(self.markers.weight, std=0.05)
        for part in (self.words, self.places, self.norm, *self.layers[:KEPT]):
            part.requires_grad_(requires_grad=False)

    @torch.no_grad()
    def below(self, batch: Batch) -> Tensor:
        """Give the states ``[n, tokens, 2 * WIDTH]`` of two of the layers that stay as they are."""
        state = self.norm(self.words(batch.ids) + self.places.weight[: batch.ids.shape[1]])
        mask, shown = batch.there[:, None, None, :], state
        for number, layer in enumerate(self.layers[:KEPT], 1):
            state = layer(state, mask)
            shown = state if number == SHOWN else shown
        return torch.cat([shown, state], 2)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Give the logits of tags ``[words, tags]`` and of relations ``[pairs, relations]``."""
        length = batch.ids.shape[1]
        below = self.below(batch) if batch.below is None else batch.below
        state, mask = self._marked(below[:, :, WIDTH:], batch)
        for layer in self.layers[KEPT:]:
            state = layer(state, mask)
        state = self.dropout(state)
        text = state[:, :length]
        kept = self.wide_dropout(torch.cat([below, batch.vectors], 2).flatten(0, 1)[batch.firsts])
        tags = self.tag(torch.cat([text.flatten(0, 1)[batch.firsts], kept], 1))
        return tags + self.dropout(self.sparse(batch.features, batch.offsets)), self._related(state, text, batch)

    def _marked(self, state: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Give what enters the upper layers, text then markers, and who may see whom."""
        count, length = batch.ids.shape
        pairs = int(batch.pair_slots.max()) + 1 if len(batch.pair_slots) else 0
        text = state + self.shapes(batch.shapes) + self.signals(batch.signals) + self.spacy(batch.vectors)
        text = self.dropout(text)
        mask = batch.there[:, None, :].expand(count, length, length)
        if pairs:
            marks = text.new_zeros(count, 2 * pairs, WIDTH)
            here = torch.zeros(count, 2 * pairs, dtype=torch.bool)
            for role, spans in enumerate((batch.heads, batch.tails)):
                slots = 2 * batch.pair_slots + role
                shown = self.markers(batch.kinds[:, role] + role * self.kinds) + text[batch.pair_rows, spans[:, 0]]
                marks = marks.index_put((batch.pair_rows, slots), shown)
                here[batch.pair_rows, slots] = True
            text = torch.cat([text, marks], 1)
            pair = torch.arange(2 * pairs) // 2
            same = (pair[:, None] == pair[None, :]).expand(count, -1, -1) & here[:, None, :]
            same = same | torch.eye(2 * pairs, dtype=torch.bool)
            unseen = mask.new_zeros(count, length, 2 * pairs)
            sees = batch.there[:, None, :].expand(count, 2 * pairs, length)
            mask = torch.cat([torch.cat([mask, unseen], 2), torch.cat([sees, same], 2)], 1)
        return text, mask[:, None]

    def _related(self, state: Tensor, text: Tensor, batch: Batch) -> Tensor:
        rows, length = batch.pair_rows, text.shape[1]
        if not len(rows):
            return state.new_zeros(0, self.relation.out_features)
        marks = [state[rows, length + 2 * batch.pair_slots + role] for role in (0, 1)]
        places, seen = torch.arange(length)[None], text[rows]
        spans = [(places >= span[:, :1]) & (places < span[:, 1:]) for span in (batch.heads, batch.tails)]
        left = torch.minimum(batch.heads[:, 1], batch.tails[:, 1])[:, None]
        right = torch.maximum(batch.heads[:, 0], batch.tails[:, 0])[:, None]
        between = (places >= left) & (places < right)
        pooled = [_highest(seen, where) for where in (*spans, between)]
        logits: Tensor = self.relation(self.dropout(functional.gelu(self.joined(torch.cat([*marks, *pooled], 1)))))
        return logits

    def changes(self) -> dict[str, Tensor]:
        """Give what training changed, in float16."""
        return {
            name: value.detach().half().contiguous() for name, value in self.state_dict().items() if not is_kept(name)
        }


def is_kept(name: str) -> bool:
    """Say whether a parameter stays as the body has it."""
    parts = name.split(".")
    return parts[0] in ("words", "places", "norm") or (parts[0] == "layers" and int(parts[1]) < KEPT)


@torch.inference_mode()
def read_below(network: Network, rows: Sequence[Row]) -> list[Row]:
    """Compute once what the lower layers give, in half precision, unless that is too much to keep."""
    if sum(len(row.pieces) for row in rows) > _KEEP:
        return list(rows)
    found = list(rows)
    for batch in packed([len(row.pieces) for row in rows], _BUDGET):
        for number, state in zip(batch, network.below(Batch.of([rows[n] for n in batch])), strict=True):
            found[number] = replace(rows[number], below=state[: len(rows[number].pieces) + 2].half())
    return found


def _highest(seen: Tensor, where: Tensor) -> Tensor:
    """Give the greatest of each component over the places, 0 where there are none."""
    lowest = seen.masked_fill(~where[:, :, None], float("-inf")).amax(1)
    return torch.where(where.any(1, keepdim=True), lowest, torch.zeros_like(lowest))


def start(network: Network, settings: Settings) -> Network:
    """Give a network the weights of the pinned body; its heads stay as they are made."""
    file = weights.resolve(BODY, settings=settings) / "model.safetensors"
    source = {name.removeprefix("bert."): value.float() for name, value in load_file(file).items()}
    first = source["embeddings.position_embeddings.weight"] + source["embeddings.token_type_embeddings.weight"][0]
    state = {"words.weight": source["embeddings.word_embeddings.weight"], "places.weight": first}
    parts = {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "mixed": "attention.output.dense",
        "mixed_norm": "attention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "norm": "output.LayerNorm",
    }
    for kind in ("weight", "bias"):
        state[f"norm.{kind}"] = source[f"embeddings.LayerNorm.{kind}"]
        for number in range(LAYERS):
            for ours, theirs in parts.items():
                state[f"layers.{number}.{ours}.{kind}"] = source[f"encoder.layer.{number}.{theirs}.{kind}"]
    network.load_state_dict(state, strict=False)
    return network


@cache
def tokenizer(settings: str) -> Tokenizer:
    """Give the tokenizer of the body; ``settings`` as JSON."""
    path = weights.resolve(BODY, settings=Settings.model_validate_json(settings))
    made = Tokenizer.from_file(str(path / "tokenizer.json"))
    made.no_padding()
    made.no_truncation()
    return made
