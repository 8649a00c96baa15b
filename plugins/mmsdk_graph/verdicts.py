"""Weigh a relation by more than the network's word: how sure its entities are, and what competes for them.

The weights are learnt by logistic regression on predictions for sentences that were not trained on, so that wrong
entities and rival relations are met as they will be met. It knows neither words nor vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmsdk_graph.annotations import Entity, Relation

TRAITS = 7
_RIDGE = 0.1
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
        scores = traits(entities, relations)[:, : len(self.weights)] @ np.array(self.weights)  # models before had fewer
        scores += np.array([biases.get(r.type, 0.0) for r in relations])
        return [replace(r, probability=float(p)) for r, p in zip(relations, 1 / (1 + np.exp(-scores)), strict=True)]


def traits(entities: Sequence[Entity], relations: Sequence[Relation]) -> NDArray[np.float64]:
    """Give ``[relations, TRAITS]``: log-odds, then probabilities.

    Log-odds are its own, of head, of tail, of the best other with its head, with its tail; the probabilities are its
    own, and that it and both its ends are right. ``relations`` are all candidates of a sentence.
    """
    chances, sure = (np.array([each.probability for each in some], float) for some in (relations, entities))
    own, ends = _odds(chances), _odds(sure)
    heads, tails = ([getattr(r, end) for r in relations] for end in ("head", "tail"))
    if not relations:
        return np.zeros((0, TRAITS))
    joint = chances * sure[heads] * sure[tails]
    return np.stack([own, ends[heads], ends[tails], _rival(own, heads), _rival(own, tails), chances, joint], 1)


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


def _odds(chances: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    kept = np.clip(np.array(chances, float), _LEAST, 1 - _LEAST)
    odds: NDArray[np.float64] = np.log(kept / (1 - kept))
    return odds


def _rival(own: NDArray[np.float64], ends: Sequence[int]) -> NDArray[np.float64]:
    """Give for each the best of the others with the same end; the least there is where there is no other."""
    same = np.equal.outer(ends, ends) & ~np.eye(len(ends), dtype=bool)
    found: NDArray[np.float64] = np.where(same, own, _odds([0.0])).max(1, initial=-np.inf)
    return found
