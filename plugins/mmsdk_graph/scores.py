"""Scores of extraction: strict and partial micro-F1 of entities and relations, with support per type.

Strict follows Taillé et al. 2020 (https://arxiv.org/abs/2009.10684): an entity is right with its span and type, a
relation with its type and both entities right. Partial: an entity is right when it overlaps one of its type.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from mmsdk_graph.annotations import Entity, Relation, Sentence

Counts = tuple[int, int, int]


def prf(right: int, predicted: int, gold: int) -> dict[str, float]:
    """Give precision, recall and F1; what has nothing to divide by is 0."""
    precision = right / predicted if predicted else 0.0
    recall = right / gold if gold else 0.0
    f1 = 2 * right / (predicted + gold) if right else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}


def score(gold: Sequence[Sentence], predicted: Sequence[Sentence]) -> dict[str, Any]:
    """Give ``entities`` and ``relations``, each with precision, recall, f1, counts, ``partial`` and ``types``."""
    pairs = list(zip(gold, predicted, strict=True))
    return {
        "sentences": len(pairs),
        "entities": _scored(pairs, entity_keys, _partial_entities),
        "relations": _scored(pairs, relation_keys, _partial_relations),
    }


def entity_keys(sentence: Sentence) -> set[tuple[Any, ...]]:
    """Give what strict scoring compares of entities; the type is the first."""
    return {(e.type, e.start, e.end) for e in sentence.entities}


def relation_keys(sentence: Sentence) -> set[tuple[Any, ...]]:
    """Give what strict scoring compares of relations; the type is the first."""
    return {relation_key(sentence, relation) for relation in sentence.relations}


def relation_key(sentence: Sentence, relation: Relation) -> tuple[Any, ...]:
    """Give what strict scoring compares of one relation."""
    return relation.type, sentence.entities[relation.head].key, sentence.entities[relation.tail].key


def _scored(
    pairs: Sequence[tuple[Sentence, Sentence]],
    keys: Callable[[Sentence], set[tuple[Any, ...]]],
    partial: Callable[[Sentence, Sentence], int],
) -> dict[str, Any]:
    sets = [(keys(gold), keys(predicted)) for gold, predicted in pairs]
    counts = _counts(sets)
    result: dict[str, Any] = {**prf(*counts), "right": counts[0], "predicted": counts[1], "gold": counts[2]}
    found = sum(partial(predicted, gold) for gold, predicted in pairs)
    reached = sum(partial(gold, predicted) for gold, predicted in pairs)
    precision, recall = found / max(counts[1], 1), reached / max(counts[2], 1)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    result["partial"] = {"precision": precision, "recall": recall, "f1": f1}
    names = sorted({key[0] for pair in sets for side in pair for key in side})
    result["types"] = {}
    for name in names:
        some = _counts([({k for k in a if k[0] == name}, {k for k in b if k[0] == name}) for a, b in sets])
        result["types"][name] = {**prf(*some), "gold": some[2]}
    return result


def _counts(sets: Iterable[tuple[set[Any], set[Any]]]) -> Counts:
    both = list(sets)
    return sum(len(a & b) for a, b in both), sum(len(b) for _, b in both), sum(len(a) for a, _ in both)


def _overlap(one: Entity, other: Entity) -> bool:
    return one.type == other.type and one.start < other.end and other.start < one.end


def _partial_entities(of: Sentence, among: Sentence) -> int:
    return sum(any(_overlap(one, other) for other in among.entities) for one in set(of.entities))


def _partial_relations(of: Sentence, among: Sentence) -> int:
    def meets(one: Hashable, other: Hashable) -> bool:
        return one == other

    return sum(
        any(
            meets(r.type, s.type)
            and _overlap(of.entities[r.head], among.entities[s.head])
            and _overlap(of.entities[r.tail], among.entities[s.tail])
            for s in among.relations
        )
        for r in set(of.relations)
    )
