"""Train a tagger on annotated sentences; what is chosen is chosen on held-out folds, or on sentences kept for it.

For each fold a network learns from the others and predicts it. From those predictions the judge of relations learns,
and the least probability of a relation and what is added to the score of no entity are chosen; then the tagger learns
from all sentences. The rest of the plan is fixed and was found on the training part of CoNLL04.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mmsdk.errors import InputError
from mmsdk.settings import Settings
from mmsdk_graph import parses
from mmsdk_graph.annotations import Entity, Relation, Sentence
from mmsdk_graph.features import Lexicon
from mmsdk_graph.network import Batch, Network, Pairs, Row, read_below
from mmsdk_graph.scores import prf, relation_key, relation_keys, score
from mmsdk_graph.tagger import Labels, Reading, Tagger, blank, candidates, pair, surer
from mmsdk_graph.verdicts import Judge, learnt, traits

_LOG = logging.getLogger(__name__)
_LATIN = 0.5  # share of tokens in Latin letters from which English marks are worth having
_OUTSIDE = (-1.0, -0.5, 0.0, 0.5)
_SURE = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
_LEAST = tuple(round(0.02 * n, 2) for n in range(1, 50))


@dataclass(frozen=True)
class Plan:
    """Say how to train: passes over the data, learning rates of body and heads, and the usual numbers."""

    epochs: int = 8
    rate: float = 3e-4
    head_rate: float = 1e-3
    decay: float = 0.9
    batch: int = 8
    pairs: int = 48
    folds: int = 5
    seed: int = 0


def train(
    sentences: Sequence[Sentence],
    dev: Sequence[Sentence] | None = None,
    *,
    plan: Plan = Plan(),
    settings: Settings | None = None,
    progress: Callable[[str], None] = _LOG.info,
) -> tuple[Tagger, dict[str, Any]]:
    """Train on sentences and choose on ``dev``, or without it on held-out folds of the sentences.

    Gives the tagger and what there is to know about its training: the plan and the figures where it chose; ``progress``
    is told of every epoch.
    Raises ``InputError`` when there are no entities.
    """
    settings = settings or Settings.load()
    flat, left_out = _flattened(sentences)
    labels = Labels.of(flat, _signals(flat, settings))
    held: list[tuple[Tagger, Sequence[Sentence]]] = []

    def fitted(some: Sequence[Sentence], about: str, plan: Plan = plan) -> Tagger:
        return fit(some, labels, plan=plan, settings=settings, progress=lambda said: progress(f"{about}, {said}"))

    for number, part in enumerate(_folds(len(flat), plan), 1):
        kept = set(part)
        rest = [s for n, s in enumerate(flat) if n not in kept]
        seeded = replace(plan, seed=plan.seed + number - 1)  # what is chosen is not chosen for one seed
        held.append((fitted(rest, f"fold {number} of {plan.folds}", seeded), [sentences[n] for n in part]))
    tagger = fitted(flat, "all sentences")
    about: dict[str, Any] = {"plan": asdict(plan), "sentences": len(flat), "overlapping_left_out": left_out}
    if held:
        labels, figures = _chosen(labels, held)
        tagger.reading.labels = labels
    if dev is not None:
        labels, figures = _chosen(labels, [(tagger, dev)])
    if held or dev is not None:
        about["chosen_on"] = f"{len(dev)} sentences kept for it" if dev is not None else f"{plan.folds} held-out folds"
        about["held_out"] = figures
    tagger.reading.labels = labels
    return tagger, about


def _folds(count: int, plan: Plan) -> list[list[int]]:
    """Give the places of the sentences of each fold; of too few sentences no fold."""
    if count < 2 * plan.folds:
        return []
    order = np.random.default_rng(plan.seed).permutation(count)
    return [part.tolist() for part in np.array_split(order, plan.folds)]


def fit(
    sentences: Sequence[Sentence],
    labels: Labels,
    *,
    plan: Plan,
    settings: Settings,
    progress: Callable[[str], None] = _LOG.info,
) -> Tagger:
    """Train one tagger, with nothing held out."""
    torch.manual_seed(plan.seed)
    reading = Reading(labels, Lexicon.of(sentences), settings)
    network = blank(labels, settings)
    rows = read_below(network.pack(), reading.rows(sentences, own=True))
    lessons = _Lessons(sentences, rows, labels=labels, plan=plan)
    groups = _groups(network.unpack(), plan)
    optimizer = torch.optim.AdamW([{"params": group, "lr": 0.0} for group, _ in groups], weight_decay=0.01, fused=True)
    total, step, begun = plan.epochs * -(-len(rows) // plan.batch), 0, time.monotonic()
    for epoch in range(plan.epochs):
        lost = 0.0
        for lesson in lessons.epoch():
            for group, (_, rate) in zip(optimizer.param_groups, groups, strict=True):
                group["lr"] = rate * min((step + 1) / (0.1 * total), 1.0) * (1 - step / total)
            lost += _step(network, optimizer, lesson)
            step += 1
        progress(f"epoch {epoch + 1} of {plan.epochs}: loss {lost:.3f}, {time.monotonic() - begun:.0f} s")
    return Tagger(network, reading)


@dataclass(frozen=True)
class _Lesson:
    batch: Batch
    pairs: Pairs
    tags: Tensor
    relations: Tensor
    allowed: Tensor


class _Lessons:
    """Make batches with their labels."""

    def __init__(self, sentences: Sequence[Sentence], rows: Sequence[Row], *, labels: Labels, plan: Plan) -> None:
        self.sentences, self.rows, self.labels, self.plan = sentences, rows, labels, plan
        self.tags = [_tags(sentence, labels) for sentence in sentences]
        self.chance = random.Random(plan.seed)  # noqa: S311
        marks = [2 * min(len(candidates(s.entities, labels)), plan.pairs) for s in sentences]
        self.sizes = [len(row.pieces) + count for row, count in zip(rows, marks, strict=True)]

    def epoch(self) -> Iterator[_Lesson]:
        """Give every sentence once, in random order."""
        for batch in _batches(self.sizes, self.plan.batch, self.chance):
            yield self._lesson(batch)

    def _lesson(self, batch: Sequence[int]) -> _Lesson:
        found, targets, allowed = [], [], []
        for number in batch:
            sentence, labels = self.sentences[number], self.labels
            kinds: dict[tuple[int, int], set[str]] = {}
            for relation in sentence.relations:
                kinds.setdefault((relation.head, relation.tail), set()).add(relation.type)
            places = self._places(sentence, kinds)
            pairs = [pair(sentence.entities[h], sentence.entities[t], labels) for h, t in places]
            targets += [[name in kinds.get(place, ()) for name in labels.relations] for place in places]
            allowed += [labels.allowed[one.kinds] for one in pairs]
            found.append(pairs)
        rows = [self.rows[number] for number in batch]
        shape = (-1, max(len(self.labels.relations), 1))
        return _Lesson(
            Batch.of(rows),
            Pairs.of(rows, found),
            torch.tensor([tag for number in batch for tag in self.tags[number]]),
            torch.tensor(targets, dtype=torch.float32).reshape(shape),
            torch.tensor(np.array(allowed), dtype=torch.bool).reshape(shape),
        )

    def _places(self, sentence: Sentence, kinds: Mapping[tuple[int, int], set[str]]) -> list[tuple[int, int]]:
        """Give the candidate pairs; of very many those with a relation and some of the others."""
        places = candidates(sentence.entities, self.labels)
        if len(places) <= self.plan.pairs:
            return places
        shuffled = self.chance.sample(places, len(places))
        return sorted(shuffled, key=lambda place: place not in kinds)[: self.plan.pairs]


def _step(network: Network, optimizer: torch.optim.Optimizer, lesson: _Lesson) -> float:
    tags, relations = network(lesson.batch, lesson.pairs)
    loss = functional.cross_entropy(tags, lesson.tags)
    if lesson.allowed.any():
        wrong = functional.binary_cross_entropy_with_logits(relations, lesson.relations, reduction="none")
        loss = loss + wrong[lesson.allowed].mean()
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())


def _groups(network: Network, plan: Plan) -> list[tuple[list[nn.Parameter], float]]:
    """Give parameters with their learning rates: the lower a layer, the less it is changed."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        parts = name.split(".")
        if not parameter.requires_grad:
            continue
        rate = plan.head_rate
        if parts[0] == "layers":
            rate = plan.rate * plan.decay ** (5 - int(parts[1]))
        elif parts[0] == "sparse":
            rate = 3 * plan.head_rate
        groups.setdefault(rate, []).append(parameter)
    return [(group, rate) for rate, group in groups.items()]


def _batches(sizes: Sequence[int], count: int, chance: random.Random) -> Iterator[list[int]]:
    """Give batches of ``count`` rows of like size, in random order."""
    order = sorted(range(len(sizes)), key=lambda n: (sizes[n] + chance.randrange(16), chance.random()))
    batches = [order[n : n + count] for n in range(0, len(order), count)]
    chance.shuffle(batches)
    yield from batches


def _tags(sentence: Sentence, labels: Labels) -> list[int]:
    numbers = {tag: number for number, tag in enumerate(labels.tags)}
    found = [0] * len(sentence.tokens)
    for e in sentence.entities:
        inside = ["U"] if e.end - e.start == 1 else ["B", *"I" * (e.end - e.start - 2), "L"]
        found[e.start : e.end] = [numbers[f"{part}-{e.type}"] for part in inside]
    return found


def _flattened(sentences: Sequence[Sentence]) -> tuple[list[Sentence], int]:
    """Give sentences without entities that overlap a longer one, and how many those were."""
    found, left_out = [], 0
    for sentence in sentences:
        taken = [False] * len(sentence.tokens)
        kept: list[int] = []
        for n in sorted(range(len(sentence.entities)), key=lambda n: _size(sentence.entities[n])):
            e = sentence.entities[n]
            if not any(taken[e.start : e.end]):
                taken[e.start : e.end] = [True] * (e.end - e.start)
                kept.append(n)
        kept.sort()
        left_out += len(sentence.entities) - len(kept)
        places = {old: new for new, old in enumerate(kept)}
        relations = [
            replace(r, head=places[r.head], tail=places[r.tail])
            for r in sentence.relations
            if r.head in places and r.tail in places and r.head != r.tail
        ]
        found.append(replace(sentence, entities=tuple(sentence.entities[n] for n in kept), relations=tuple(relations)))
    return found, left_out


def _size(entity: Entity) -> tuple[int, int]:
    return entity.start - entity.end, entity.start


def _signals(sentences: Sequence[Sentence], settings: Settings) -> list[str]:
    tokens = [token for sentence in sentences for token in sentence.tokens if token[0].isalpha()]
    latin = sum(token[0].isascii() for token in tokens)
    return parses.signals(settings) if latin > _LATIN * max(len(tokens), 1) else ["O"]


def _chosen(labels: Labels, held: Sequence[tuple[Tagger, Sequence[Sentence]]]) -> tuple[Labels, dict[str, Any]]:
    """Choose what does best for entities and relations together on what was held out; give labels and figures.

    Of several folds, each is judged by what the others taught; of one, by the judge that there is.
    """
    trials = [replace(labels, outside=outside) for outside in _OUTSIDE]
    read = [_folds_of(tagger, sentences, trials) for tagger, sentences in held]
    gold = [sentence for _, sentences in held for sentence in sentences]
    best, found = -1.0, (labels, dict[str, Any]())
    for trial, folds in zip(trials, zip(*read, strict=True), strict=True):
        judges = [_judge([*folds[:n], *folds[n + 1 :]], trial) for n in range(len(folds))]
        judged = [s for fold, judge in zip(folds, judges, strict=True) for s in fold.judged(judge)]
        threshold, related = _least(gold, judged)
        sure = max(_SURE, key=lambda least: _entities(gold, related, least))
        figures = score(gold, [surer(sentence, sure) for sentence in related])
        total = figures["entities"]["f1"] + figures["relations"]["f1"]
        if total > best:
            judge = _judge(folds, trial) if len(folds) > 1 else trial.judge
            taught = replace(trial, threshold=threshold, sure=sure, weights=judge.weights, biases=judge.biases)
            best, found = total, (taught, figures)
    return found


def _folds_of(tagger: Tagger, sentences: Sequence[Sentence], trials: Sequence[Labels]) -> "list[_Fold]":
    """Predict sentences under each of several labels; they are read once."""
    found = [_Fold(list(sentences), [()] * len(sentences)) for _ in trials]
    for read in tagger.read(sentences):
        for trial, fold in zip(trials, found, strict=True):
            tagged = read.tagged(sentences, trial)
            some = _Fold.of([sentences[n] for n in read.numbers], tagged, tagger.chances(tagged, read))
            for number, sentence, right in zip(read.numbers, some.tagged, some.right, strict=True):
                fold.tagged[number], fold.right[number] = sentence, right
    return found


@dataclass(frozen=True)
class _Fold:
    """Hold sentences as predicted, with every candidate, and whether each candidate is right."""

    tagged: list[Sentence]
    right: list[Sequence[bool]]

    @classmethod
    def of(
        cls, gold: Sequence[Sentence], tagged: Sequence[Sentence], chances: Iterable[tuple[int, Relation]]
    ) -> "_Fold":
        found: list[list[Relation]] = [[] for _ in tagged]
        for number, relation in chances:
            found[number].append(relation)
        filled = [replace(s, relations=tuple(r)) for s, r in zip(tagged, found, strict=True)]
        keys = [relation_keys(sentence) for sentence in gold]
        both = zip(filled, keys, strict=True)
        right: list[Sequence[bool]] = [[relation_key(s, r) in known for r in s.relations] for s, known in both]
        return cls(filled, right)

    def judged(self, judge: Judge) -> list[Sentence]:
        return [replace(s, relations=tuple(judge.judged(s.entities, s.relations))) for s in self.tagged]


def _judge(folds: Sequence[_Fold], labels: Labels) -> Judge:
    """Learn from folds; of none, give the judge that there is."""
    sentences = [s for fold in folds for s in fold.tagged if s.relations]
    if not sentences:
        return labels.judge
    right = np.array([each for fold in folds for some in fold.right for each in some], bool)
    told = np.concatenate([traits(s.entities, s.relations) for s in sentences])
    return learnt(told, [r.type for s in sentences for r in s.relations], right, relations=labels.relations)


def _entities(gold: Sequence[Sentence], related: Sequence[Sentence], least: float) -> float:
    """Give the F1 of entities when those that stand in no relation must be as probable as ``least``."""
    return float(score(gold, [surer(sentence, least) for sentence in related])["entities"]["f1"])


def _least(gold: Sequence[Sentence], judged: Sequence[Sentence]) -> tuple[float, list[Sentence]]:
    """Choose the least probability of a relation, where its neighbours do well too; give the sentences, too."""

    def related(least: float) -> list[Sentence]:
        return [replace(s, relations=tuple(r for r in s.relations if r.probability >= least)) for s in judged]

    f1 = []
    keys = [relation_keys(sentence) for sentence in gold]
    for least in _LEAST:
        said = [relation_keys(sentence) for sentence in related(least)]
        right = sum(len(a & b) for a, b in zip(keys, said, strict=True))
        f1.append(prf(right, sum(map(len, said)), sum(map(len, keys)))["f1"])
    smooth = np.convolve(np.pad(f1, 2, mode="edge"), np.full(5, 0.2), "valid")  # a single height is often chance
    threshold = _LEAST[int(smooth.argmax())]
    return threshold, related(threshold)


def plan_for(epochs: int | None, seed: int) -> Plan:
    """Give the plan with another number of epochs or seed."""
    return Plan(seed=seed) if epochs is None else Plan(epochs=epochs, seed=seed)


def train_files(train_file: str | Path, dev_file: str | Path | None, out: str | Path, **options: Any) -> dict[str, Any]:
    """Train on a file, write the tagger to a folder, and give what ``train`` tells about it."""
    from mmsdk_graph.annotations import read

    path = Path(out)
    if path.is_file():
        raise InputError(f"{path} is a file; --out is the folder to write the model to")
    tagger, about = train(read(train_file), read(dev_file) if dev_file else None, **options)
    tagger.save(path, about)
    return about
