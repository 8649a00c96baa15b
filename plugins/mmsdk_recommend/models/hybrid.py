"""The hybrid: collaborative, sequential, popular and content scores, mixed by weights learned on held-out interactions.

Each component's scores are centred and scaled for each history, so that weights compare; new items take their scores
through the map from content to the item space. A component that does not help gets the weight 0.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsdk_recommend.interactions import Floats, Histories, Numbers
from mmsdk_recommend.models import blending
from mmsdk_recommend.models.cold import ColdMap
from mmsdk_recommend.models.ease import EASE
from mmsdk_recommend.models.item_knn import ItemKNN
from mmsdk_recommend.models.protocol import Arrays, Contributions, Corpus, Model, Target, create

COMPONENTS: Mapping[str, Mapping[str, Any]] = {
    "ease": {"model": "ease"},
    "recent": {"model": "ease", "half_life": 10.0},
    "item_knn": {"model": "item_knn"},
    "sasrec": {"model": "sasrec"},
    "popularity": {"model": "popularity"},
    "all_time": {"model": "popularity", "half_life_days": None},
    "content": {"model": "content"},
}
_LEAST = 0.02
"""Weight that popularity has at least: it ranks for those without history."""
_LARGE = 4e9
"""Interactions times items beyond which a sequential model is not trained without a GPU."""


class Hybrid:
    """Mix components; ``components`` maps labels to a model's name and parameters.

    ``validation`` says which interactions are held out to learn the weights: the ``last`` ones of each user (what comes
    next), ``random`` ones (what is missing), ``both``: what is good at either and loses nothing against the best
    component on what is missing; ``auto``: both where times are known, else random ones.

    >>> model = Hybrid({"knn": {"model": "item_knn"}, "popularity": {"model": "popularity"}})
    >>> model.fit(Corpus(Histories.of([[0, 1, 2], [0, 1, 2], [2, 0, 1]], width=3)))
    >>> model.score(Histories.of([[0]], width=3)).shape
    (1, 3)
    """

    def __init__(
        self, components: Mapping[str, Mapping[str, Any]] | None = None, *, validation: blending.Holdout = "auto"
    ) -> None:
        self.components = {label: dict(one) for label, one in (components or COMPONENTS).items()}
        self.validation = validation
        self.models: dict[str, Model] = {}
        self.widths: dict[str, int] = {}
        self.weights: dict[str, float] = {}
        self.counts: Numbers = np.zeros(0, np.int64)
        self.content: Floats | None = None
        self.cold: ColdMap | None = None
        self.penalty, self.nearness, self.scale = 10.0, 0.0, 1.0

    def get_params(self) -> dict[str, Any]:
        """Give the parameters."""
        return {"components": self.components, "validation": self.validation}

    def fit(self, corpus: Corpus) -> None:
        """Learn the weights on held-out interactions, then the components on all."""
        inner, held = blending.hold_out(corpus.histories, self.validation, corpus.seed)
        self.weights = {}
        if held.rows.size:
            self._fit_components(Corpus(inner, corpus.content, corpus.seed))
            self.weights = blending.learn(self._standardised, inner, held)
        self._fit_components(corpus)
        if not self.weights:
            self.weights = dict.fromkeys(self.models, 1.0)
        for label, model in self.models.items():
            if "scores" in model.arrays() and self.weights[label] < _LEAST:
                self.weights[label] = _LEAST
        self._learn_cold(corpus)

    def score(self, histories: Histories) -> Floats:
        """Mix the components' scores and place new items."""
        total = np.zeros((len(histories), histories.width), np.float32)
        for label, weight in self.weights.items():
            if weight:
                scores, middle, spread = self.standard(label, histories)
                scores -= middle
                scores *= weight / spread
                total += scores
        if self.cold is not None and len(self.cold.new):
            self.cold.filled(total)
            if self.nearness:
                scores, middle, spread = self.standard("content", histories)
                total[:, self.cold.new] += self.nearness * ((scores - middle) / spread)[:, self.cold.new]
            total[:, self.cold.new] *= self.scale
        return total

    def contributions(self, history: Histories, target: Target) -> Contributions:
        """Give what each interaction adds through each component, and what components add as a whole."""
        warm, new = self._mapped(target)
        parts: dict[str, NDArray[np.float64]] = {}
        rest = {"baseline": 0.0}
        shares = [(label, weight, warm) for label, weight in self.weights.items() if weight]
        if self.nearness and new.any():
            shares.append(("content", self.nearness, new))
        for label, weight, wanted in shares:
            _, middle, spread = self.standard(label, history)
            factor = weight / float(spread[0, 0])
            told = self._told(label, history, wanted)
            parts[label] = parts.get(label, 0.0) + told.history * factor
            for value in told.rest.values():
                rest[label] = rest.get(label, 0.0) + value * factor
            rest["baseline"] -= float(middle[0, 0]) * factor * float(wanted.sum())
        total = np.sum(list(parts.values()), axis=0) if parts else np.zeros(len(history.items))
        return Contributions(total, rest, parts)

    def extend(self, content: Floats | None, width: int) -> None:
        """Know items that came after fitting by their content; float32 ``[width, dimension]``."""
        self.counts = np.concatenate([self.counts, np.zeros(width - len(self.counts), np.int64)])
        if content is not None and "content" in self.models:
            self.content, self.widths["content"] = content, width
            self.models["content"].fit(Corpus(Histories.of([], width=width), content))
            self.cold = ColdMap.fit(content, self.counts, l2=self.penalty)

    def update(self, before: Histories, after: Histories) -> None:
        """Take changed histories into the components that can."""
        for label, model in self.models.items():
            if isinstance(model, ItemKNN):
                model.update(before, after)
                self.widths[label] = after.width

    def arrays(self) -> Arrays:
        """Give what all components learned, under their labels, and the weights."""
        found: Arrays = {
            "weights": np.array([self.weights[label] for label in self.models]),
            "widths": np.array([self.widths[label] for label in self.models]),
            "counts": self.counts,
            "cold": np.array([self.penalty, self.nearness, self.scale]),
        }
        for label, model in self.models.items():
            found |= {f"{label}/{name}": value for name, value in model.arrays().items()}
        return found

    def restore(self, arrays: Arrays) -> None:
        """Take what components learned, and the weights."""
        there = {name.partition("/")[0] for name in arrays if "/" in name}
        self.models = {}
        for label in (label for label in self.components if label in there):
            self.models[label] = _made(self.components[label])
            start = f"{label}/"
            self.models[label].restore({k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)})
        self.weights = dict(zip(self.models, arrays["weights"].tolist(), strict=True))
        self.widths = dict(zip(self.models, arrays["widths"].tolist(), strict=True))
        self.counts = arrays["counts"]
        self.penalty, self.nearness, *scale = arrays["cold"].tolist()
        self.scale = scale[0] if scale else 1.0
        self.content = arrays.get("content/content")
        if self.content is not None:
            self.cold = ColdMap.fit(self.content, self.counts, l2=self.penalty)

    def _fit_components(self, corpus: Corpus) -> None:
        self.models, self.cold = {}, None
        self.counts, self.content = (
            np.bincount(corpus.histories.items, minlength=corpus.histories.width),
            corpus.content,
        )
        for label, spec in self.components.items():
            if (spec["model"] == "content" and corpus.content is None) or _too_large(spec["model"], corpus):
                continue
            model = _made(spec)
            like = self._twin(model)
            if like is None:
                model.fit(corpus)
            else:
                model.restore(like.arrays())
            self.models[label] = model
        self.widths = dict.fromkeys(self.models, corpus.histories.width)

    def _twin(self, model: Model) -> EASE | None:
        """Give a fitted EASE with the same weights: the half-life matters only when scoring."""
        if isinstance(model, EASE):
            for other in self.models.values():
                if isinstance(other, EASE) and other.get_params() | {"half_life": 0} == model.get_params() | {
                    "half_life": 0
                }:
                    return other
        return None

    def _raw(self, label: str, histories: Histories) -> Floats:
        width = self.widths[label]
        scores = self.models[label].score(histories.clipped(width))
        if width == histories.width:
            return scores
        return np.pad(scores, ((0, 0), (0, histories.width - width)))

    def _told(self, label: str, history: Histories, target: Target) -> Contributions:
        width = self.widths[label]
        known = history.items < width
        told = self.models[label].contributions(history.clipped(width), target[:width])
        each = np.zeros(len(history.items))
        each[known] = told.history
        return Contributions(each, told.rest)

    def standard(self, label: str, histories: Histories) -> tuple[Floats, Floats, Floats]:
        """Give raw scores, and their mean and spread over the known items; ``[rows, 1]`` each."""
        scores = self._raw(label, histories)
        known = scores if self.counts.all() else scores.take(np.flatnonzero(self.counts), axis=1)  # a mask's sums err
        middle = known.mean(axis=1, keepdims=True)
        spread = known.std(axis=1, keepdims=True)
        return scores, middle, np.where(spread > 1e-9, spread, np.float32(1))

    def _standardised(self, histories: Histories) -> dict[str, Floats]:
        found = {}
        for label in self.models:
            scores, middle, spread = self.standard(label, histories)
            found[label] = (scores - middle) / spread
        return found

    def _mapped(self, target: Target) -> tuple[Target, Target]:
        """Split a target into what known items carry, new items mapped to them, and the new items."""
        warm, new = target.copy(), np.zeros_like(target)
        if self.cold is not None:
            for item in np.intersect1d(np.flatnonzero(target), self.cold.new):
                new[item] = target[item] * self.scale
                warm[item] = 0.0
                warm += new[item] * self.cold.target(int(item), len(target))
        return warm, new

    def _learn_cold(self, corpus: Corpus) -> None:
        self.penalty, self.nearness, self.scale = 10.0, 0.0, 1.0
        if corpus.content is None or "content" not in self.models:
            return
        tried = blending.pretend_cold(self.score, self.counts, corpus)
        if tried is not None:
            nearness = self._standardised(tried.histories)["content"]
            self.penalty, self.nearness, self.scale = blending.learn_cold(tried, corpus.content, nearness)
        self.cold = ColdMap.fit(corpus.content, self.counts, l2=self.penalty)


def _made(spec: Mapping[str, Any]) -> Model:
    return create(spec["model"], **{name: value for name, value in spec.items() if name != "model"})


def _too_large(model: str, corpus: Corpus) -> bool:
    if model != "sasrec" or len(corpus.histories.items) * corpus.histories.width < _LARGE:
        return False
    import torch

    return not torch.cuda.is_available()
