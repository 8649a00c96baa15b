"""Read entities and relations of sentences at once: all-MiniLM-L6-v2, its upper layers fine-tuned, with two heads.

The lower layers stay as they are, so what they give for a sentence is computed once. Words are tagged (BILOU) from the
vectors of their first piece, spaCy's vector and hashed features. Each candidate pair of entities is two markers behind
the text that begin as the entities' first pieces, see the text and each other, and are not seen by it (after Zhong and
Chen 2021, https://arxiv.org/abs/2010.12812); from their vectors, the entities' and what stands between, the relations
are judged. The network is written out because no library lets markers be attended to like that.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from mmsdk import weights
from mmsdk.encoders.batching import packed
from mmsdk.encoders.bert import filled, laid_out, linear
from mmsdk.encoders.text import native_half
from mmsdk.settings import Settings
from mmsdk_graph.features import BUCKETS, SHAPES

BODY = "all-MiniLM-L6-v2"
"""The pinned model whose upper layers are fine-tuned."""
WIDTH, HEADS, LAYERS, LENGTH = 384, 12, 6, 480
KEPT, SHOWN = 4, 2
"""How many layers from below stay as they are, and from which lower one tags are read too."""
SPACY = 96
BUDGET = 2048
"""Tokens of a batch."""
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
    below: Tensor | None = None

    @property
    def size(self) -> int:
        """How many tokens it is, both marks included."""
        return len(self.pieces) + 2

    def bounds(self) -> tuple[list[int], list[int]]:
        """Give where each word's pieces begin and end, counted from the start mark."""
        begins: list[int] = []
        ends: list[int] = []
        for place, word in enumerate(self.words, 1):
            if word == len(begins):
                begins.append(place)
                ends.append(place)
            ends[word] = place + 1
        return begins, ends


@dataclass(frozen=True)
class Batch:
    """Hold rows as tensors, one behind another: ``[tokens]``, and of ``features`` a bag for each word.

    ``there`` says which of ``[rows, longest]`` are tokens; ``firsts`` are the words' first pieces.
    """

    ids: Tensor
    shapes: Tensor
    signals: Tensor
    vectors: Tensor
    there: Tensor
    firsts: Tensor
    below: Tensor | None
    features: Tensor
    offsets: Tensor

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Batch":
        """Put rows behind one another."""
        lengths = torch.tensor([row.size for row in rows])
        begins = (lengths.cumsum(0) - lengths).tolist()
        bags = [features for row in rows for features in row.features]
        nothing = np.zeros((1, SPACY), np.float32)
        vectors = [part for row in rows for part in (nothing, row.vectors[list(row.words)], nothing)]
        found = [row.below for row in rows if row.below is not None]

        def by_piece(values: Sequence[Sequence[int]]) -> Tensor:
            both = zip(rows, values, strict=True)
            return torch.tensor([n for row, some in both for n in (0, *(some[word] + 1 for word in row.words), 0)])

        return cls(
            ids=torch.tensor([piece for row in rows for piece in (101, *row.pieces, 102)]),
            shapes=by_piece([row.shapes for row in rows]),
            signals=by_piece([row.signals for row in rows]),
            vectors=torch.from_numpy(np.concatenate(vectors)),
            there=torch.arange(int(lengths.max()))[None] < lengths[:, None],
            firsts=torch.tensor([begin + n for begin, row in zip(begins, rows, strict=True) for n in row.bounds()[0]]),
            below=torch.cat(found).float() if len(found) == len(rows) else None,
            features=torch.tensor([feature for bag in bags for feature in bag], dtype=torch.long),
            offsets=torch.tensor([0, *map(len, bags)]).cumsum(0)[:-1],
        )


@dataclass(frozen=True)
class Pairs:
    """Hold the candidates of a batch: number of the row, place in it, pieces of head and tail, and their types."""

    rows: Tensor
    slots: Tensor
    spans: Tensor
    kinds: Tensor

    @classmethod
    def of(cls, rows: Sequence[Row], pairs: Sequence[Sequence[Pair]]) -> "Pairs":
        """Look up the pieces of the words of each row's pairs."""
        table: list[tuple[int, ...]] = []
        start = 0
        for number, (row, some) in enumerate(zip(rows, pairs, strict=True)):
            begins, ends = row.bounds() if some else ([], [])
            for slot, pair in enumerate(some):
                places = [n for a, b in (pair.head, pair.tail) for n in (start + begins[a], start + ends[b - 1])]
                table.append((number, slot, *places, *pair.kinds))
            start += row.size
        found = torch.tensor(table, dtype=torch.long).reshape(-1, 8)
        return cls(found[:, 0], found[:, 1], found[:, 2:6].reshape(-1, 2, 2), found[:, 6:])


@dataclass(frozen=True)
class Text:
    """Hold what the upper layers made of a batch: what enters them, what pairs see of it in each, and what leaves."""

    entering: Tensor
    seen: Sequence[tuple[Tensor, Tensor]]
    there: Tensor
    states: Tensor


def _attended(
    joined: Tensor, there: Tensor, mask: Tensor, more: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Attend among tokens, ``there`` of ``[rows, longest]``, given queries, keys and values ``[tokens, 3 * WIDTH]``.

    ``more`` are keys and values that are seen too, before the own. ``mask`` is true where one may see another. Gives
    ``[tokens, WIDTH]`` and the own keys and values.
    """
    padded = joined.new_zeros(*there.shape, joined.shape[1])
    padded[there] = joined
    query, key, value = padded.view(*there.shape, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
    keys, values = (
        (key, value) if more is None else (torch.cat([a, b], 2) for a, b in zip(more, (key, value), strict=True))
    )
    seen = functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
    return seen.transpose(1, 2)[there].flatten(1), (key, value)


class Layer(nn.Module):
    """One layer of the transformer, in the names of BERT."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.query, self.key, self.value, self.mixed = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.mixed_norm, self.norm = nn.LayerNorm(WIDTH, eps=1e-12), nn.LayerNorm(WIDTH, eps=1e-12)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.dropout = nn.Dropout(dropout)

    def forward(self, state: Tensor, *where: Any) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Map ``[tokens, WIDTH]`` to the same shape; ``where`` goes to ``attended``. Gives keys and values, too."""
        seen, kept = _attended(torch.cat([self.query(state), self.key(state), self.value(state)], 1), *where)
        state = self.mixed_norm(state + self.dropout(self.mixed(seen)))
        normed: Tensor = self.norm(state + self.dropout(self.down(functional.gelu(self.up(state)))))
        return normed, kept


class Packed:
    """A layer as it is asked once it is trained: weights in one precision and laid out for the processor."""

    def __init__(self, layer: Layer, dtype: torch.dtype) -> None:
        def packed(*parts: nn.Linear) -> tuple[Tensor, Tensor]:
            weight, bias = (
                torch.cat([getattr(p, name).detach() for p in parts]).to(dtype) for name in ("weight", "bias")
            )
            return laid_out(weight), bias

        self.dtype, self.layer = dtype, layer
        self.joined = packed(layer.query, layer.key, layer.value)
        self.mixed, self.up, self.down = packed(layer.mixed), packed(layer.up), packed(layer.down)

    def __call__(self, state: Tensor, *where: Any) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Do what ``Layer.forward`` does, without dropout."""
        count = len(state)
        rows = state.new_zeros(filled(count), state.shape[1], dtype=self.dtype)
        rows[:count] = state
        seen, kept = _attended(linear(rows, *self.joined)[:count].float(), *where)
        rows[:count] = seen
        state = self.layer.mixed_norm(linear(rows, *self.mixed)[:count] + state)
        rows[:count] = state
        return self.layer.norm(linear(linear(rows, *self.up, gelu=True), *self.down)[:count] + state), kept


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
        self.steps: Sequence[Callable[..., tuple[Tensor, tuple[Tensor, Tensor]]]] = list(self.layers)

    @torch.no_grad()
    def below(self, batch: Batch) -> Tensor:
        """Give the states ``[tokens, 2 * WIDTH]`` of two of the layers that stay as they are."""
        places = (batch.there.cumsum(1) - 1)[batch.there]
        state = self.norm(self.words(batch.ids) + self.places(places))
        mask, shown = batch.there[:, None, None, :], state
        for number, layer in enumerate(self.steps[:KEPT], 1):
            state, _ = layer(state, batch.there, mask)
            shown = state if number == SHOWN else shown
        return torch.cat([shown, state], 1)

    def forward(self, batch: Batch, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Give the logits of tags ``[words, tags]`` and of relations ``[pairs, relations]``."""
        tags, text = self.read(batch)
        return tags, self.relate(text, pairs)

    def read(self, batch: Batch) -> tuple[Tensor, Text]:
        """Give the logits of tags ``[words, tags]``, and what pairs need."""
        below = self.below(batch) if batch.below is None else batch.below
        shown = self.shapes(batch.shapes) + self.signals(batch.signals) + self.spacy(batch.vectors)
        state = entering = self.dropout(below[:, WIDTH:] + shown)
        mask, seen = batch.there[:, None, None, :], []
        for layer in self.steps[KEPT:]:
            state, kept = layer(state, batch.there, mask)
            seen.append(kept)
        state = self.dropout(state)
        kept = self.wide_dropout(torch.cat([below[batch.firsts], batch.vectors[batch.firsts]], 1))
        tags = self.tag(torch.cat([state[batch.firsts], kept], 1))
        tags = tags + self.dropout(self.sparse(batch.features, batch.offsets))
        return tags, Text(entering, seen, batch.there, state)

    def relate(self, text: Text, pairs: Pairs) -> Tensor:
        """Give the logits of relations ``[pairs, relations]``: two markers a pair see the text and each other."""
        if not len(pairs.rows):
            return text.states.new_zeros(0, self.relation.out_features)
        roles = torch.arange(2)
        state = self.markers(pairs.kinds + roles * self.kinds) + text.entering[pairs.spans[:, :, 0]]
        where = pairs.rows[:, None].expand(-1, 2), 2 * pairs.slots[:, None] + roles
        there = torch.zeros(len(text.there), 2 * int(pairs.slots.max()) + 2, dtype=torch.bool)
        there[where] = True
        same = torch.arange(there.shape[1]) // 2
        own = (same[:, None] == same).expand(len(there), -1, -1)
        mask = torch.cat([text.there[:, None].expand(-1, len(same), -1), own], 2)[:, None]
        state = state.flatten(0, 1)
        for layer, seen in zip(self.steps[KEPT:], text.seen, strict=True):
            state, _ = layer(state, there, mask, seen)
        first, last = pairs.spans.unbind(1)
        between = torch.stack([torch.minimum(first[:, 1], last[:, 1]), torch.maximum(first[:, 0], last[:, 0])], 1)
        pooled = _highest(text.states, torch.stack([first, last, between], 1).flatten(0, 1))
        told = torch.cat([self.dropout(state).view(-1, 2 * WIDTH), pooled.view(-1, 3 * WIDTH)], 1)
        logits: Tensor = self.relation(self.dropout(functional.gelu(self.joined(told))))
        return logits

    def pack(self) -> "Network":
        """Be asked only from now on: faster, and in bfloat16 where the processor has it."""
        half = native_half(torch.device("cpu"))
        self.steps = [Packed(layer, half or torch.float32) for layer in self.layers if isinstance(layer, Layer)]
        return self.eval()

    def unpack(self) -> "Network":
        """Be trained from now on."""
        self.steps = list(self.layers)
        return self.train()

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
    if sum(row.size for row in rows) > _KEEP:
        return list(rows)
    found = list(rows)
    for batch in packed([row.size for row in rows], BUDGET):
        states = (
            network.below(Batch.of([rows[n] for n in batch])).half().split_with_sizes([rows[n].size for n in batch])
        )
        for number, state in zip(batch, states, strict=True):
            found[number] = replace(rows[number], below=state.clone())
    return found


def _highest(states: Tensor, spans: Tensor) -> Tensor:
    """Give the greatest of each component over each span ``[begin, end)``, 0 where it is empty."""
    lengths = (spans[:, 1] - spans[:, 0]).clamp(min=0)
    starts = torch.repeat_interleave(spans[:, 0] - lengths.cumsum(0) + lengths, lengths)
    places = starts + torch.arange(len(starts))
    highest = torch.segment_reduce(states[places], "max", lengths=lengths, axis=0, unsafe=True)
    return torch.where(lengths[:, None] > 0, highest, 0.0)


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
