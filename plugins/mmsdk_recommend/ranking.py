"""The best of many scores, exactly and fast."""

import numpy as np
from numpy.typing import NDArray

from mmsdk_recommend.interactions import Floats, Numbers

Mask = NDArray[np.bool_]
_HALVINGS = 6
_NARROW = 512
"""Scores a row up to which one is sorted as a whole."""


def top(scores: Floats, k: int) -> Numbers:
    """Give the places of the ``k`` largest of each row, best first, of equals the first; int64 ``[rows, min(k, n)]``.

    Maxima of groups of items give a floor that k items reach and few others do: only what reaches it is sorted.

    >>> top(np.array([[0.1, 0.9, 0.5]], np.float32), 2).tolist()
    [[1, 2]]
    """
    rows, width = scores.shape
    k = min(k, width)
    if k == 0 or rows == 0:
        return np.zeros((rows, k), np.int64)
    if width <= max(_NARROW, 8 * k):
        return np.argsort(-scores, axis=1, kind="stable")[:, :k]
    reach = scores >= _floor(scores, k)
    flat, starts = _places(reach)
    many = np.diff(starts) > 8 * k  # of equals
    if many.any():
        reach[many] = _exactly(scores[many], k)
        flat, starts = _places(reach)
    counts = np.diff(starts)
    wide = np.zeros((rows, int(counts.max())), np.int64)
    there = np.arange(wide.shape[1]) < counts[:, None]
    wide[there] = flat - np.repeat(np.arange(rows) * width, counts)
    values = np.where(there, np.take_along_axis(scores, wide, 1), -np.inf)
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(wide, order, 1)


def _floor(scores: Floats, k: int) -> Floats:
    """Give a value that at least ``k`` of each row reach; ``[rows, 1]``."""
    maxima = scores
    for _ in range(_HALVINGS):
        half = maxima.shape[1] // 2
        if half < 4 * k:
            break
        maxima = np.maximum(maxima[:, :half], maxima[:, half : 2 * half])  # an odd one out only lowers the floor
    place = maxima.shape[1] - k
    return np.partition(maxima, place, axis=1)[:, place : place + 1]


def _places(reach: Mask) -> tuple[Numbers, Numbers]:
    """Give the places of what is true in the run of all rows, and where each row starts in them."""
    flat = np.flatnonzero(reach)
    return flat, np.searchsorted(flat, np.arange(len(reach) + 1) * reach.shape[1])


def _exactly(scores: Floats, k: int) -> Mask:
    """Mark the ``k`` largest of each row, of equals the first."""
    place = scores.shape[1] - k
    least = np.partition(scores, place, axis=1)[:, place : place + 1]
    above = scores > least
    equal = scores == least
    left = k - np.count_nonzero(above, axis=1)
    return np.asarray(above | (equal & (np.cumsum(equal, axis=1, dtype=np.int32) <= left[:, None])))
