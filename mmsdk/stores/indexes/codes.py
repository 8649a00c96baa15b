"""An 8-bit copy of vectors that names the rows that can be among a query's nearest, and proves that no other can.

A vector ``x`` is kept as ``scale * code``; with the parts that rounding lost, ``x - x'`` and ``q - q'``,

    |q.x - q'.x'|  =  |q.(x - x') + (q - q').x'|  <=  |q| |x - x'| + |q - q'| |x'|        (Cauchy-Schwarz)

so whatever is farther than twice this bound below the k-th best of the copy is not among the k nearest. It knows
nothing of numbers and filters.
"""

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsdk.types import Vectors

Rows = NDArray[np.int64]
_LEVELS = 127
_ROUNDING = 1e-6
"""What sums of float32 may be off by, relative to the norms of the vectors."""
_INSTRUCTIONS = ("avx512_vnni", "avx_vnni", "amx_int8")
"""With any of these, 8-bit products of torch are several times as fast as those of float32."""
_BLOCK = 512
_SCORES = 1 << 22
"""Scores that are in memory at a time: more of them leave the processor's cache."""


class Codes:
    """Keep int8 codes ``[rows, dimension]`` and one float32 scale a row; never changes what a copy of it sees.

    >>> codes = Codes(np.eye(3, dtype=np.float32))
    >>> [rows.tolist() for rows in codes.candidates(np.array([[0, 1, 0.1]], np.float32), 1)]
    [[1]]
    """

    def __init__(self, vectors: Vectors) -> None:
        self._codes = np.empty(vectors.shape, np.int8)
        self._scales = np.empty(len(vectors), np.float32)
        self._count, self._lost, self._longest = 0, 0.0, 0.0
        self._append(vectors)

    def __len__(self) -> int:
        return self._count

    def extended(self, vectors: Vectors) -> "Codes":
        """Give these codes with those of more vectors behind them."""
        larger = copy(self)
        larger._append(vectors)
        return larger

    def taken(self, rows: Rows | slice) -> "Codes":
        """Give the codes of some rows."""
        fewer = copy(self)
        fewer._codes, fewer._scales = self._codes[rows], self._scales[rows]
        fewer._count = len(fewer._scales)
        return fewer

    def candidates(
        self, queries: Vectors, k: int, *, among: Rows | None = None, but: Rows | None = None
    ) -> Iterator[Rows]:
        """Give for each query the rows that can be among its ``k`` nearest.

        Counted are the rows ``among``, or else all ``but`` some; there must be ``k`` of them.
        """
        codes, scales, lost = coded(queries)
        norms = np.linalg.norm(queries, axis=1)
        bounds = norms * self._lost + lost * (self._longest + self._lost) + _ROUNDING * norms * self._longest
        slack = (2 * bounds / np.maximum(scales, np.finfo(np.float32).tiny)).astype(np.float32)
        step = max(1, _SCORES // max(1, self._count))
        for start in range(0, len(queries), step):
            scores = self._scores(codes[start : start + step], among, but)
            edges = _least(scores, k) - slack[start : start + step]
            for row, edge in zip(scores.numpy(), edges, strict=True):
                kept = np.flatnonzero(row >= edge)
                yield kept if among is None else among[kept]

    def _scores(self, queries: NDArray[np.int8], among: Rows | None, but: Rows | None) -> Any:
        """Give float32 ``[n, rows]``: cosines by the codes over the scale of the query, -inf for the rows left out."""
        import torch

        stored, scales = torch.from_numpy(self._codes[: self._count]), torch.from_numpy(self._scales[: self._count])
        scores = torch._int_mm(torch.from_numpy(queries), stored.T) * scales
        if among is not None:
            return scores.index_select(1, torch.from_numpy(among))
        return scores if but is None or len(but) == 0 else scores.index_fill_(1, torch.from_numpy(but), -torch.inf)

    def _append(self, vectors: Vectors) -> None:
        wanted = self._count + len(vectors)
        self._codes, self._scales = room(self._codes, self._count, wanted), room(self._scales, self._count, wanted)
        for start in range(0, len(vectors), _BLOCK):
            block = vectors[start : start + _BLOCK]
            codes, scales, lost = coded(block)
            place = slice(self._count, self._count + len(block))
            self._codes[place], self._scales[place] = codes, scales
            self._lost = max(self._lost, float(lost.max(initial=0.0)))
            self._longest = max(self._longest, float(np.linalg.norm(block, axis=1).max(initial=0.0)))
            self._count += len(block)


def _least(scores: Any, k: int) -> NDArray[np.float32]:
    """Give the ``k``-th largest of each row: of one row by numpy in half the time, of several by torch's threads."""
    if len(scores) == 1:
        return np.asarray(np.partition(scores.numpy(), -k, axis=1)[:, -k])
    return np.asarray(scores.topk(k, dim=1, sorted=False).values.amin(dim=1).numpy())


def coded(vectors: Vectors) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float32]]:
    """Give codes ``[n, dimension]``, scales ``[n]`` and the norms ``[n]`` of what rounding lost."""
    scales = np.abs(vectors).max(axis=1, initial=0.0) / np.float32(_LEVELS)
    codes = np.rint(vectors / np.where(scales > 0, scales, 1)[:, None])
    lost = np.linalg.norm(vectors - codes * scales[:, None], axis=1)
    return codes.astype(np.int8), scales, lost


def room(array: NDArray[Any], used: int, wanted: int) -> NDArray[Any]:
    """Give an array that has space for ``wanted`` rows, at least doubling it, with the ``used`` ones in it."""
    if wanted <= len(array):
        return array
    larger = np.empty((max(wanted, 2 * used), *array.shape[1:]), array.dtype)
    larger[:used] = array[:used]
    return larger


@cache
def worthwhile(dimension: int) -> bool:
    """Say whether this machine multiplies 8-bit integers right and faster than float32.

    Where torch does not know of instructions for it, a trial of milliseconds says so, which other threads on the same
    cores can mislead.
    """
    try:
        import torch
    except ImportError:
        return False
    small = np.random.default_rng(0).integers(-_LEVELS, _LEVELS, (4096, dimension), np.int8)
    floats, codes = small.astype(np.float32), torch.from_numpy(small)

    def faster(n: int) -> bool:
        return _seconds(lambda: torch._int_mm(codes[:n], codes.T)) < _seconds(lambda: floats[:n] @ floats.T)

    try:
        is_right = bool((torch._int_mm(codes[:1], codes.T).numpy() == small[:1].astype(int) @ small.T).all())
    except (AttributeError, RuntimeError):
        return False
    if not is_right:
        return False
    known: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    has_library = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    is_known = has_library and any(known.get(name) for name in _INSTRUCTIONS)
    return is_known or (faster(1) and faster(32))


def _seconds(run: Callable[[], Any]) -> float:
    times = []
    for _ in range(4):
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return min(times)
