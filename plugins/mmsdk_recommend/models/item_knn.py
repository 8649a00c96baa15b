"""Item-kNN: items that the same users took are near; a history scores what is near to it.

Cosine with shrinkage over binary histories (Deshpande and Karypis 2004). New interactions are taken in without
fitting again, with the same result as fitting again.
"""

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, vstack

from mmsdk_recommend.interactions import Floats, Histories, Numbers
from mmsdk_recommend.models.protocol import Arrays, Contributions, Corpus, Target, shared, single

_BLOCK = 1000


class ItemKNN:
    """Score an item by its similarity to those of the history, over the ``neighbours`` nearest of each item.

    >>> model = ItemKNN(shrinkage=0)
    >>> model.fit(Corpus(Histories.of([[0, 1], [0, 1], [2]], width=3)))
    >>> model.score(Histories.of([[0]], width=3)).round(2).tolist()
    [[0.0, 1.0, 0.0]]
    """

    def __init__(self, neighbours: int = 100, shrinkage: float = 10.0) -> None:
        self.neighbours, self.shrinkage = neighbours, shrinkage
        self.counts = self.near = csr_matrix((0, 0), dtype=np.float32)
        self._turned: tuple[csr_matrix, csr_matrix] | None = None

    def get_params(self) -> dict[str, Any]:
        """Give the parameters."""
        return {"neighbours": self.neighbours, "shrinkage": self.shrinkage}

    def fit(self, corpus: Corpus) -> None:
        """Count who took both, and keep the nearest."""
        taken = corpus.histories.binary
        self.counts = _sorted(taken.T @ taken)
        self.near = self._nearest(np.arange(corpus.histories.width))

    def update(self, before: Histories, after: Histories) -> None:
        """Take in that the histories of some users changed, row for row; ``after`` may be wider.

        The result equals fitting on all histories. Cost: the items that the changed items occur with.
        """
        width = after.width
        self.counts.resize((width, width))
        self.near = csr_matrix(
            (
                self.near.data,
                self.near.indices,
                np.pad(self.near.indptr, (0, width - len(self.near.indptr) + 1), mode="edge"),
            ),
            shape=(width, width),
        )
        new, old = after.binary, before.binary.copy()
        old.resize((len(before), width))
        changed = np.unique((new - old).nonzero()[1])
        lost = self.counts[changed].indices
        self.counts = _sorted(self.counts + new.T @ new - old.T @ old)
        touched = np.unique(np.concatenate([changed, lost, self.counts[changed].indices]))
        if len(touched):
            fresh = self._nearest(touched)
            place = np.arange(width)
            place[touched] = width + np.arange(len(touched))
            self.near = vstack([self.near, fresh], format="csr")[place]

    def score(self, histories: Histories) -> Floats:
        """Sum the similarities to the history."""
        found: Floats = (histories.binary @ self._columns).toarray()
        return found

    def contributions(self, history: Histories, target: Target) -> Contributions:
        """Give the similarity to each item of the history; a repeated item counts once."""
        return Contributions(shared(single(history), self._columns @ target))

    def arrays(self) -> Arrays:
        """Give the counts; the nearest follow from them."""
        return {"data": self.counts.data, "indices": self.counts.indices, "indptr": self.counts.indptr}

    def restore(self, arrays: Arrays) -> None:
        """Take the counts and find the nearest again."""
        width = len(arrays["indptr"]) - 1
        self.counts = csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=(width, width))
        self.near = self._nearest(np.arange(width))

    @property
    def _columns(self) -> csr_matrix:
        """Similarities by the item of the history: row j of ``near`` are the neighbours that item j listens to."""
        if self._turned is None or self._turned[0] is not self.near:
            self._turned = (self.near, self.near.T.tocsr())
        return self._turned[1]

    def _nearest(self, items: Numbers) -> csr_matrix:
        """Give the similarities of some items to their nearest; float32 ``[len(items), width]``."""
        root = np.sqrt(self.counts.diagonal())
        blocks = [csr_matrix((0, self.counts.shape[1]), dtype=np.float32)]
        for start in range(0, len(items), _BLOCK):
            chosen = items[start : start + _BLOCK]
            both = self.counts[chosen].tocsr()
            rows = np.repeat(np.arange(len(chosen)), np.diff(both.indptr))
            scale = root[chosen][rows] * root[both.indices] + self.shrinkage
            both.data = np.where(chosen[rows] == both.indices, 0, both.data / scale).astype(np.float32)
            blocks.append(_strongest(both, self.neighbours))
        return vstack(blocks, format="csr")


def _strongest(of: csr_matrix, most: int) -> csr_matrix:
    """Keep the ``most`` largest of each row that are above 0; of equals, those with the lower number."""
    keep = of.data > 0
    for row in np.flatnonzero(np.diff(of.indptr) > most):
        part = slice(of.indptr[row], of.indptr[row + 1])
        values = of.data[part]
        least = np.partition(values, len(values) - most)[len(values) - most]
        above = values > least
        above[np.flatnonzero(values == least)[: most - int(above.sum())]] = True
        keep[part] &= above
    starts = np.concatenate([[0], np.cumsum(keep)])[of.indptr]
    return csr_matrix((of.data[keep], of.indices[keep], starts), shape=of.shape)


def _sorted(counts: Any) -> csr_matrix:
    found = csr_matrix(counts, dtype=np.float32)
    found.eliminate_zeros()
    found.sort_indices()
    return found
