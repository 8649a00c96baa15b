"""The trained tagger: entities by BILOU tags and Viterbi's path, relations between those whose types allow them.

A folder holds ``model.safetensors`` (what training changed of the body) and ``model.json``; nothing is pickled. It
tags one sentence at a time and does not see across sentences.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mmsdk.encoders.batching import packed
from mmsdk.errors import InputError, WeightsError
from mmsdk.settings import Settings
from mmsdk_graph import parses
from mmsdk_graph.annotations import Entity, Relation, Sentence
from mmsdk_graph.features import Lexicon, hashed, shape
from mmsdk_graph.network import (
    BUDGET,
    LENGTH,
    SPACY,
    Batch,
    Network,
    Pair,
    Pairs,
    Row,
    Text,
    is_kept,
    start,
    tokenizer,
)
from mmsdk_graph.verdicts import Judge

FORMAT = 1
_PAIRS = 120  # pairs of a sentence that are read at once
_GROUP = 256  # sentences that are put into batches together
_NEVER = -1e9


@dataclass(frozen=True)
class Labels:
    """Hold what can be found: entity types, relation types, and for each which types it joins, seen in training.

    ``threshold`` is the least probability of a relation, ``sure`` that of an entity in none; ``outside`` is added to
    the logit of no entity; ``weights`` and ``biases`` are those of the judge of relations.
    """

    entities: tuple[str, ...]
    relations: tuple[str, ...] = ()
    joins: tuple[tuple[str, str, str], ...] = ()
    signals: tuple[str, ...] = ("O",)
    threshold: float = 0.5
    sure: float = 0.0
    outside: float = 0.0
    weights: tuple[float, ...] = Judge(()).weights
    biases: tuple[float, ...] = ()

    @classmethod
    def of(cls, sentences: Sequence[Sentence], signals: Sequence[str]) -> "Labels":
        """Collect the types of sentences. Raises ``InputError`` when there are no entities."""
        kinds = sorted({e.type for s in sentences for e in s.entities})
        if not kinds:
            raise InputError(f"none of the {len(sentences)} sentences has an entity; there is nothing to learn")
        joins = sorted(
            {(r.type, s.entities[r.head].type, s.entities[r.tail].type) for s in sentences for r in s.relations}
        )
        return cls(tuple(kinds), tuple(sorted({j[0] for j in joins})), tuple(joins), tuple(signals))

    @property
    def judge(self) -> Judge:
        """What decides on relations."""
        return Judge(self.relations, self.weights, self.biases)

    @cached_property
    def tags(self) -> list[str]:
        """BILOU tags, ``O`` first."""
        return ["O", *(f"{part}-{kind}" for kind in self.entities for part in "BILU")]

    @cached_property
    def allowed(self) -> NDArray[np.bool_]:
        """Whether head type, tail type may have a relation: ``[kinds, kinds, relations]``."""
        table = np.zeros((len(self.entities), len(self.entities), len(self.relations)), bool)
        for name, head, tail in self.joins:
            table[self.entities.index(head), self.entities.index(tail), self.relations.index(name)] = True
        return table

    @cached_property
    def steps(self) -> NDArray[np.float64]:
        """0 where one tag may follow another, very low elsewhere; the last row and column are start and end."""
        tags = [*self.tags, "O"]
        may = [[_follows(one, other) for other in tags] for one in tags]
        return np.where(may, 0.0, _NEVER)


def _follows(one: str, other: str) -> bool:
    is_open = one[0] in "BI" and one != "O"
    continues = other[0] in "IL" and other != "O"
    return one[2:] == other[2:] if is_open and continues else is_open == continues


class Reading:
    """Turn sentences into rows of the network."""

    def __init__(self, labels: Labels, lexicon: Lexicon, settings: Settings) -> None:
        self.labels, self.lexicon, self.settings = labels, lexicon, settings
        self._signals = {name: number for number, name in enumerate(labels.signals)}

    def rows(self, sentences: Sequence[Sentence], *, own: bool = False) -> list[Row]:
        """Give rows; ``own`` says that the lexicon was made from these sentences."""
        words = [sentence.tokens for sentence in sentences]
        marks: Iterable[tuple[Sequence[str], NDArray[np.float32]]] = (
            (("O",) * len(tokens), np.zeros((len(tokens), SPACY), np.float32)) for tokens in words
        )
        if len(self._signals) > 1:
            marks = parses.marks(words, self.settings)
        encode = tokenizer(self.settings.model_dump_json()).encode_batch
        pieces = encode([list(tokens) for tokens in words], is_pretokenized=True, add_special_tokens=False)
        return [self._row(*parts, own=own) for parts in zip(sentences, marks, pieces, strict=True)]

    def _row(self, sentence: Sentence, marked: Any, encoding: Any, *, own: bool) -> Row:
        tokens, (marks, vectors) = sentence.tokens, marked
        ids, words = _whole(encoding.ids, encoding.word_ids, len(tokens))
        known = self.lexicon.marks(tokens, sentence if own else None)
        signals = [self._signals.get(mark, 0) for mark in marks]
        return Row(ids, words, [shape(token) for token in tokens], signals, hashed(tokens, known, marks), vectors)


def _whole(ids: Sequence[int], words: Sequence[int], count: int) -> tuple[list[int], list[int]]:
    """Give every word a piece, also one that the tokenizer leaves out; of a word at most 12."""
    by_word: list[list[int]] = [[] for _ in range(count)]
    for piece, word in zip(ids, words, strict=True):
        by_word[word].append(piece)
    kept = [pieces[:12] or [100] for pieces in by_word]
    return [p for pieces in kept for p in pieces], [n for n, pieces in enumerate(kept) for _ in pieces]


def candidates(entities: Sequence[Entity], labels: Labels) -> list[tuple[int, int]]:
    """Give the ordered pairs of entities whose types some relation joins."""
    places = [labels.entities.index(e.type) if e.type in labels.entities else -1 for e in entities]
    may = np.asarray(labels.allowed.any(2))
    return [
        (h, t)
        for h, one in enumerate(places)
        for t, other in enumerate(places)
        if h != t and one >= 0 and other >= 0 and may[one, other]
    ]


def pair(head: Entity, tail: Entity, labels: Labels) -> Pair:
    """Give a candidate as the network reads it."""
    kinds = (labels.entities.index(head.type), labels.entities.index(tail.type))
    return Pair((head.start, head.end), (tail.start, tail.end), kinds)


def decode(scores: NDArray[np.float32], labels: Labels) -> list[Entity]:
    """Give the entities of the best path through logits ``[words, tags]`` (Viterbi 1967) that is well-formed BILOU.

    The probability of an entity is that of all well-formed paths through it.
    """
    shifted = scores.astype(np.float64)
    shifted[:, 0] += labels.outside
    chances = shifted - np.logaddexp.reduce(shifted, axis=1, keepdims=True)
    steps, best = labels.steps, chances[0] + labels.steps[-1, :-1]
    back = []
    for row in chances[1:]:
        through = best[:, None] + steps[:-1, :-1]
        back.append(through.argmax(0))
        best = through.max(0) + row
    place = int((best + steps[:-1, -1]).argmax())
    path = [place]
    for before in reversed(back):
        place = int(before[place])
        path.append(place)
    path.reverse()
    return _spans(path, np.exp(chances), labels)


def _spans(path: Sequence[int], chances: NDArray[np.float64], labels: Labels) -> list[Entity]:
    """Give the entities of a path through chances ``[words, tags]``, as probable as all paths with them together."""
    tags, may = [labels.tags[n] for n in path], (labels.steps == 0).astype(float)
    before, after, scale = chances.copy(), np.ones_like(chances), np.ones(len(path))
    for place in range(len(path)):  # forward, backward (Rabiner 1989), each row scaled to 1
        before[place] *= before[place - 1] @ may[:-1, :-1] if place else may[-1, :-1]
        scale[place] = before[place].sum()
        before[place] /= scale[place]
    after[-1] = may[:-1, -1] / (before[-1] @ may[:-1, -1])
    for place in reversed(range(len(path) - 1)):
        after[place] = may[:-1, :-1] @ (chances[place + 1] * after[place + 1]) / scale[place + 1]
    through = chances[np.arange(len(path)), path] / scale
    found, begin = [], 0
    for place, tag in enumerate(tags):
        if tag[0] in "BU":
            begin = place
        if tag[0] in "LU":
            ends = before[begin, path[begin]] * after[place, path[place]]
            chance = min(float(ends * through[begin + 1 : place + 1].prod()), 1.0)
            found.append(Entity(begin, place + 1, tag[2:], chance))
    return found


@dataclass(frozen=True)
class Read:
    """Hold some sentences as the network has read them.

    ``numbers`` are theirs; ``scores`` are logits ``[words, tags]`` of each, ``rows`` and ``text`` what pairs need.
    """

    numbers: Sequence[int]
    rows: Sequence[Row]
    text: Text
    scores: Sequence[NDArray[np.float32]]

    def tagged(self, sentences: Sequence[Sentence], labels: Labels) -> list[Sentence]:
        """Give its sentences, of all, with the entities of the best paths."""
        both = zip(self.numbers, self.scores, strict=True)
        return [Sentence(sentences[number].tokens, tuple(decode(scores, labels))) for number, scores in both]


class Tagger:
    """Find the entities and relations of tokenised sentences, as it was trained to.

    ``Tagger.load(folder)`` reads what ``train`` wrote; ``predict`` gives the sentences with what was found.
    """

    def __init__(self, network: Network, reading: Reading) -> None:
        self.network, self.reading = network.pack(), reading

    @property
    def labels(self) -> Labels:
        """What can be found."""
        return self.reading.labels

    @classmethod
    def load(cls, folder: str | Path, *, settings: Settings | None = None) -> "Tagger":
        """Read a trained tagger. Raises ``InputError`` for no such folder and ``WeightsError`` for damaged files."""
        path, settings = Path(folder), settings or Settings.load()
        if not (path / "model.json").is_file():
            raise InputError(f"{path} holds no trained tagger; make one: mmsdk graph train --train FILE --out {path}")
        try:
            shown = json.loads((path / "model.json").read_text("utf-8"))
            if shown["format"] != FORMAT:
                raise WeightsError(f"{path} has format {shown['format']}, this mmsdk reads {FORMAT}; train it anew")
            fields: dict[str, Any] = {
                k: tuple(map(_frozen, v)) if isinstance(v, list) else v for k, v in shown["labels"].items()
            }
            labels, changes = Labels(**fields), load_file(path / "model.safetensors")
            network = blank(labels, settings)
            missing = network.load_state_dict({k: v.float() for k, v in changes.items()}, strict=False)
        except (ValueError, KeyError, TypeError, OSError, RuntimeError, SafetensorError) as error:
            raise WeightsError(f"{path} is damaged: {error}; train it anew") from error
        if missing.unexpected_keys or not all(map(is_kept, missing.missing_keys)):
            raise WeightsError(f"{path}: model.safetensors does not belong to model.json; train it anew")
        return cls(network, Reading(labels, Lexicon(shown["lexicon"]), settings))

    def save(self, folder: str | Path, about: dict[str, Any]) -> None:
        """Write it; ``about`` is kept beside it, such as the figures of the held-out folds."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        save_file(self.network.changes(), path / "model.safetensors")
        shown = {"format": FORMAT, "labels": asdict(self.labels), "lexicon": self.reading.lexicon.counts, **about}
        (path / "model.json").write_text(json.dumps(shown, ensure_ascii=False, indent=1), "utf-8")

    def predict(self, sentences: Sequence[Sequence[str]]) -> list[Sentence]:
        """Give each tokenised sentence with its entities and relations; long ones are read in pieces."""
        pieces = [piece for tokens in sentences for piece in _pieces(tokens)]
        plain = [Sentence(tuple(tokens)) for tokens, _ in pieces]
        found = [s for n in range(0, len(plain), _GROUP) for s in self._found(plain[n : n + _GROUP])]
        joined: list[Sentence] = []
        for (_, offset), sentence in zip(pieces, found, strict=True):
            joined.append(sentence) if offset == 0 else joined.append(_joined(joined.pop(), sentence, offset))
        return joined

    def _found(self, plain: Sequence[Sentence]) -> list[Sentence]:
        found = list(plain)
        for read in self.read(plain):
            related = self.related(read.tagged(plain, self.labels), read)
            for number, sentence in zip(read.numbers, related, strict=True):
                found[number] = surer(sentence, self.labels.sure)
        return found

    def read(self, sentences: Sequence[Sentence]) -> Iterator[Read]:
        """Read sentences in batches of like length, without looking for relations."""
        rows = self.reading.rows(sentences)
        for batch in packed([row.size for row in rows], BUDGET):
            some = [rows[n] for n in batch]
            with torch.inference_mode():
                tags, text = self.network.read(Batch.of(some))
            scores = tags.split_with_sizes([len(row.shapes) for row in some])
            yield Read(batch, some, text, [own.numpy() for own in scores])

    def related(self, sentences: Sequence[Sentence], read: Read) -> list[Sentence]:
        """Give the sentences of ``read``, their entities known, with the relations that are probable enough."""
        found: list[list[Relation]] = [[] for _ in sentences]
        for number, relation in self.chances(sentences, read):
            found[number].append(relation)
        labels = self.labels
        judged = [labels.judge.judged(s.entities, r) for s, r in zip(sentences, found, strict=True)]
        kept = [tuple(r for r in some if r.probability >= labels.threshold) for some in judged]
        return [replace(s, relations=r) for s, r in zip(sentences, kept, strict=True)]

    def chances(self, sentences: Sequence[Sentence], read: Read) -> Iterator[tuple[int, Relation]]:
        """Give every relation that the types allow, as probable as the network says, and its sentence's place."""
        labels = self.labels
        places = [candidates(s.entities, labels) for s in sentences]
        for begin in range(0, max(map(len, places)), _PAIRS):
            asked = [some[begin : begin + _PAIRS] for some in places]
            pairs = [
                [pair(s.entities[h], s.entities[t], labels) for h, t in some]
                for s, some in zip(sentences, asked, strict=True)
            ]
            with torch.inference_mode():
                chances = torch.sigmoid(self.network.relate(read.text, Pairs.of(read.rows, pairs))).numpy()
            ends = [(number, *place) for number, some in enumerate(asked) for place in some]
            kinds = [one.kinds for some in pairs for one in some]
            for (number, head, tail), joined, row in zip(ends, kinds, chances, strict=True):
                for which in np.flatnonzero(labels.allowed[joined]):
                    yield number, Relation(labels.relations[which], head, tail, float(row[which]))


def surer(sentence: Sentence, least: float) -> Sentence:
    """Leave out entities that stand in no relation and are less probable than ``least``."""
    joined = {end for r in sentence.relations for end in (r.head, r.tail)}
    kept = [n for n, e in enumerate(sentence.entities) if n in joined or e.probability >= least]
    places = {old: new for new, old in enumerate(kept)}
    relations = tuple(replace(r, head=places[r.head], tail=places[r.tail]) for r in sentence.relations)
    return replace(sentence, entities=tuple(sentence.entities[n] for n in kept), relations=relations)


def blank(labels: Labels, settings: Settings) -> Network:
    """Give a network for labels with the weights of the body."""
    made = Network(
        len(labels.tags), len(labels.entities), relations=max(len(labels.relations), 1), signals=len(labels.signals)
    )
    return start(made, settings)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _pieces(tokens: Sequence[str]) -> Iterator[tuple[Sequence[str], int]]:
    """Cut a sentence that is longer than the network reads; four characters a piece of a word is a safe guess."""
    begin, size = 0, 0
    for place, token in enumerate(tokens):
        weight = min(len(token), 12)
        if size + weight > LENGTH and place > begin:
            yield tokens[begin:place], begin
            begin, size = place, 0
        size += weight
    yield tokens[begin:], begin


def _joined(first: Sentence, second: Sentence, offset: int) -> Sentence:
    moved = [replace(e, start=e.start + offset, end=e.end + offset) for e in second.entities]
    count = len(first.entities)
    relations = [replace(r, head=r.head + count, tail=r.tail + count) for r in second.relations]
    return Sentence(first.tokens + second.tokens, (*first.entities, *moved), (*first.relations, *relations))
