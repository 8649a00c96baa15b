"""The map from content to the item space: scores of new items out of those of known items with like content.

A ridge regression, over the known items, of any score on content. Since a regression is linear in what it is fitted
to, the score of a new item is a fixed combination of the scores of known items: it can be told apart like any score.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsdk_recommend.interactions import Floats, Numbers


@dataclass(frozen=True, eq=False)
class ColdMap:
    """Hold the map: ``known`` and ``new`` are item numbers; ``left`` ``[known, d + 1]`` @ ``right`` ``[d + 1, new]``.

    >>> content = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    >>> counts = np.array([5, 5, 0])
    >>> fitted = ColdMap.fit(content, counts, l2=0.01)
    >>> fitted.filled(np.array([[3.0, 1.0, 0.0]], np.float32)).round(1).tolist()
    [[3.0, 1.0, 3.0]]
    """

    known: Numbers
    new: Numbers
    left: NDArray[np.float32]
    right: NDArray[np.float32]

    @classmethod
    def fit(cls, content: Floats, counts: Numbers, *, l2: float) -> "ColdMap":
        """Fit on items that have content and users; an item of n users counts n / (n + 10)."""
        has = np.abs(content).sum(axis=1) > 0
        known, new = np.flatnonzero(has & (counts > 0)), np.flatnonzero(has & (counts == 0))
        trust = counts[known] / (counts[known] + 10.0)
        share = trust / max(trust.sum(), 1e-9)
        wide = content[known].astype(np.float64)
        middle = share @ wide
        wide -= middle
        gram = (wide.T * trust) @ wide
        gram[np.diag_indices_from(gram)] += l2
        solved = np.linalg.solve(gram, (wide.T * trust)).T
        left = np.column_stack([solved - np.outer(share, solved.sum(axis=0)), share])
        right = np.vstack([(content[new].astype(np.float64) - middle).T, np.ones(len(new))])
        return cls(known, new, left.astype(np.float32), right.astype(np.float32))

    def filled(self, scores: Floats) -> Floats:
        """Write the scores of new items into ``[rows, items]``, in place."""
        if len(self.new):
            scores[:, self.new] = (scores[:, self.known] @ self.left) @ self.right
        return scores

    def target(self, item: int, width: int) -> NDArray[np.float64]:
        """Give the combination of known items that a new item's score is; float64 ``[width]``."""
        found = np.zeros(width)
        place = int(np.searchsorted(self.new, item))
        found[self.known] = self.left.astype(np.float64) @ self.right[:, place]
        return found
