"""How good lists are: accuracy for each user, and what lists do to items, variety and interests.

Relevance is binary. Ranks are over all items (Krichene and Rendle 2020: sampled metrics mislead). ``nan`` marks a user
for whom a measure is not defined. Nothing here knows how lists were made.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mmsdk_recommend.interactions import Floats, Numbers

Figures = NDArray[np.float64]


def accuracy(lists: Numbers, truth: Sequence[Numbers], k: int = 10) -> dict[str, Figures]:
    """Measure each list against the items its user took; ``lists`` is ``[users, n >= 2k]``, -1 where there is none.

    NDCG, HR, MRR, MAP and precision at ``k``, recall at ``k`` and 2 ``k``; each float64 ``[users]``, nan for a user
    who took nothing. Ideal gain and average precision are normalised by min(k, relevant), recall by all relevant.

    >>> found = accuracy(np.array([[3, 1]]), [np.array([1])], k=1)
    >>> found["HR@1"].tolist(), found["recall@2"].tolist()
    ([0.0], [1.0])
    """
    hits = np.array([np.isin(row, wanted) for row, wanted in zip(lists, truth, strict=True)], bool)
    hits = hits.reshape(lists.shape) & (lists >= 0)
    counts = np.array([len(np.unique(wanted)) for wanted in truth])
    first = hits[:, :k]
    gains = 1 / np.log2(np.arange(2, first.shape[1] + 2))
    ideal = np.concatenate([[0.0], np.cumsum(gains)])[np.minimum(counts, len(gains))]
    ranks = np.arange(1, first.shape[1] + 1)
    precision = np.cumsum(first, axis=1) / ranks
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            f"NDCG@{k}": (first @ gains) / ideal,
            f"HR@{k}": first.any(axis=1).astype(np.float64),
            f"MRR@{k}": (first / ranks).max(axis=1, initial=0.0),
            f"MAP@{k}": (precision * first).sum(axis=1) / np.minimum(counts, k),
            f"precision@{k}": first.sum(axis=1) / k,
            f"recall@{k}": first.sum(axis=1) / counts,
            f"recall@{2 * k}": hits[:, : 2 * k].sum(axis=1) / counts,
        }
    return {name: np.where(counts > 0, value, np.nan) for name, value in found.items()}


def coverage(lists: Numbers, items: int) -> float:
    """Measure the share of all items that any list shows, in [0, 1]."""
    return len(np.unique(lists[lists >= 0])) / items


def gini(lists: Numbers, items: int) -> float:
    """Measure how unequally items are shown, in [0, 1): 0 when all are shown equally often."""
    shown = np.sort(np.bincount(lists[lists >= 0], minlength=items)).astype(np.float64)
    total = shown.sum()
    if not total:
        return 0.0
    return float((2 * np.arange(1, items + 1) - items - 1) @ shown / (items * total))


def novelty(lists: Numbers, counts: Numbers, users: int) -> Figures:
    """Measure the mean surprise of each list in bits: minus the logarithm of the share of users who took an item.

    An item that nobody took counts as if one had (Zhou et al. 2010).
    """
    surprise = -np.log2(np.maximum(counts, 1) / users)
    return _mean(np.where(lists >= 0, surprise[lists], np.nan))


def popularity_lift(lists: Numbers, histories: Sequence[Numbers], counts: Numbers) -> Figures:
    """Measure how much more popular a list is than its user's history, as a share: 0 for equally popular."""
    own = np.array([counts[row].mean() if len(row) else np.nan for row in histories])
    return np.asarray(_mean(np.where(lists >= 0, counts[lists], np.nan)) / own - 1)


def variety(lists: Numbers, content: Floats) -> Figures:
    """Measure the mean distance (1 - cosine) of the pairs of each list by content, in [0, 2]: intra-list diversity."""
    found = np.full(len(lists), np.nan)
    for place, row in enumerate(lists):
        chosen = content[row[row >= 0]]
        chosen = chosen[np.abs(chosen).sum(axis=1) > 0]
        if len(chosen) > 1:
            total = float((chosen.sum(axis=0) ** 2).sum()) - float((chosen**2).sum())
            found[place] = 1 - total / (len(chosen) * (len(chosen) - 1))
    return found


def calibration(lists: Numbers, histories: Sequence[Numbers], labels: Floats) -> Figures:
    """Measure how far the mix of labels of a list is from that of the history: Kullback-Leibler, smoothed (Steck 2018).

    ``labels`` is ``[items, labels]``, rows summing to 1 or 0; 0 is a list of the same mix.
    """
    found = np.full(len(lists), np.nan)
    for place, (row, history) in enumerate(zip(lists, histories, strict=True)):
        own, shown = labels[history].sum(axis=0), labels[row[row >= 0]].sum(axis=0)
        if own.sum() > 0 and shown.sum() > 0:
            p, q = own / own.sum(), shown / shown.sum()
            q = 0.99 * q + 0.01 * p
            some = p > 0
            found[place] = float((p[some] * np.log(p[some] / q[some])).sum())
    return found


def shares(values: Sequence[Sequence[str]]) -> Floats:
    """Turn the labels of items, such as their genres, into rows that sum to 1; float32 ``[items, labels]``."""
    places: Mapping[str, int] = {name: n for n, name in enumerate(sorted({one for row in values for one in row}))}
    found = np.zeros((len(values), len(places)), np.float32)
    for number, row in enumerate(values):
        for name in row:
            found[number, places[name]] += 1 / len(row)
    return found


def _mean(values: Figures) -> Figures:
    count = np.isfinite(values).sum(axis=1)
    return np.where(count > 0, np.nansum(values, axis=1) / np.maximum(count, 1), np.nan)
