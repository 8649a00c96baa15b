"""Exact search in numpy: the reference that every other index is measured against.

An index holds (number, vector) pairs and knows nothing of databases, files or filters; a filter
reaches it as the array of numbers it may give.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmsdk.types import Vectors

Numbers = NDArray[np.int64]
Found = tuple[Numbers, NDArray[np.float32]]
"""Numbers and cosines of one query's neighbours, nearest first, ties by number."""


class Index(Protocol):
    """Find the nearest of numbered unit vectors."""

    kind: str

    def __len__(self) -> int: ...

    def add(self, numbers: Numbers, vectors: Vectors) -> None:
        """Put in vectors under new numbers."""
        ...

    def remove(self, numbers: Numbers) -> None:
        """Take out what is there of these numbers."""
        ...

    def search(self, queries: Vectors, k: int, *, among: Numbers | None = None) -> list[Found]:
        """Give the ``k`` nearest of each query row, of ``among`` only when given (sorted)."""
        ...


class ExactIndex:
    """Hold vectors in one array and compare with all of them.

    >>> index = ExactIndex(2)
    >>> index.add(np.array([7, 9]), np.eye(2, dtype=np.float32))
    >>> [(numbers.tolist(), cosines.tolist()) for numbers, cosines in index.search(np.eye(2, dtype=np.float32)[1:], 1)]
    [([9], [1.0])]
    """

    kind = "exact"

    def __init__(self, dimension: int) -> None:
        self.numbers: Numbers = np.empty(0, np.int64)
        self.vectors: Vectors = np.empty((0, dimension), np.float32)

    def __len__(self) -> int:
        return len(self.numbers)

    def add(self, numbers: Numbers, vectors: Vectors) -> None:
        """Put in vectors under new numbers."""
        self.numbers = np.concatenate([self.numbers, numbers])
        self.vectors = np.concatenate([self.vectors, vectors])

    def remove(self, numbers: Numbers) -> None:
        """Take out what is there of these numbers."""
        kept = ~np.isin(self.numbers, numbers)
        self.numbers, self.vectors = self.numbers[kept], self.vectors[kept]

    def search(self, queries: Vectors, k: int, *, among: Numbers | None = None) -> list[Found]:
        """Give the ``k`` nearest of each query row, of ``among`` only when given."""
        numbers, vectors = self.numbers, self.vectors
        if among is not None:
            kept = np.isin(numbers, among)
            numbers, vectors = numbers[kept], vectors[kept]
        return [ranked(numbers, row, k) for row in queries @ vectors.T]


def ranked(numbers: Numbers, cosines: NDArray[np.float32], k: int) -> Found:
    """Give the ``k`` largest, largest first, ties by number."""
    if len(numbers) > k:
        edge = np.partition(cosines, len(cosines) - k)[len(cosines) - k]
        kept = cosines >= edge
        numbers, cosines = numbers[kept], cosines[kept]
    order = np.lexsort((numbers, -cosines))[:k]
    return numbers[order], cosines[order]


def merged(found: Sequence[Found], k: int) -> Found:
    """Give the ``k`` nearest of several lists for one query."""
    numbers = np.concatenate([np.empty(0, np.int64), *(part[0] for part in found)])
    return ranked(numbers, np.concatenate([np.empty(0, np.float32), *(part[1] for part in found)]), k)
