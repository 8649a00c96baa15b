"""Which kind of index a collection gets, by the number of its rows and the memory it may take.

A kind is ``exact`` or a string of FAISS's index factory. It knows nothing of FAISS itself.
"""

import math
import re

EXACT = "exact"
EXACT_BELOW = 50_000
"""Rows up to which comparing with every vector is fast enough: 4 to 8 ms for 384 dimensions on two cores."""
_LISTS = (256, 16_384)
_PER_CENTROID = 39
"""Rows a centroid that k-means should see (FAISS warns below it)."""


def chosen(kind: str, rows: int, dimension: int, *, memory: int, gpu: bool = False) -> str:
    """Give the kind for so many rows: the named one, or for ``auto`` by size and bytes of memory.

    Exact below 50,000 rows; then, on a GPU, float32 compared with every row while it fits the memory; then
    inverted lists of float32 while those fit, of 8-bit codes while these do, else of product codes of a byte for
    four dimensions. ``IVF`` without a number gets four times the square root of the rows as lists, to a power of
    two. A kind that cannot be trained on so few rows yet is exact until then.

    >>> chosen("auto", 1_000_000, 384, memory=4 << 30)
    'IVF4096,Flat'
    """
    if kind == "auto":
        coding = _coding(rows, dimension, memory)
        kind = EXACT if rows < EXACT_BELOW else coding if gpu and coding == "Flat" else f"IVF,{coding}"
    kind = re.sub(r"\bIVF(?=[,_])", f"IVF{_lists(rows)}", kind)
    return kind if rows >= least(kind) else EXACT


def family(kind: str) -> str:
    """Give the kind without the number of its lists, which follows the rows."""
    return re.sub(r"\bIVF\d+", "IVF", kind)


def least(kind: str) -> int:
    """Give the rows that a kind needs to be trained."""
    lists = [int(count) for count in re.findall(r"\bIVF(\d+)", kind)]
    bits = [int(found or 8) for found in re.findall(r"\bPQ\d+(?:x(\d+))?", kind)]
    return max([1, *lists, *(1 << count for count in bits)])


def sample(kind: str) -> int:
    """Give the rows that training a kind should see."""
    return max(_PER_CENTROID * least(kind), 10_000)


def _coding(rows: int, dimension: int, memory: int) -> str:
    if rows * dimension * 4 <= memory:
        return "Flat"
    return "SQ8" if rows * dimension <= memory else f"PQ{_parts(dimension)}"


def _parts(dimension: int) -> int:
    """Give the number of parts of a product code: the most that divide the dimension into four or more each."""
    return next(parts for parts in range(max(dimension // 4, 1), 0, -1) if dimension % parts == 0)


def _lists(rows: int) -> int:
    return min(max(1 << round(math.log2(4 * max(rows, 1) ** 0.5)), _LISTS[0]), _LISTS[1])
