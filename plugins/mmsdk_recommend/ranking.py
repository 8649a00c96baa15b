"""The best of many scores, exactly and fast."""

import numpy as np
from numpy.typing import NDArray

from mmsdk_recommend.interactions import Floats, Numbers

_BLOCK = 64


def top(scores: Floats, k: int) -> Numbers:
    """Give the places of the ``k`` largest of each row, best first, of equals the first; int64 ``[rows, min(k, n)]``.

    The largest are in the k blocks of the largest maxima: only those are sorted.

    >>> top(np.array([[0.1, 0.9, 0.5]], np.float32), 2).tolist()
    [[1, 2]]
    """
    rows, width = scores.shape
    k = min(k, width)
    if k == 0 or rows == 0:
        return np.zeros((rows, k), np.int64)
    places: NDArray[np.int64] = np.broadcast_to(np.arange(width), scores.shape)
    if width > 8 * _BLOCK * k:
        whole = width // _BLOCK
        maxima = scores[:, : whole * _BLOCK].reshape(rows, whole, _BLOCK).max(axis=2)
        blocks = np.sort(top(maxima, k), axis=1)
        rest = np.arange(whole * _BLOCK, width)
        inside = (blocks[:, :, None] * _BLOCK + np.arange(_BLOCK)).reshape(rows, -1)
        places = np.concatenate([inside, np.broadcast_to(rest, (rows, len(rest)))], axis=1)
        scores = np.take_along_axis(scores, places, 1)
    if scores.shape[1] > 4 * k:
        floor = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]
        # what is above the k-th value, then the first of those equal to it
        kind = (scores <= floor).astype(np.int8) + (scores < floor)
        keep = np.argsort(kind, axis=1, kind="stable")[:, :k]  # radix sort
        places, scores = np.take_along_axis(places, keep, 1), np.take_along_axis(scores, keep, 1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(places, order, 1)
