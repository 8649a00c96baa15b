"""Popularity in time: how often an item was taken, with what lies longer ago counting less.

The least a recommender must beat. It knows nothing of who asks.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsdk_recommend.interactions import Floats, Histories
from mmsdk_recommend.models.protocol import Arrays, Contributions, Corpus, Target

_DAY = 86400.0


class Popularity:
    """Score an item by how many took it; ``half_life_days`` ago counts half.

    ``"auto"`` chooses among none, a half, an eighth and a 32nd of the time covered: what makes the last tenth of the
    interactions most likely. None, or no times: all count alike. Scores are counts divided by the largest.

    >>> model = Popularity()
    >>> model.fit(Corpus(Histories.of([[0, 1], [1], [1, 2]], width=3)))
    >>> model.score(Histories.of([[]], width=3)).argmax()
    np.int64(1)
    """

    def __init__(self, half_life_days: float | str | None = "auto") -> None:
        self.half_life_days = half_life_days
        self.scores: Floats = np.zeros(0, np.float32)

    def get_params(self) -> dict[str, Any]:
        """Give the parameters."""
        return {"half_life_days": self.half_life_days}

    def fit(self, corpus: Corpus) -> None:
        """Count."""
        of = corpus.histories
        chosen = self.half_life_days
        if chosen == "auto":
            chosen = _likeliest(of)
        counts = _counts(of, None if chosen is None else float(chosen) * _DAY)
        self.scores = (counts / max(counts.max(initial=0), 1e-9)).astype(np.float32)

    def score(self, histories: Histories) -> Floats:
        """Give everybody the same scores."""
        return np.tile(self.scores, (len(histories), 1))

    def contributions(self, history: Histories, target: Target) -> Contributions:
        """Say that the history adds nothing."""
        return Contributions(np.zeros(len(history.items)), {"popularity": float(self.scores @ target)})

    def arrays(self) -> Arrays:
        """Give the scores."""
        return {"scores": self.scores}

    def restore(self, arrays: Arrays) -> None:
        """Take the scores."""
        self.scores = arrays["scores"]


def _counts(of: Histories, half_life: float | None, *, until: float = np.inf) -> NDArray[np.float64]:
    """Count each item up to a time, each interaction weighted by its age."""
    past = of.times <= until if np.isfinite(until) else np.ones(len(of.items), bool)
    weights = np.ones(int(past.sum()))
    if half_life and len(of.items) and np.isfinite(of.times).all():
        weights = np.exp2((of.times[past] - of.times[past].max()) / half_life)
    return np.bincount(of.items[past], weights=weights, minlength=of.width).astype(np.float64)


def _likeliest(of: Histories) -> float | None:
    if len(of.items) < 100 or not np.isfinite(of.times).all():
        return None
    cut, span = np.quantile(of.times, 0.9), float(np.ptp(of.times))
    later = np.bincount(of.items[of.times > cut], minlength=of.width)
    if span <= 0 or not later.any():
        return None

    def surprise(half_life: float | None) -> float:
        counts = _counts(of, half_life, until=cut) + 1e-3
        return -float(later @ np.log(counts / counts.sum()))

    best = min((None, span / 2, span / 8, span / 32), key=surprise)
    return None if best is None else best / _DAY
