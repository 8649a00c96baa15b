"""Implicit ALS: users and items as factors, with confidence by weight (Hu, Koren and Volinsky 2008).

``implicit`` fits the item factors; a history is folded in by solving for its user's factors, so that known and new
users are scored in one way; what was solved is remembered, and stored for the histories of the fit. For given factors
the score is a sum over the history.
"""

from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dposv
from threadpoolctl import threadpool_limits

from mmsdk.errors import MissingDependencyError
from mmsdk_recommend.interactions import Floats, Histories, Numbers
from mmsdk_recommend.models.protocol import Arrays, Contributions, Corpus, Target, shared, single

_REMEMBERED = 200_000
"""Histories whose factors are kept, about half a kilobyte each."""
_DIGEST = 16


class IALS:
    """Score by the product of folded-in user factors and item factors.

    An interaction of weight w has confidence 1 + ``alpha`` w.

    >>> model = IALS(factors=2, alpha=5.0)
    >>> model.fit(Corpus(Histories.of([[0, 1], [0, 1], [2], [2]], width=3)))
    >>> model.score(Histories.of([[0]], width=3))[0, 1] > model.score(Histories.of([[0]], width=3))[0, 2]
    np.True_
    """

    def __init__(self, factors: int = 64, *, l2: float = 0.1, alpha: float = 10.0, iterations: int = 15) -> None:
        self.factors, self.l2, self.alpha, self.iterations = factors, l2, alpha, iterations
        self.items: Floats = np.zeros((0, factors), np.float32)
        self.solved: dict[bytes, Floats] = {}
        self._stored = 0

    def get_params(self) -> dict[str, Any]:
        """Give the parameters."""
        return {"factors": self.factors, "l2": self.l2, "alpha": self.alpha, "iterations": self.iterations}

    def fit(self, corpus: Corpus) -> None:
        """Fit the item factors."""
        try:
            from implicit.cpu.als import AlternatingLeastSquares
        except ModuleNotFoundError as error:
            raise MissingDependencyError("implicit", "recommend") from error
        confidence = corpus.histories.matrix.copy()
        confidence.data = confidence.data + np.float32(1 / self.alpha)  # implicit has alpha w, the paper 1 + alpha w
        with threadpool_limits(1, "blas"):  # implicit has threads of its own
            model = AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.l2,
                alpha=self.alpha,
                iterations=self.iterations,
                random_state=corpus.seed,
            )
            model.fit(confidence, show_progress=False)
        self._learned(np.asarray(model.item_factors, np.float32))
        self.vectors(corpus.histories)
        self._stored = len(self.solved)

    def score(self, histories: Histories) -> Floats:
        """Fold in, then multiply."""
        return np.asarray(self.vectors(histories) @ self.items.T)

    def item_vectors(self) -> Floats:
        """Give the item factors."""
        return self.items

    def vectors(self, histories: Histories) -> Floats:
        """Give the user factors of histories, folded in; float32 ``[len(histories), factors]``."""
        taken, users = histories.matrix, np.zeros((len(histories), self.items.shape[1]), np.float32)
        for row in np.flatnonzero(np.diff(taken.indptr)):
            part = slice(taken.indptr[row], taken.indptr[row + 1])
            items, weights = taken.indices[part], taken.data[part]
            key = blake2b(items.tobytes() + weights.tobytes(), digest_size=_DIGEST).digest()
            if (found := self.solved.get(key)) is None:
                found = self._solve(items, weights)
                if len(self.solved) < _REMEMBERED:
                    self.solved[key] = found
            users[row] = found
        return users

    def _solve(self, items: Numbers, weights: Floats) -> Floats:
        chosen, more = self._wide[items], self.alpha * weights
        _, found, wrong = dposv(self._gram + (chosen.T * more) @ chosen, chosen.T @ (more + 1), overwrite_a=True)
        if wrong:
            raise ValueError(f"the factors of a history cannot be solved for; raise l2 from {self.l2:g}")
        return np.asarray(found, np.float32)

    def contributions(self, history: Histories, target: Target) -> Contributions:
        """Give what each interaction adds, the factors and the confidences of the others held fixed."""
        taken = single(history).matrix
        chosen = self._wide[taken.indices]
        more = self.alpha * taken.data.astype(np.float64)
        toward = np.linalg.solve(self._gram + (chosen.T * more) @ chosen, self._wide.T @ target)
        values = np.zeros(history.width)
        values[taken.indices] = (chosen @ toward) * (more + 1)
        return Contributions(shared(history, values))

    def arrays(self) -> Arrays:
        """Give the item factors, and the user factors of the histories of the fit under the digests of these."""
        stored = list(self.solved.items())[: self._stored]
        keys = np.frombuffer(b"".join(key for key, _ in stored), np.uint8).reshape(-1, _DIGEST)
        users = np.array([found for _, found in stored], np.float32).reshape(-1, self.items.shape[1])
        return {"items": self.items, "keys": keys, "users": users}

    def restore(self, arrays: Arrays) -> None:
        """Take the factors; a folder of an older version has those of items only."""
        self._learned(arrays["items"])
        if "keys" in arrays:
            self.solved = dict(zip(map(bytes, arrays["keys"]), arrays["users"], strict=True))
        self._stored = len(self.solved)

    @cached_property
    def _wide(self) -> NDArray[np.float64]:
        return self.items.astype(np.float64)

    @cached_property
    def _gram(self) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self._wide.T @ self._wide
        found[np.diag_indices_from(found)] += self.l2
        return found

    def _learned(self, items: Floats) -> None:
        """Take item factors, and drop what followed from the old ones."""
        self.items, self.solved, self._stored = items, {}, 0
        for name in ("_wide", "_gram"):
            vars(self).pop(name, None)
