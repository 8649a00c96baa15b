"""How the weights of the hybrid are learned: interactions held out, candidates, and a search that improves nDCG@10.

Everything is decided on held-out parts of what the hybrid is fitted on; no test data comes near. Nothing here knows
which components there are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mmsdk_recommend.interactions import Floats, Histories, Numbers
from mmsdk_recommend.models.cold import ColdMap
from mmsdk_recommend.models.protocol import Corpus
from mmsdk_recommend.ranking import top

Holdout = Literal["auto", "last", "random", "both"]
_USERS, _SCORES = 2000, 2e7
_CANDIDATES, _K = 100, 10
_STEPS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
_GAIN = 1.002
"""A change must improve by this factor; smaller gains are noise."""
_BALANCE = 3.0
"""How often a gain in the second way of holding out counts against one in the first."""
_STRICT = 50.0
"""How often what the second way lacks against its best single component counts besides."""


@dataclass(frozen=True, eq=False)
class Held:
    """Hold what was held out: ``rows`` are users, ``targets`` lists of (row, item) pairs, one a way of holding out."""

    rows: Numbers
    targets: tuple[tuple[Numbers, Numbers], ...]


def hold_out(of: Histories, how: Holdout, seed: int) -> tuple[Histories, Held]:
    """Take a tenth, at least one, of each history of at least five away: the last, random ones, or a tenth of each.

    ``auto`` is both where times are known, else random ones.
    """
    if how == "auto":
        how = "both" if np.isfinite(of.times).all() else "random"
    random = np.random.default_rng(seed)
    back = of.starts[1:][of.rows] - 1 - np.arange(len(of.items))
    length = of.lengths[of.rows]
    tenth, long = np.maximum(1, length // 10), length >= 5
    last = long & (back < tenth)
    order = np.lexsort((random.random(len(of.items)), last & (how == "both"), of.rows))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - of.starts[of.rows[order]]
    by_chance = long & (place < tenth)
    taken = {"last": [last], "random": [by_chance], "both": [last, by_chance]}[how]
    keep = ~np.any(taken, axis=0)
    inner = of.kept(keep)
    targets = tuple(_unseen(of.rows[mask], of.items[mask], inner) for mask in taken)
    rows = np.unique(np.concatenate([rows for rows, _ in targets]))
    most = int(max(50, min(_USERS, _SCORES / max(of.width, 1))))
    if len(rows) > most:
        rows = np.sort(random.choice(rows, most, replace=False))
    return inner, Held(rows, targets)


def learn(standardised: Callable[[Histories], Mapping[str, Floats]], inner: Histories, held: Held) -> dict[str, float]:
    """Give the weights of components under which held-out interactions rank best; ``standardised`` scores histories.

    Where two ways of holding out were used, gains in both count, and the second must not fall below what its best
    single component reaches: weights for what comes next alone can halve what is found of what is missing.
    """
    labels: list[str] = []
    known = np.bincount(inner.items, minlength=inner.width) > 0
    values, items = [], []
    for start in range(0, len(held.rows), 128):
        rows = held.rows[start : start + 128]
        scores = standardised(inner.take(rows))
        labels = list(scores)
        chosen, found = _candidates(list(scores.values()), inner.take(rows), known)
        values.append(found)
        items.append(chosen)
    pool = _Pool(np.concatenate(values), np.concatenate(items), held, inner.width)
    return dict(zip(labels, search(pool.ndcg, len(labels)), strict=True))


class _Pool:
    """Hold candidates of each user with their scores ``[users, candidates, components]``, -inf where one is none."""

    def __init__(self, values: Floats, items: Numbers, held: Held, width: int) -> None:
        self.there = np.isfinite(values[:, :, 0])
        self.values = np.where(self.there[:, :, None], values, np.float32(0))
        keys = held.rows[:, None] * width + items
        self.hits = [np.isin(keys, rows * width + wanted) & self.there for rows, wanted in held.targets]
        self.counts = [
            np.bincount(np.searchsorted(held.rows, rows[np.isin(rows, held.rows)]), minlength=len(held.rows))
            for rows, _ in held.targets
        ]

    def ndcg(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give nDCG@10 of each user for each way of holding out; ``[ways, users]``, NaN for one with nothing held."""
        total = np.where(self.there, self.values @ weights.astype(np.float32), -np.inf)
        best = top(total, _K)
        return np.array(
            [_ndcg(np.take_along_axis(hit, best, 1), count) for hit, count in zip(self.hits, self.counts, strict=True)]
        )


def _candidates(scores: list[Floats], histories: Histories, known: NDArray[np.bool_]) -> tuple[Numbers, Floats]:
    """Give the best items of each component, and all scores of them; seen and new items and doubles are -inf."""
    seen = histories.binary
    rows = np.repeat(np.arange(len(histories)), np.diff(seen.indptr))
    for one in scores:
        one[:, ~known] = -np.inf
        one[rows, seen.indices] = -np.inf
    items = np.sort(np.concatenate([top(one, _CANDIDATES) for one in scores], axis=1), axis=1)
    values = np.stack([np.take_along_axis(one, items, 1) for one in scores], axis=2)
    values[:, 1:][items[:, 1:] == items[:, :-1]] = -np.inf
    return items, values


def search(measure: Callable[[NDArray[np.float64]], NDArray[np.float64]], count: int) -> list[float]:
    """Give weights by climbing from the best single component, one at a time.

    ``measure`` gives what weights reach for each user, ``[ways, users]``. With one way a change must gain more than its
    standard error: less is noise. With two a gain of 0.2 % is taken: what one way gains by chance, the other loses.
    """
    singles = [measure(one) for one in np.eye(count)]
    norm = np.maximum(np.nanmean(singles, axis=2).max(axis=0), 1e-9)

    def worth(found: NDArray[np.float64]) -> float:
        share = np.nanmean(found, axis=1) / norm
        return float(share[0] + (_BALANCE * share[1:] - _STRICT * np.maximum(1 - share[1:], 0)).sum())

    place = int(np.argmax([worth(one) for one in singles]))
    weights, reached = np.eye(count)[place], singles[place]
    for _ in range(3):
        before = worth(reached)
        for place in range(count):
            tries = []
            for step in _STEPS:
                tried = weights.copy()
                tried[place] = step
                if tried.any():
                    tries.append((tried, measure(tried)))
            tried, found = max(tries, key=lambda one: worth(one[1]))
            gain = found[0] - reached[0]
            noise = float(np.nanstd(gain) / np.sqrt(max(np.isfinite(gain).sum(), 1)) / norm[0])
            if worth(found) > worth(reached) + max(noise if len(norm) == 1 else 0.0, _GAIN - 1):
                weights, reached = tried, found
        if worth(reached) <= before:
            break
    return [float(weight) for weight in weights]


def _ndcg(hits: NDArray[np.bool_], counts: Numbers) -> NDArray[np.float64]:
    """Give nDCG of each row; NaN where nothing is wanted."""
    gains = 1 / np.log2(np.arange(2, _K + 2))[: hits.shape[1]]
    ideal = np.concatenate([[0.0], np.cumsum(gains)])[np.minimum(counts, len(gains))]
    found = np.full(len(counts), np.nan)
    np.divide(hits @ gains, ideal, out=found, where=counts > 0)
    return found


def _unseen(rows: Numbers, items: Numbers, inner: Histories) -> tuple[Numbers, Numbers]:
    """Leave out what the rest of the history has too, and repetitions."""
    keys = np.unique(rows * inner.width + items)
    keys = keys[~np.isin(keys, inner.rows * inner.width + inner.items)]
    return keys // inner.width, keys % inner.width


@dataclass(frozen=True, eq=False)
class Pretended:
    """Hold a trial of the map: histories without some items, the scores of all items, and who took which of them.

    ``right`` is float32 ``[rows, items]``: the scores of those items as they are with the whole histories.
    """

    histories: Histories
    scores: Floats
    right: Floats
    items: Numbers
    wanted: NDArray[np.bool_]
    counts: Numbers


def pretend_cold(score: Callable[[Histories], Floats], counts: Numbers, corpus: Corpus) -> Pretended | None:
    """Treat a tenth of the known items as new; None when there are too few."""
    random = np.random.default_rng(corpus.seed)
    content = corpus.content if corpus.content is not None else np.zeros((len(counts), 1), np.float32)
    known = np.flatnonzero((counts > 0) & (np.abs(content).sum(axis=1) > 0))
    if len(known) < 30:
        return None
    items = np.sort(random.choice(known, max(5, len(known) // 10), replace=False))
    of = corpus.histories
    users = np.unique(of.rows[np.isin(of.items, items)])
    most = int(max(50, min(_USERS / 2, _SCORES / of.width)))
    if len(users) > most:
        users = np.sort(random.choice(users, most, replace=False))
    whole = of.take(users)
    without = whole.kept(~np.isin(whole.items, items))
    left = counts.copy()
    left[items] = 0
    return Pretended(without, score(without), score(whole)[:, items], items, whole.binary[:, items].toarray() > 0, left)


def learn_cold(tried: Pretended, content: Floats, nearness: Floats) -> tuple[float, float, float]:
    """Give the penalty of the map and the weight of plain nearness under which pretended items rank best, and a scale.

    The scale (least squares, at most 1) brings the sum to what the items' scores are expected to be, so that new items
    stand among known ones where they belong.
    """
    count = tried.wanted.sum(axis=1)
    best, found = -1.0, (10.0, 0.0, 1.0)
    for penalty in (1.0, 10.0, 100.0):
        mapped = ColdMap.fit(content, tried.counts, l2=penalty).filled(tried.scores.copy())[:, tried.items]
        for weight in (0.0, 0.3, 1.0, 3.0):
            total = mapped + weight * nearness[:, tried.items]
            value = float(np.nanmean(_ndcg(np.take_along_axis(tried.wanted, top(total, _K), 1), count)))
            if value > best * _GAIN:
                scale = float((total * tried.right).sum() / max(float((total**2).sum()), 1e-9))
                best, found = value, (penalty, weight, float(np.clip(scale, 0.01, 1.0)))
    return found
