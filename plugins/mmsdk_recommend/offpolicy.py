"""What another way of recommending would have earned, from what was shown, clicked, and how likely it was to be shown.

Inverse propensity scoring (Horvitz and Thompson 1952) is unbiased where every item had a chance; its self-normalised
form (Swaminathan and Joachims 2015) trades a little bias for much less variance. Neither says anything about items that
exploration never showed.
"""

from collections.abc import Sequence

import numpy as np

from mmsdk.errors import InputError
from mmsdk.evaluation import Estimate, mean


def ips(rewards: Sequence[float], propensities: Sequence[float], target: Sequence[float]) -> Estimate:
    """Estimate the mean reward of a target policy by inverse propensity scoring.

    One value a logged showing: its reward, the probability of showing it then, and the probability under the target.

    >>> ips([1.0, 0.0], [0.5, 0.5], [1.0, 0.0]).value
    1.0
    """
    reward, ratio = _checked(rewards, propensities, target)
    return mean((reward * ratio).tolist())


def snips(rewards: Sequence[float], propensities: Sequence[float], target: Sequence[float]) -> Estimate:
    """Estimate the mean reward of a target policy, normalised by the weights; the interval resamples showings.

    >>> snips([1.0, 0.0, 1.0], [0.5, 0.5, 0.25], [1.0, 1.0, 0.0]).value
    0.5
    """
    reward, ratio = _checked(rewards, propensities, target)
    if not ratio.any():
        raise InputError("the target policy would have shown nothing of what was logged: nothing can be estimated")
    random = np.random.default_rng(0)
    value = float((reward * ratio).sum() / ratio.sum())
    found = []
    for _ in range(1000):
        chosen = random.integers(0, len(ratio), len(ratio))
        total = ratio[chosen].sum()
        if total > 0:
            found.append(float((reward[chosen] * ratio[chosen]).sum() / total))
    low, high = np.quantile(found, [0.025, 0.975])
    return Estimate(value, float(low), float(high))


def effective(propensities: Sequence[float], target: Sequence[float]) -> float:
    """Give the effective number of showings (Kish): how many the weighted ones are worth."""
    _, ratio = _checked([0.0] * len(target), propensities, target)
    return float(ratio.sum() ** 2 / max((ratio**2).sum(), 1e-12))


def _checked(
    rewards: Sequence[float], propensities: Sequence[float], target: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    reward, logged, wanted = (np.asarray(values, np.float64) for values in (rewards, propensities, target))
    if not len(reward) == len(logged) == len(wanted) or not len(reward):
        raise InputError(f"{len(reward)} rewards, {len(logged)} propensities, {len(wanted)} targets: give as many")
    if not ((logged > 0) & (logged <= 1)).all() or not ((wanted >= 0) & (wanted <= 1)).all():
        raise InputError("propensities are in (0, 1] and targets in [0, 1]; showings without propensity cannot be used")
    return reward, wanted / logged
