"""The recommender: fit on interactions and a catalogue, then ask for users, histories, tastes, items.

    recommender = Recommender().fit(interactions, catalogue)
    recommender.recommend(["ada"], k=10, where={"stock": True})

It knows no model but the two whose parts it asks: content and hybrid.
"""

from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from mmsdk.errors import InputError
from mmsdk.protocols import Encoder
from mmsdk.types import Content, Filter
from mmsdk_recommend import catalogue as catalogues
from mmsdk_recommend import saving
from mmsdk_recommend.candidates import Candidates
from mmsdk_recommend.catalogue import Catalogue
from mmsdk_recommend.conditions import Mask, Table
from mmsdk_recommend.interactions import Floats, Histories, Interactions, Numbers
from mmsdk_recommend.models.content import ContentModel
from mmsdk_recommend.models.hybrid import Hybrid
from mmsdk_recommend.models.protocol import Contributions, Corpus, Factored, create, towards
from mmsdk_recommend.ranking import top
from mmsdk_recommend.saving import Saved
from mmsdk_recommend.serving import Served, Serving, World

_SCORES = 2_000_000
"""Scores held at a time."""


class Recommender:
    """Recommend items to users with a model of one of the names under the entry points ``mmsdk_recommend.models``.

    ``params`` go to the model; ``encoders`` are those for the content of a catalogue, without them those of the
    settings. ``index`` is ``exact``, or for large catalogues and the models ials, sasrec and content ``auto`` or a
    string of FAISS's index factory: candidates come from it. Methods that only ask can be called from several threads.

    >>> frame = pd.DataFrame({"user": list("aabbc"), "item": ["x", "y", "x", "z", "x"]})
    >>> recommender = Recommender("item_knn").fit(frame)
    >>> recommender.recommend(["c"], k=1)[["user", "item", "rank"]].values.tolist()
    [['c', 'y', 1]]
    """

    def __init__(
        self,
        model: str = "hybrid",
        *,
        seed: int = 0,
        encoders: Sequence[Encoder] | None = None,
        index: str = "exact",
        **params: Any,
    ) -> None:
        self.name, self.seed, self.encoders, self.index = model, seed, encoders, index
        self.model = create(model, **params)
        if index != "exact" and not isinstance(self.model, Factored):
            raise InputError(
                f"model {model!r} sums over the history and scores all items: index is for ials and its like"
            )
        self._candidates: Candidates | None = None
        self._data: Interactions | None = None
        self.catalogue: Catalogue | None = None
        self.width = 0
        self._table = Table([])

    def get_params(self) -> dict[str, Any]:
        """Give what it was made with: ``Recommender(**params)`` makes its like."""
        return {"model": self.name, "seed": self.seed, "index": self.index, **self.model.get_params()}

    def fit(self, interactions: pd.DataFrame, catalogue: pd.DataFrame | Catalogue | None = None) -> "Recommender":
        """Learn from interactions (user, item, optionally time, weight) and a catalogue (item and what it has).

        Raises ``InputError`` naming what is wrong, and what the encoders raise.
        """
        if isinstance(catalogue, pd.DataFrame):
            catalogue = Catalogue.from_frame(catalogue, encoders=self.encoders, encode=self.uses_content)
        data = Interactions.from_frame(interactions, items=[] if catalogue is None else list(catalogue.items))
        content = None if catalogue is None else catalogue.placed(data.items)
        self.model.fit(Corpus(data.histories, content, self.seed))
        self.width, self._candidates = len(data.items), None
        self.adopt(data, catalogue)
        return self

    @property
    def uses_content(self) -> bool:
        """Whether the model learns from what items look, read or sound like, so that their content is encoded."""
        return self.name in ("content", "hybrid") or isinstance(self.model, ContentModel | Hybrid)

    def refit(self) -> "Recommender":
        """Fit again on all interactions and items known by now."""
        return self.fit(self.data.frame(), self.catalogue)

    def recommend(
        self,
        users: Hashable | Iterable[Hashable],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        where: Filter | None = None,
        serving: Serving | None = None,
    ) -> pd.DataFrame:
        """Give at most ``k`` items for a user or each of several, best first: user, item, score, rank (from 1).

        ``where`` filters by metadata exactly: with k matching items that the user has not seen, k come back. Users
        without interactions get what is popular; more is known of them by ``for_history`` and ``for_taste``. Raises
        ``ValueError`` for k.
        """
        names = list(users) if isinstance(users, Iterable) and not isinstance(users, str) else [users]
        places = self.data.users.get_indexer(pd.Index(names)) if names else np.zeros(0, np.int64)
        histories = self.data.histories.with_nobody().take(np.where(places < 0, len(self.data.users), places))
        served = self._served(histories, k, exclude_seen, where=where, serving=serving)
        return self._frame(served, names if (places < 0).any() else self.data.users[places])

    def for_history(
        self,
        items: Sequence[Hashable],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        where: Filter | None = None,
        serving: Serving | None = None,
    ) -> pd.DataFrame:
        """Recommend to somebody by what they took, oldest first: new users and sessions. Empty: what is popular.

        A frame of item, score, rank. Raises ``InputError`` for unknown items.
        """
        history = self.history(items)
        served = self._served(history, k, exclude_seen, where=where, serving=serving)
        return self._frame(served, [None]).drop(columns="user")

    def for_taste(
        self, query: Content | Sequence[Content], k: int = 10, *, where: Filter | None = None
    ) -> pd.DataFrame:
        """Recommend by a text, picture or recording of what is liked. Needs a catalogue with content and its model."""
        model = self._content_model()
        if self.catalogue is None or self.catalogue.projection is None:
            raise InputError("a taste needs a catalogue with a column title, text, description, image or audio")
        vector = catalogues.taste(query, self.catalogue.projection, self.encoders)
        return self._nearest(model.near(vector)[0], _positive(k), self._table.mask(where))

    def similar(self, item: Hashable, k: int = 10, *, where: Filter | None = None) -> pd.DataFrame:
        """Give the items that are most like one: a frame of item, score, rank.

        By content and by who took them, as far as the model knows either. Raises ``InputError`` for an unknown item.
        """
        history = self.history([item])
        allowed = self._table.mask(where)
        allowed[history.items] = False
        model = self.model
        if isinstance(model, Hybrid):
            scores = np.zeros(len(allowed), np.float32)
            for label in [label for label in model.models if label in ("item_knn", "content")] or list(model.models):
                found, middle, spread = model.standard(label, history)
                scores += ((found - middle) / spread)[0]
        elif self.name == "popularity":
            raise InputError("the popularity model knows no similar items; fit another, such as item_knn")
        else:
            scores = self.scores(history)[0]
        return self._nearest(scores, _positive(k), allowed)

    def rerank(self, user: Hashable, candidates: Sequence[Hashable]) -> pd.DataFrame:
        """Order candidates for a user, all of them, seen or not, each once: a frame of item, score, rank."""
        places = self.places(list(dict.fromkeys(candidates)))
        history = self.data.histories.take(self._users([user]))
        scores = self.scores(history)[0]
        order = places[np.argsort(-scores[places], kind="stable")]
        return self._listed(order, scores[order])

    def scores(self, histories: Histories) -> Floats:
        """Score all items for histories; float32 ``[len(histories), items]``.

        Where the model has no order for an empty history, items are scored by how many took them, the most as 1.
        """
        known = self.model.score(histories.clipped(self.width))
        if (unordered := self._unordered(histories, known)).any():
            known[unordered] = self._popular
        more = histories.width - self.width
        if not more:
            return known
        return np.concatenate([known, np.repeat(known.min(axis=1, keepdims=True) - 1, more, axis=1)], axis=1)

    def contributions(self, history: Histories, item: Hashable) -> Contributions:
        """Say what the score of an item for a history is made of; the parts sum to the score."""
        place = int(self.places([item])[0])
        if place >= self.width:
            return Contributions(
                np.zeros(len(history.items)), {"not yet fitted": float(self.scores(history)[0, place])}
            )
        if self._unordered(history, self.model.score(history.clipped(self.width))).any():
            return Contributions(np.zeros(0), {"popularity": float(self._popular[place])})
        known = history.items < self.width
        told = self.model.contributions(history.clipped(self.width), towards(place, self.width))
        each = np.zeros(len(known))
        each[known] = told.history
        parts = {}
        for label, values in told.parts.items():
            parts[label] = np.zeros(len(known))
            parts[label][known] = values
        return Contributions(each, told.rest, parts)

    @property
    def _popular(self) -> Floats:
        """How many took each item that the model knows, divided by the most; float32 ``[width]``."""
        counts = np.bincount(self.data.histories.items, minlength=self.width)[: self.width].astype(np.float32)
        return np.asarray(counts / max(counts.max(initial=0), 1), np.float32)

    @staticmethod
    def _unordered(histories: Histories, scores: Floats) -> Mask:
        """Tell which histories are empty and leave the model without an order."""
        found = np.asarray(histories.lengths == 0)
        found[found] = np.ptp(scores[found], axis=1) == 0
        return found

    def history(self, items: Sequence[Hashable]) -> Histories:
        """Make a history of items, oldest first. Raises ``InputError`` for unknown ones."""
        return Histories.of([self.places(items).tolist()], width=len(self.data.items))

    def history_of(self, user: Hashable) -> Histories:
        """Give the history of a user. Raises ``InputError`` for an unknown one."""
        return self.data.histories.take(self._users([user]))

    def places(self, items: Sequence[Hashable]) -> Numbers:
        """Give the numbers of items. Raises ``InputError`` for unknown ones."""
        found = self.data.items.get_indexer(pd.Index(list(items))) if len(items) else np.zeros(0, np.int64)
        unknown = [item for item, place in zip(items, found.tolist(), strict=True) if place < 0]
        if unknown:
            raise InputError(f"{len(unknown)} items are not known: {_some(unknown)}; add_items takes new ones")
        return np.asarray(found, np.int64)

    def save(self, folder: str | Path) -> Path:
        """Write everything into a folder, whole or not at all."""
        saved = Saved(self.get_params(), self.data, self.catalogue, self.model.arrays(), self.width)
        return saving.save(saved, Path(folder))

    @classmethod
    def load(cls, folder: str | Path, *, encoders: Sequence[Encoder] | None = None) -> "Recommender":
        """Read what ``save`` wrote. Raises ``CollectionNotFoundError`` and ``CorruptionError``."""
        saved = saving.load(Path(folder))
        made = cls(**saved.params, encoders=encoders)
        made.model.restore(saved.model)
        made.width = saved.width
        made.adopt(saved.data, saved.catalogue)
        return made

    @property
    def data(self) -> Interactions:
        """All interactions known by now. Raises ``InputError`` before fitting."""
        if self._data is None:
            raise InputError("this recommender is not fitted; call fit(interactions) or load(folder)")
        return self._data

    @property
    def metadata(self) -> Sequence[Any]:
        """The metadata of all items in their order."""
        return self._table.records

    def adopt(self, data: Interactions, catalogue: Catalogue | None) -> None:
        """Serve from these interactions and items; the model stays as it is."""
        if catalogue is not self.catalogue:
            self._candidates = None
        self._data, self.catalogue = data, catalogue
        empty = Catalogue(pd.Index([]), [])
        self._table = Table((catalogue or empty).metadata(data.items))

    def _served(
        self, histories: Histories, k: int, exclude_seen: bool, *, where: Filter | None, serving: Serving | None
    ) -> Served:
        _positive(k)
        allowed = self._table.mask(where) if where else None
        if serving is None:
            return self._best(histories, k, exclude_seen, allowed)
        names = {name: int(self.places([name])[0]) for name in serving.rules.pinned}
        world = World(self._alike, self._table.records, names, allowed)
        return serving.arranged(self._best(histories, serving.pool(k), exclude_seen, allowed), k, world=world)

    def _best(self, histories: Histories, k: int, exclude_seen: bool, allowed: Mask | None) -> Served:
        if self.index != "exact":
            return self._found(histories, k, exclude_seen, allowed)
        return self._scored(histories, k, exclude_seen, allowed)

    def _found(self, histories: Histories, k: int, exclude_seen: bool, allowed: Mask | None) -> Served:
        """Take candidates from the index; whom it finds too little for gets all items scored."""
        model = cast(Factored, self.model)
        if self._candidates is None:
            self._candidates = Candidates(model.item_vectors(), self.index)
        items = np.zeros((len(histories), k), np.int64)
        scores = np.full((len(histories), k), -np.inf, np.float32)
        known = histories.clipped(self.width)
        users, of = model.vectors(known), self._candidates
        own = [known.row(row) if exclude_seen else known.row(row)[:0] for row in range(len(known))]
        found = of.best(users, k, taken=own, allowed=None if allowed is None else allowed[: self.width])
        short = [row for row, best in enumerate(found) if len(best) < k or not len(known.row(row))]
        for row, best in enumerate(found):
            items[row, : len(best)], scores[row, : len(best)] = best, of.items[best] @ users[row]
        if short:
            whole = self._scored(histories.take(short), k, exclude_seen, allowed)
            scores[short] = -np.inf
            items[short, : whole.items.shape[1]], scores[short, : whole.items.shape[1]] = whole.items, whole.scores
        return Served(items, scores)

    def _scored(self, histories: Histories, k: int, exclude_seen: bool, allowed: Mask | None) -> Served:
        def best(start: int) -> Served:
            part = histories.take(np.arange(start, min(start + step, len(histories))))
            scores = self.scores(part)
            if exclude_seen:
                scores[part.rows, part.items] = -np.inf
            if allowed is not None:
                scores[:, ~allowed] = -np.inf
            items = top(scores, k)
            return Served(items, np.take_along_axis(scores, items, 1))

        step = max(1, _SCORES // max(histories.width, 1))
        served = [best(start) for start in range(0, len(histories), step)]
        if not served:
            return Served(np.zeros((0, 0), np.int64), np.zeros((0, 0), np.float32))
        return Served(np.concatenate([one.items for one in served]), np.concatenate([one.scores for one in served]))

    def _frame(self, served: Served, users: Sequence[Any] | pd.Index) -> pd.DataFrame:
        rows, ranks = np.nonzero(np.isfinite(served.scores))
        columns = {
            "user": pd.Index(users)[rows] if len(users) else [],
            "item": self.data.items[served.items[rows, ranks]],
            "score": served.scores[rows, ranks].astype(np.float64),
            "rank": ranks + 1,
        }
        if served.propensities is not None:
            columns["propensity"] = served.propensities[rows, ranks]
        return pd.DataFrame(columns)

    def _nearest(self, scores: Floats, k: int, allowed: Mask) -> pd.DataFrame:
        scores = np.where(allowed, scores, -np.inf)
        best = top(scores[None, :], k)[0]
        best = best[np.isfinite(scores[best])]
        return self._listed(best, scores[best])

    def _listed(self, places: Numbers, scores: Floats) -> pd.DataFrame:
        ranks = np.arange(1, len(places) + 1)
        return pd.DataFrame({"item": self.data.items[places], "score": scores.astype(np.float64), "rank": ranks})

    def _users(self, users: Sequence[Hashable]) -> Numbers:
        places = self.data.users.get_indexer(pd.Index(list(users)))
        if (places < 0).any():
            raise InputError(f"these users have no interactions: {_some(users)}; new ones: for_history(items)")
        return np.asarray(places, np.int64)

    def _content_model(self) -> ContentModel:
        model = self.model.models.get("content") if isinstance(self.model, Hybrid) else self.model
        if not isinstance(model, ContentModel):
            raise InputError(f"model {self.name!r} has no content; fit 'hybrid' or 'content' with a catalogue")
        return model

    def _alike(self, places: Numbers) -> Floats:
        """Give the cosine of items: of their content, or without any of who took them."""
        content = None if self.catalogue is None else self.catalogue.placed(self.data.items[places])
        if content is None:
            taken = self.data.histories.binary[:, places]
            both = (taken.T @ taken).toarray()
            root = np.sqrt(np.maximum(both.diagonal(), 1))
            return np.asarray(both / np.outer(root, root), np.float32)
        return np.asarray(content @ content.T)


def _positive(k: int) -> int:
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise ValueError(f"k must be a positive integer, not {k!r}")
    return int(k)


def _some(names: Sequence[Any]) -> str:
    shown = ", ".join(repr(catalogues.plain(name)) for name in names[:5])
    return shown + (", ..." if len(names) > 5 else "")
