"""Weigh a relation by more than the network's word: how sure its entities are, and what competes for them.

The weights are learnt by logistic regression on predictions for sentences that were not trained on, so that wrong
entities and rival relations are met as they will be met. It knows neither words nor vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmsdk_graph.annotations import Entity, Relation

TRAITS = 5
_RIDGE = 1.0
_STEPS = 50
_LEAST = 1e-4


@dataclass(frozen=True)
class Judge:
    """Hold the weights of the traits and a bias for each type of relation.

    Without others, a relation is as probable as the network says.
    """

    relations: tuple[str, ...]
    weights: tuple[float, ...] = (1.0, *(0.0,) * (TRAITS - 1))
    biases: tuple[float, ...] = ()

    def judged(self, entities: Sequence[Entity], relations: Sequence[Relation]) -> list[Relation]:
        """Give the relations of one sentence with the probabilities that they have by all traits."""
        biases = dict(zip(self.relations, self.biases, strict=False))
        scores = traits(entities, relations) @ np.array(self.weights)
        scores += np.array([biases.get(r.type, 0.0) for r in relations])
        return [replace(r, probability=float(p)) for r, p in zip(relations, 1 / (1 + np.exp(-scores)), strict=True)]


def traits(entities: Sequence[Entity], relations: Sequence[Relation]) -> NDArray[np.float64]:
    """Give log-odds ``[relations, TRAITS]``: its own, of head, of tail, of the best other with its head, with its tail.

    ``relations`` are all candidates of a sentence.
    """
    own = _odds([r.probability for r in relations])
    ends = _odds([e.probability for e in entities])
    heads, tails = [r.head for r in relations], [r.tail for r in relations]
    columns = own, ends[heads], ends[tails], _rival(own, heads), _rival(own, tails)
    return np.stack(columns, 1) if relations else np.zeros((0, TRAITS))


def learnt(
    told: NDArray[np.float64], kinds: Sequence[str], right: NDArray[np.bool_], *, relations: tuple[str, ...]
) -> Judge:
    """Fit a judge to traits ``[n, TRAITS]`` of relations of ``kinds`` and whether they were right (Newton's method)."""
    if not right.any():
        return Judge(relations)
    types = np.array([[kind == name for name in relations] for kind in kinds], float)
    x, weights = np.hstack([told, types]), np.zeros(TRAITS + len(relations))
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-x @ weights))
        slope = x.T @ (chance - right) + _RIDGE * weights
        curve = (x * (chance * (1 - chance))[:, None]).T @ x + _RIDGE * np.eye(len(weights))
        step = np.linalg.solve(curve, slope)
        weights -= step
        if np.abs(step).max() < 1e-6:
            break
    return Judge(relations, tuple(weights[:TRAITS].tolist()), tuple(weights[TRAITS:].tolist()))


def _odds(chances: Sequence[float]) -> NDArray[np.float64]:
    kept = np.clip(np.array(chances, float), _LEAST, 1 - _LEAST)
    odds: NDArray[np.float64] = np.log(kept / (1 - kept))
    return odds


def _rival(own: NDArray[np.float64], ends: Sequence[int]) -> NDArray[np.float64]:
    """Give for each the best of the others with the same end; the least there is where there is no other."""
    best: dict[int, list[float]] = {}
    for odds, end in zip(own.tolist(), ends, strict=True):
        best[end] = sorted([*best.get(end, [float(_odds([0.0])[0])] * 2), odds])[-2:]
    found = [best[end][0] if odds == best[end][1] else best[end][1] for odds, end in zip(own, ends, strict=True)]
    return np.array(found)
