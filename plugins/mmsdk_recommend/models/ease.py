"""EASE: each item as a linear combination of the others, in closed form (Steck 2019, arXiv:1905.03375).

Three forms of one model. With fewer items than users the weights are a dense matrix. With fewer users than items
they are kept as factors, by Woodbury's identity: equal to the dense form, in users times items of memory. Beyond
``limit`` of both, each item is regressed on its nearest items only, as in fsSLIM (Ning and Karypis 2011). The score
is a sum over the history, so its parts are exact. An item that nobody took scores 0.
"""

from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.sparse import csr_matrix

from mmsdk_recommend.interactions import Floats, Histories, Numbers
from mmsdk_recommend.models.protocol import Arrays, Contributions, Corpus, Target, single


class EASE:
    """Score items by item-to-item weights with L2 penalty ``l2`` and a zero diagonal.

    ``half_life``: at scoring time an item of the history that lies so many places back counts half; None: all alike.
    ``limit``: users or items up to which the exact forms are used; ``neighbours``: weights an item beyond it.

    >>> model = EASE(l2=1.0)
    >>> model.fit(Corpus(Histories.of([[0, 1], [0, 1], [2, 1]], width=3)))
    >>> model.score(Histories.of([[0]], width=3)).argmax()
    np.int64(1)
    """

    def __init__(
        self, l2: float = 300.0, *, half_life: float | None = None, limit: int = 12_000, neighbours: int = 50
    ) -> None:
        self.l2, self.half_life, self.limit, self.neighbours = l2, half_life, limit, neighbours
        self._learned: Arrays = {}

    def get_params(self) -> dict[str, Any]:
        """Give the parameters."""
        return {"l2": self.l2, "half_life": self.half_life, "limit": self.limit, "neighbours": self.neighbours}

    def fit(self, corpus: Corpus) -> None:
        """Solve for the weights."""
        self._forget()
        taken = corpus.histories.binary
        users, items = taken.shape
        if min(users, items) > self.limit:
            self._learned = self._sparse(taken)
        elif users < items:
            self._learned = self._factored(taken)
        else:
            self._learned = self._dense(taken)

    def score(self, histories: Histories) -> Floats:
        """Multiply the history by the weights."""
        taken, learned = histories.faded(self.half_life), self._learned
        if "weights" in learned:
            return np.asarray(taken @ learned["weights"])
        if "factors" in learned:
            factors, scale = learned["factors"], learned["scale"]
            found = (taken @ factors.T) @ factors
            found *= scale
            rows = np.repeat(np.arange(len(histories)), np.diff(taken.indptr))
            found[rows, taken.indices] -= taken.data * self._own[taken.indices]
            return np.asarray(found)
        return np.asarray((taken @ self._csr).toarray())

    def contributions(self, history: Histories, target: Target) -> Contributions:
        """Give the weight of each item of the history times what it counts."""
        items, places = np.unique(single(history).items, return_inverse=True)
        if self.half_life is None:
            counting = 1 / np.bincount(places, minlength=len(items))[places]
        else:
            counting = np.exp2(-np.arange(len(places))[::-1] / self.half_life)
        return Contributions(self._towards(target, items)[places] * counting)

    def arrays(self) -> Arrays:
        """Give the weights, or their factors."""
        return self._learned

    def restore(self, arrays: Arrays) -> None:
        """Take the weights, or their factors."""
        self._forget()
        self._learned = dict(arrays)

    @cached_property
    def _own(self) -> Floats:
        """What the factored form gives an item for itself."""
        factors, scale = self._learned["factors"], self._learned["scale"]
        found: Floats = np.einsum("ri,ri->i", factors, factors) * scale
        return found

    @cached_property
    def _csr(self) -> csr_matrix:
        learned = self._learned
        width = len(learned["indptr"]) - 1
        return csr_matrix((learned["data"], learned["indices"], learned["indptr"]), shape=(width, width))

    def _towards(self, target: Target, items: Numbers) -> Target:
        """Give the weights of some items towards a combination of items."""
        learned = self._learned
        asked = np.flatnonzero(target)
        if "weights" in learned:
            return np.asarray(learned["weights"][np.ix_(items, asked)] @ target[asked])
        if "factors" in learned:
            factors, scale = learned["factors"], learned["scale"]
            whole = factors[:, asked] @ (target[asked] * scale[asked])
            own = np.einsum("ri,ri->i", factors[:, items], factors[:, items]) * scale[items]
            return np.asarray(factors[:, items].T @ whole - own * target[items])
        return np.asarray(self._csr[items] @ target)

    def _forget(self) -> None:
        """Drop what follows from the weights."""
        for name in ("_csr", "_own"):
            vars(self).pop(name, None)

    def _dense(self, taken: csr_matrix) -> Arrays:
        gram = (taken.T @ taken).toarray().astype(np.float64 if taken.shape[1] <= 2000 else np.float32)
        gram[np.diag_indices_from(gram)] += self.l2
        # the inverse of a positive definite matrix from its Cholesky factor; only its diagonal and columns are used
        inverse = cho_solve(cho_factor(gram, lower=True, overwrite_a=True), np.eye(len(gram), dtype=gram.dtype))
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
        return {"weights": weights.astype(np.float32)}

    def _factored(self, taken: csr_matrix) -> Arrays:
        # (X'X + l)^-1 = (1 - X'(XX' + l)^-1 X) / l = (1 - F'F) / l with F = L^-1 X and LL' = XX' + l
        gram = (taken @ taken.T).toarray().astype(np.float64)
        gram[np.diag_indices_from(gram)] += self.l2
        lower = cholesky(gram, lower=True, overwrite_a=True)
        factors = solve_triangular(lower, taken.toarray().astype(np.float64), lower=True, overwrite_b=True)
        scale = 1.0 / (1.0 - np.einsum("ri,ri->i", factors, factors))
        return {"factors": factors.astype(np.float32), "scale": scale.astype(np.float32)}

    def _sparse(self, taken: csr_matrix) -> Arrays:
        gram = (taken.T @ taken).tocsr()
        gram.sort_indices()
        root = np.sqrt(np.maximum(gram.diagonal(), 1))
        rows, columns, values = [], [], []
        for item in range(gram.shape[0]):
            near = _nearest(gram, item, root, self.neighbours)
            if len(near):
                inner = gram[near][:, near].toarray().astype(np.float64)
                inner[np.diag_indices_from(inner)] += self.l2
                towards = gram[[item]][:, near].toarray()[0]
                rows.append(near)
                columns.append(np.full(len(near), item))
                values.append(np.linalg.solve(inner, towards))
        empty = np.zeros(0)
        placed = (np.concatenate([empty, *rows]).astype(int), np.concatenate([empty, *columns]).astype(int))
        found = csr_matrix((np.concatenate([empty, *values]).astype(np.float32), placed), shape=gram.shape)
        return {"data": found.data, "indices": found.indices, "indptr": found.indptr}


def _nearest(gram: csr_matrix, item: int, root: Floats, most: int) -> Numbers:
    """Give the items of the highest cosine with one, itself left out."""
    part = slice(gram.indptr[item], gram.indptr[item + 1])
    others = gram.indices[part]
    cosine = np.where(others == item, -1.0, gram.data[part] / root[others])
    order = np.argsort(-cosine, kind="stable")[:most]
    return np.sort(others[order[cosine[order] > 0]]).astype(np.int64)
