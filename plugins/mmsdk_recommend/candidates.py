"""Candidates through the core's FAISS indexes, for models whose score is an inner product of a user and an item.

What the index finds is scored exactly, so only what is found can differ from scoring all items; with a flat index
nothing does. Nothing here knows models or names.
"""

from collections.abc import Sequence

import numpy as np

from mmsdk.stores.indexes import kinds
from mmsdk.stores.indexes.faiss import Allowed, build
from mmsdk_recommend.conditions import Mask
from mmsdk_recommend.interactions import Floats, Numbers

_MEMORY = 8 << 30
_BLOCK = 32_768


class Candidates:
    """Find the items of the largest inner products; ``kind`` is a string of FAISS's index factory, or auto by size.

    ``recall`` is the share of the nearest that the index is tuned to find on held-out items.

    >>> items = np.random.default_rng(0).normal(size=(2000, 8)).astype(np.float32)
    >>> [found] = Candidates(items, "Flat").best(items[:1], 3, taken=[np.zeros(0, np.int64)])
    >>> found.tolist() == np.argsort(-items @ items[0])[:3].tolist()
    True
    """

    def __init__(self, items: Floats, kind: str, *, recall: float = 0.99) -> None:
        self.items = items
        kind = kinds.chosen(kind, len(items), items.shape[1], memory=_MEMORY)
        kind = "Flat" if kind == kinds.EXACT else kind
        some = np.random.default_rng(0).permutation(len(items))[: kinds.sample(kind)]
        blocks = (np.arange(start, min(start + _BLOCK, len(items))) for start in range(0, len(items), _BLOCK))
        rows = ((block, items[block]) for block in blocks)
        self._index, self._numbers = build(kind, (some, items[some]), rows, recall=recall)

    def best(self, users: Floats, k: int, *, taken: Sequence[Numbers], allowed: Mask | None = None) -> list[Numbers]:
        """Give the ``k`` best items of each row, best first, of equals the first, without what the row has ``taken``.

        ``users`` is ``[rows, d]``, ``allowed`` bool ``[items]``. Fewer come only where fewer were found.
        """
        wanted = k + max(map(len, taken), default=0)
        mask = None if allowed is None else Allowed(allowed[self._numbers])
        found = self._index.search(users, wanted, allowed=mask, fetch=lambda places: self.items[self._numbers[places]])
        rows = []
        for user, (places, _), own in zip(users, found, taken, strict=True):
            items = np.sort(self._numbers[places])
            items = items[~np.isin(items, own)]
            rows.append(items[np.argsort(-(self.items[items] @ user), kind="stable")][:k])
        return rows
