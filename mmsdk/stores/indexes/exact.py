"""Exact search: every vector counts, and the nearest found are the nearest there are.

An index holds (number, vector) pairs and knows nothing of databases, files or filters; a filter
reaches it as the array of numbers it may give.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mmsdk.stores.indexes.codes import Codes, room, worthwhile
from mmsdk.types import Vectors

_SMALL = 4096
"""Up to this many rows, numpy's product in float32 is as fast and torch need not be there."""
Real = TypeVar("Real", np.float32, np.float64)
Numbers = NDArray[np.int64]
Found = tuple[Numbers, NDArray[np.float32]]
"""Numbers and cosines of one query's neighbours, nearest first, ties by number."""


class Index(Protocol):
    """Find the nearest of numbered unit vectors.

    Changing an index leaves every ``copy.copy`` made of it before as it was: it puts new arrays in place of
    the old ones or writes behind the rows that copies see. So threads search copies without a lock while
    the next state is made. Only the newest copy is changed.
    """

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
    """Compare with every vector; the k nearest are always the true ones.

    From 4,096 rows on, a pass over an 8-bit copy leaves out what is provably not among the k nearest, and only
    the rest is compared in float32. Memory: 4 bytes a component, and 1 more for the copy.

    >>> index = ExactIndex(2)
    >>> index.add(np.array([7, 9]), np.eye(2, dtype=np.float32))
    >>> [(numbers.tolist(), cosines.tolist()) for numbers, cosines in index.search(np.eye(2, dtype=np.float32)[1:], 1)]
    [([9], [1.0])]
    """

    kind = "exact"
    device = "cpu"

    def __init__(self, dimension: int) -> None:
        self._numbers: Numbers = np.empty(0, np.int64)
        self._vectors: Vectors = np.empty((0, dimension), np.float32)
        self._count = 0
        self._dead: Numbers = np.empty(0, np.int64)
        self._codes: Codes | None = None
        self._sorted: tuple[Numbers, Numbers] | None = None

    def __len__(self) -> int:
        return self._count - len(self._dead)

    @property
    def numbers(self) -> Numbers:
        """All numbers, in the order they were added."""
        return self._numbers[self._live()]

    @property
    def vectors(self) -> Vectors:
        """The vectors of ``numbers``; float32 ``[len, dimension]``."""
        return self._vectors[self._live()]

    def add(self, numbers: Numbers, vectors: Vectors) -> None:
        """Put in vectors under new numbers."""
        start, self._count = self._count, self._count + len(numbers)
        self._numbers = room(self._numbers, start, self._count)
        self._vectors = room(self._vectors, start, self._count)
        self._numbers[start : self._count], self._vectors[start : self._count] = numbers, vectors
        self._code(start)

    def remove(self, numbers: Numbers) -> None:
        """Take out what is there of these numbers; rows are moved together once an eighth of them is out."""
        gone = np.flatnonzero(np.isin(self._numbers[: self._count], numbers))
        self._dead, self._sorted = np.union1d(self._dead, gone), None
        if 8 * len(self._dead) > self._count:
            rows = self._live()
            self._numbers, self._vectors = self._numbers[rows], self._vectors[rows]
            self._codes = None if self._codes is None else self._codes.taken(rows)
            self._count, self._dead = len(self), self._dead[:0]

    def search(self, queries: Vectors, k: int, *, among: Numbers | None = None) -> list[Found]:
        """Give the ``k`` nearest of each query row, of ``among`` only when given."""
        rows = None if among is None else self._rows(among)
        size = len(self) if rows is None else len(rows)
        if self._codes is None or size <= max(k, _SMALL):
            chosen = self._live() if rows is None else rows
            return [ranked(self._numbers[chosen], row, k) for row in products(queries, self._vectors[chosen])]
        found = self._codes.candidates(queries, k, among=rows, but=self._dead)
        return [self._compared(query, near, k) for query, near in zip(queries, found, strict=True)]

    @classmethod
    def over(cls, numbers: Numbers, vectors: Vectors) -> "ExactIndex":
        """Use arrays, which may be those of a mapped file, where they are until rows are added."""
        index = cls(vectors.shape[1])
        index._numbers, index._vectors, index._count = numbers, vectors, len(numbers)
        index._code(0)
        return index

    def _code(self, start: int) -> None:
        """Bring what is derived up to date with the rows from ``start`` on."""
        self._sorted = None
        if self._codes is not None:
            self._codes = self._codes.extended(self._vectors[start : self._count])
        elif self._count > _SMALL and worthwhile(self._vectors.shape[1]):
            self._codes = Codes(self._vectors[: self._count])

    def _live(self) -> slice | Numbers:
        if len(self._dead) == 0:
            return slice(self._count)
        return np.delete(np.arange(self._count), self._dead)

    def _rows(self, numbers: Numbers) -> Numbers:
        """Give the rows of the numbers that are there."""
        if self._sorted is None:
            live = np.arange(self._count)[self._live()]
            order = live[np.argsort(self._numbers[live], kind="stable")]
            self._sorted = self._numbers[order], order
        known, order = self._sorted
        if len(known) == 0:
            return order
        places = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
        rows: Numbers = order[places[known[places] == numbers]]
        return rows

    def _compared(self, query: Vectors, rows: Numbers, k: int) -> Found:
        cosines: NDArray[np.float32] = np.einsum("rd,d->r", self._vectors[rows], query)
        return ranked(self._numbers[rows], cosines, k)


def products(queries: Vectors, vectors: Vectors) -> Vectors:
    """Give the cosines, ``[queries, rows]``; of one query without BLAS, whose threads wait longer for each other."""
    if len(queries) == 1:
        return np.asarray(np.einsum("rd,d->r", vectors, queries[0])[None])
    return queries @ vectors.T


def ranked(numbers: Numbers, scores: NDArray[Real], k: int) -> tuple[Numbers, NDArray[Real]]:
    """Give the ``k`` largest, largest first, ties by number."""
    if len(numbers) > k > 0:
        edge = np.partition(scores, len(scores) - k)[len(scores) - k]
        kept = scores >= edge
        numbers, scores = numbers[kept], scores[kept]
    order = np.lexsort((numbers, -scores))[:k]
    return numbers[order], scores[order]


def merged(found: Sequence[Found], k: int) -> Found:
    """Give the ``k`` nearest of several lists for one query."""
    numbers = np.concatenate([np.empty(0, np.int64), *(part[0] for part in found)])
    return ranked(numbers, np.concatenate([np.empty(0, np.float32), *(part[1] for part in found)]), k)
