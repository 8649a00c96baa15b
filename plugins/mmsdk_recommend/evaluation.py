"""Models beside each other on one split: full ranking, intervals over users, warm and cold apart.

Popularity and item-kNN are always in the table, so that no figure stands alone. Hyper-parameters are chosen on a split
of the training part. A report with plots is written by ``mmsdk_recommend.report``.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmsdk.errors import InputError
from mmsdk.evaluation import Estimate, mean, paired_bootstrap
from mmsdk_recommend import measures
from mmsdk_recommend.catalogue import Catalogue
from mmsdk_recommend.interactions import Floats, Histories, Numbers
from mmsdk_recommend.models.hybrid import Hybrid
from mmsdk_recommend.ranking import top
from mmsdk_recommend.recommender import Recommender
from mmsdk_recommend.splits import Split

ALWAYS = ("popularity", "item_knn")
GRIDS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "ease": [{"l2": l2} for l2 in (30.0, 100.0, 300.0, 1000.0)],
    "item_knn": [{"neighbours": n, "shrinkage": s} for n in (50, 200) for s in (0.0, 10.0, 100.0)],
    "ials": [{"factors": f, "l2": l2, "alpha": a} for f in (32, 64) for l2 in (0.1, 10.0) for a in (1.0, 10.0)],
}
"""Hyper-parameters that are tried where tuning is asked for."""


@dataclass(frozen=True, eq=False)
class Result:
    """Hold what one model reached.

    ``figures`` are measures with intervals over users; ``segments`` the same for warm users, cold users and cold items
    (ranked among themselves); ``params`` what was chosen; ``seconds`` to fit and to rank all test users.
    """

    model: str
    figures: dict[str, Estimate]
    segments: dict[str, dict[str, Estimate]]
    params: dict[str, Any]
    seconds: tuple[float, float]
    samples: dict[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Hold the results of models on one split, and how many users and items of the test are known to the training."""

    split: Split
    k: int
    results: list[Result]
    counts: dict[str, int]

    def table(self) -> pd.DataFrame:
        """Give one row a model, one column a measure, figures as values."""
        rows = [{"model": one.model, **{n: e.value for n, e in one.figures.items()}} for one in self.results]
        return pd.DataFrame(rows).set_index("model")

    def against(self, model: str, other: str, measure: str) -> Estimate:
        """Give the difference of two models over the same users, with its interval."""
        a, b = (self.result(name).samples[measure] for name in (model, other))
        both = np.isfinite(a) & np.isfinite(b)
        return paired_bootstrap(a[both].tolist(), b[both].tolist())

    def result(self, model: str) -> Result:
        """Give the result of a model. Raises ``InputError``."""
        for one in self.results:
            if one.model == model:
                return one
        raise InputError(f"{model!r} was not evaluated; there are: {', '.join(one.model for one in self.results)}")

    def to_json(self) -> dict[str, Any]:
        """Write it in the shape that ``mmsdk recommend evaluate --json`` prints."""
        return {
            "split": self.split.name,
            "about": self.split.about,
            "k": self.k,
            "counts": self.counts,
            "models": [
                {
                    "model": one.model,
                    "params": one.params,
                    "fit_seconds": round(one.seconds[0], 3),
                    "rank_seconds": round(one.seconds[1], 3),
                    "figures": _written(one.figures),
                    "segments": {name: _written(figures) for name, figures in one.segments.items()},
                }
                for one in self.results
            ],
        }


def evaluate(
    split: Split,
    models: Sequence[str | Recommender] = ("ease", "hybrid"),
    *,
    catalogue: pd.DataFrame | Catalogue | None = None,
    k: int = 10,
    labels: str | None = None,
    tune: bool = False,
) -> Evaluation:
    """Fit models on the training part and rank all items for all users of the test part.

    ``models`` are names or unfitted recommenders; ``labels`` names the metadata key for calibration, such as genres
    (a list, or text with | between); ``tune`` chooses hyper-parameters of ``GRIDS`` on a split of the training part.
    """
    named = [one for one in models if isinstance(one, str)]
    given = [one for one in models if not isinstance(one, str)]
    order = [*(name for name in ALWAYS if name not in named), *named]
    if isinstance(catalogue, pd.DataFrame):
        wanted = any(name in ("hybrid", "content") for name in [*order, *(one.name for one in given)])
        catalogue = Catalogue.from_frame(catalogue, encode=wanted)
    makers = [*(_named(name, split) for name in order), *given]
    if tune:
        makers = [tuned(maker, split.tuning, k=k) if maker.name in GRIDS else maker for maker in makers]
    results = []
    counts: dict[str, int] = {}
    for maker in makers:
        started = time.perf_counter()
        fitted = maker.fit(split.train, catalogue)
        trial = Trial(fitted, split, k)
        counts = trial.counts
        results.append(trial.result(time.perf_counter() - started, labels))
    return Evaluation(split, k, results, counts)


def tuned(maker: Recommender, split: Split, *, k: int = 10) -> Recommender:
    """Choose hyper-parameters by NDCG on a split of the training part, and give a recommender with them."""

    def value(params: Mapping[str, Any]) -> float:
        trial = Trial(Recommender(maker.name, seed=maker.seed, **params).fit(split.train), split, k)
        return float(np.nanmean(trial.accuracy()[f"NDCG@{k}"]))

    best = max(GRIDS[maker.name], key=value)
    return Recommender(maker.name, seed=maker.seed, encoders=maker.encoders, **best)


class Trial:
    """Rank all items for the users of a test, by a recommender that was fitted on the training part."""

    def __init__(self, fitted: Recommender, split: Split, k: int = 10) -> None:
        self.fitted, self.k = fitted, k
        data = fitted.data
        known = data.items
        names = known.append(pd.Index(pd.unique(split.test["item"])).difference(known, sort=False))
        self.users = pd.Index(pd.unique(split.test["user"]))
        places = data.users.get_indexer(self.users)
        self.histories = _histories(data.histories, places)
        self.width, self.all = len(known), len(names)
        rows, items = self.users.get_indexer(split.test["user"]), names.get_indexer(split.test["item"])
        keys = np.unique(rows * self.all + items)
        seen = self.histories.rows * self.all + self.histories.items
        keys = keys[~np.isin(keys, seen)]  # what a user has already is not recommended
        self.truth = np.split(keys % self.all, np.searchsorted(keys // self.all, np.arange(1, len(self.users))))
        self.trained = np.zeros(self.all, np.int64)
        self.trained[: self.width] = data.counts
        self.warm = places >= 0
        self._lists: Numbers | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many users and items there are, and how many of the test are known."""
        tested = np.unique(np.concatenate(self.truth)) if self.truth else np.zeros(0, np.int64)
        return {
            "train_users": len(self.fitted.data.users),
            "train_items": int((self.trained > 0).sum()),
            "test_users": len(self.users),
            "warm_test_users": int(self.warm.sum()),
            "test_items": len(tested),
            "warm_test_items": int((self.trained[tested] > 0).sum()),
            "test_interactions": sum(map(len, self.truth)),
        }

    @property
    def lists(self) -> Numbers:
        """The best items of each user, unseen; int64 ``[users, 10 k]``, -1 where there are no more."""
        if self._lists is None:
            self._lists = self._ranked(self.histories, None)
        return self._lists

    def accuracy(self) -> dict[str, NDArray[np.float64]]:
        """Measure all users on all items."""
        return measures.accuracy(self.lists, self.truth, self.k)

    def result(self, fit_seconds: float, labels: str | None = None) -> Result:
        """Measure everything."""
        started = time.perf_counter()
        samples = self.accuracy()
        seconds = time.perf_counter() - started
        shown = self.lists[:, : self.k]
        histories = [self.histories.row(row) for row in range(len(self.histories))]
        samples["novelty"] = measures.novelty(shown, self.trained, len(self.fitted.data.users))
        samples["popularity_lift"] = measures.popularity_lift(shown, histories, self.trained)
        samples |= self._by_catalogue(shown, histories, labels)
        figures = {name: _estimate(values) for name, values in samples.items() if np.isfinite(values).any()}
        items = max(self.width, 1)
        for name, value in (("coverage", measures.coverage(shown, items)), ("gini", measures.gini(shown, items))):
            figures[name] = Estimate(value, value, value)
        params = self.fitted.get_params()
        if isinstance(self.fitted.model, Hybrid):
            params["weights"] = self.fitted.model.weights
        return Result(self.fitted.name, figures, self._segments(samples), params, (fit_seconds, seconds), samples)

    def _by_catalogue(
        self, shown: Numbers, histories: list[Numbers], labels: str | None
    ) -> dict[str, NDArray[np.float64]]:
        found = {}
        catalogue = self.fitted.catalogue
        content = None if catalogue is None else catalogue.placed(self.fitted.data.items)
        if content is not None:
            found["variety"] = measures.variety(shown, content)
        if labels is not None:
            rows = [_labels(record.get(labels)) for record in self.fitted.metadata]
            if not any(rows):
                raise InputError(
                    f"no item of the catalogue has the key {labels!r}; calibration needs one such as genres"
                )
            found["calibration"] = measures.calibration(shown, histories, measures.shares(rows))
        return found

    def _segments(self, samples: Mapping[str, NDArray[np.float64]]) -> dict[str, dict[str, Estimate]]:
        names = [name for name in samples if "@" in name]
        found = {}
        for label, chosen in (("warm users", self.warm), ("cold users", ~self.warm)):
            if chosen.any() and not chosen.all():
                found[label] = {
                    n: _estimate(samples[n][chosen]) for n in names if np.isfinite(samples[n][chosen]).any()
                }
        known = [wanted[self.trained[wanted] > 0] for wanted in self.truth]
        if sum(map(len, known)) < sum(map(len, self.truth)):
            warm = measures.accuracy(self.lists, known, self.k)
            found["warm items"] = {name: _estimate(warm[name]) for name in names if np.isfinite(warm[name]).any()}
        cold = self.cold_items()
        if cold is not None:
            found["cold items"] = {name: _estimate(cold[name]) for name in names if np.isfinite(cold[name]).any()}
        return found

    def cold_items(self) -> dict[str, NDArray[np.float64]] | None:
        """Measure warm users on items that nobody took before, ranked among themselves; None when there are none."""
        new = self.trained[: self.width] == 0
        wanted = [row[(row < self.width) & (self.trained[row] == 0)] for row in self.truth]
        users = np.flatnonzero([len(row) > 0 for row in wanted] & self.warm)
        if not len(users) or not new.any():
            return None
        lists = self._ranked(self.histories.take(users), new)
        return measures.accuracy(lists, [wanted[user] for user in users], self.k)

    def _ranked(self, histories: Histories, allowed: NDArray[np.bool_] | None) -> Numbers:
        blocks = []
        for start in range(0, len(histories), 256):
            part = histories.take(np.arange(start, min(start + 256, len(histories))))
            scores = self.fitted.scores(part)
            scores[part.rows, part.items] = -np.inf
            if allowed is not None:
                scores[:, ~allowed] = -np.inf
            best = top(scores, 10 * self.k)
            blocks.append(np.where(np.isfinite(np.take_along_axis(scores, best, 1)), best, -1))
        return np.concatenate(blocks)


def _named(name: str, split: Split) -> Recommender:
    return Recommender(name, validation=split.holdout) if name == "hybrid" else Recommender(name)


def _histories(of: Histories, places: Numbers) -> Histories:
    """Give the histories of users, an empty one where the place is -1."""
    whole = of.take(np.maximum(places, 0))
    return whole.kept((places >= 0)[whole.rows])


def _labels(value: Any) -> list[str]:
    if value is None:
        return []
    return [
        str(one)
        for one in (value.split("|") if isinstance(value, str) else value if isinstance(value, list) else [value])
    ]


def _estimate(values: Floats | NDArray[np.float64]) -> Estimate:
    return mean(values[np.isfinite(values)].tolist())


def _written(figures: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    return {
        name: {"value": round(one.value, 6), "low": round(one.low, 6), "high": round(one.high, 6)}
        for name, one in figures.items()
    }
