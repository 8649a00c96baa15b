"""Trained indexes by FAISS (Douze et al. 2024, https://arxiv.org/abs/2401.08281), on the CPU or on GPUs.

An index holds vectors by position, 0 to ``len - 1``, and never changes after it was built: what is
deleted or filtered out is left out of a search, what is new is searched elsewhere. Kinds that do not
give float32 vectors back find more candidates than asked, and those are compared by their true
vectors, so every cosine is exact. It knows nothing of databases, files or digests.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import faiss as library
import numpy as np
from numpy.typing import NDArray

from mmsdk.errors import CorruptionError, SettingsError
from mmsdk.stores.indexes.exact import Found, Numbers, merged, products, ranked
from mmsdk.stores.indexes.gpu import GpuCopy, widened
from mmsdk.stores.indexes.kinds import EXACT
from mmsdk.types import Vectors

log = logging.getLogger(__name__)
faiss: Any = library  # its type stubs lack half of it
Rows = tuple[Numbers, Vectors]
Fetch = Callable[[Numbers], Vectors]
"""Give the true vectors at positions."""
FEW = 4096
"""Up to so many allowed rows are always compared one by one: exact whatever the kind."""
_AT_ONCE = 1000
"""FAISS gives more rows back by threads, which wait longer for each other than that takes on a busy machine."""
_NEIGHBOURS = 10
_HELD_OUT = 256
_WIDEST = 32
_EFFORTS = tuple(2**power for power in range(15))
# Seconds, measured on two cores at 384 dimensions (docs/log): they only decide which way is taken.
_SECONDS_TO_GIVE_BACK = 0.4e-6
_SECONDS_TO_READ = 5e-6
_SECONDS_TO_PASS = 3e-9
_SECONDS_TO_COMPARE = 40e-9


class Allowed:
    """Say which positions a search may give; ``mask`` is boolean ``[rows]``."""

    def __init__(self, mask: NDArray[np.bool_]) -> None:
        self.mask = mask
        self.count = int(np.count_nonzero(mask))

    @cached_property
    def positions(self) -> Numbers:
        """The allowed positions, sorted."""
        return np.flatnonzero(self.mask).astype(np.int64)

    @cached_property
    def selector(self) -> Any:
        """The selector that FAISS takes."""
        return faiss.IDSelectorBitmap(np.packbits(self.mask, bitorder="little"))


@dataclass(frozen=True)
class Traits:
    """Hold what was found out about an index when it was built.

    ``effort`` is nprobe or efSearch, ``widen`` how many candidates a neighbour are compared, ``recall`` the
    share of the 10 nearest that this finds on held-out rows of the collection. ``lossless`` kinds give
    vectors back as they were; ``selects`` says that the kind takes ID selectors.
    """

    kind: str
    effort: int
    widen: int
    recall: float
    lossless: bool
    selects: bool

    def to_json(self) -> dict[str, Any]:
        """Give the fields."""
        return asdict(self)


class FaissIndex:
    """Search a trained index; threads may do so at the same time."""

    def __init__(self, index: Any, traits: Traits, *, copy: GpuCopy | None = None) -> None:
        self._index, self.traits, self._copy = index, traits, copy
        inverted = _inverted(index)
        self._lists = int(inverted.nlist) if inverted is not None else 0
        if traits.lossless and inverted is not None:
            inverted.make_direct_map()

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def device(self) -> str:
        """Where unfiltered searches run."""
        return "cpu" if self._copy is None else self._copy.device

    def search(self, queries: Vectors, k: int, *, allowed: Allowed | None, fetch: Fetch) -> list[Found]:
        """Give positions and exact cosines of the ``k`` nearest allowed rows; fewer only when fewer are allowed.

        Among up to ``FEW`` allowed rows they are the exact ``k`` nearest.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        count = len(self) if allowed is None else allowed.count
        if count == 0:
            return [(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in queries]
        if allowed is not None and self._compares(count, k, len(queries)):
            return self._compared(queries, k, allowed, fetch=fetch)
        wanted = min(k, count)
        found = self._on_gpu(queries, k, allowed, fetch=fetch)
        if any(len(positions) < wanted for positions, _ in found):
            found = self._candidates(queries, k, allowed)
            if not self.traits.lossless:
                found = _rescored(queries, k, found, fetch=fetch)
        short = [place for place, (positions, _) in enumerate(found) if len(positions) < wanted]
        if short:
            everything = allowed or Allowed(np.ones(len(self), np.bool_))
            compared = self._compared(queries[short], k, everything, fetch=fetch)
            for place, full in zip(short, compared, strict=True):
                found[place] = full
        return found

    def _compares(self, count: int, k: int, queries: int) -> bool:
        """Say whether comparing every allowed row costs less than searching with a selector."""
        if count <= max(FEW, self._wide(k)):
            return True
        read = _SECONDS_TO_GIVE_BACK if self.traits.lossless else _SECONDS_TO_READ
        compared = count * (read + queries * _SECONDS_TO_COMPARE)
        share = self._effort(count) / self._lists if self._lists else 1.0
        selected = queries * share * (len(self) * _SECONDS_TO_PASS + count * _SECONDS_TO_COMPARE)
        return compared < selected

    def _compared(self, queries: Vectors, k: int, allowed: Allowed, *, fetch: Fetch) -> list[Found]:
        """Compare with every allowed row, a block at a time."""
        lists: list[list[Found]] = [[] for _ in queries]
        give = self._given_back(fetch)
        for start in range(0, allowed.count, _AT_ONCE):
            positions = allowed.positions[start : start + _AT_ONCE]
            for parts, row in zip(lists, products(queries, give(positions)), strict=True):
                parts.append(ranked(positions, row, k))
        return [merged(parts, k) for parts in lists]

    def _given_back(self, fetch: Fetch) -> Fetch:
        return self._index.reconstruct_batch if self.traits.lossless else fetch

    def _effort(self, count: int) -> int:
        """Give the effort under a filter: as many allowed rows should be met as without one."""
        scaled = self.traits.effort * len(self) // max(count, 1)
        return min(scaled, self._lists) if self._lists else min(scaled, 4 * self.traits.effort)

    def _wide(self, k: int) -> int:
        """Give the number of candidates that are compared for ``k`` neighbours."""
        return k if self.traits.lossless else max(k, _NEIGHBOURS) * self.traits.widen

    def _on_gpu(self, queries: Vectors, k: int, allowed: Allowed | None, *, fetch: Fetch) -> list[Found]:
        """Search the copy on GPUs; rows are short where there is none or it cannot give enough."""
        count = len(self) if allowed is None else allowed.count
        rescores = self._copy is not None and (self._copy.is_rough or not self.traits.lossless)
        wanted = min(max(self._wide(k), 4 * k if rescores else k), count)
        answer = None if self._copy is None else self._copy.search(queries, wanted, rows=len(self), count=count)
        if answer is None:
            return [merged((), k) for _ in queries]
        found = _kept(*answer, allowed)
        if rescores:
            return _rescored(queries, k, found, fetch=self._given_back(fetch))
        return [(positions[:k], cosines[:k]) for positions, cosines in found]

    def _candidates(self, queries: Vectors, k: int, allowed: Allowed | None) -> list[Found]:
        """Search on the CPU, with a selector where the kind takes one."""
        count = len(self) if allowed is None else allowed.count
        wanted = min(self._wide(k), count)
        if allowed is None or self.traits.selects:
            selector = None if allowed is None else allowed.selector
            parameters = _parameters(self._index, max(self._effort(count), 1), wanted=wanted, selector=selector)
            scores, positions = self._index.search(queries, wanted, params=parameters)
            return _kept(scores, positions, None)
        asked = widened(wanted, len(self), count)
        parameters = _parameters(self._index, self.traits.effort, wanted=asked)
        scores, positions = self._index.search(queries, asked, params=parameters)
        found = _kept(scores, positions, allowed)
        return [(positions[:wanted], cosines[:wanted]) for positions, cosines in found]

    def write(self, put: Callable[[bytes], Any]) -> None:
        """Hand over the index as FAISS writes it to files, in pieces; it carries no checksum of its own."""
        writer = faiss.PyCallbackIOWriter(put, 1 << 22)
        faiss.write_index(self._index, writer)
        del writer  # flushes nothing, but must not outlive what it writes to

    @classmethod
    def mapped(cls, data: NDArray[np.uint8], traits: Traits, *, copy: Callable[[Any], GpuCopy | None]) -> "FaissIndex":
        """Use bytes, whose digest was checked, where they are. Raises ``CorruptionError`` when FAISS cannot."""
        try:
            index = faiss.read_index(faiss.ZeroCopyIOReader(faiss.swig_ptr(data), data.size), faiss.IO_FLAG_MMAP_IFC)
            index.referenced_objects = [data]
            return cls(index, traits, copy=copy(index))
        except RuntimeError as error:
            raise CorruptionError(f"FAISS cannot read the index: {error}") from error


def build(kind: str, sample: Rows, batches: Iterable[Rows], *, recall: float) -> tuple[FaissIndex, Numbers]:
    """Train an index, fill it, and find the least effort that reaches a recall; give it and its numbers by position.

    ``sample`` is random rows. The first are held out of training and of the index while they are its queries,
    and put in last. Raises ``SettingsError`` for a kind that FAISS does not know for this dimension.
    """
    cut = min(_HELD_OUT, len(sample[0]) // 20)
    held, queries = sample[0][:cut], sample[1][:cut]
    index = _trained(kind, sample[1][cut:] if len(sample[0]) >= 4 * _HELD_OUT else sample[1])
    truth, placed = [merged((), _NEIGHBOURS) for _ in held], []
    for numbers, vectors in batches:
        kept = ~np.isin(numbers, held)
        positions = np.arange(index.ntotal, index.ntotal + np.count_nonzero(kept), dtype=np.int64)
        index.add(vectors[kept])
        near = [ranked(positions, row, _NEIGHBOURS) for row in queries @ vectors[kept].T]
        truth = [merged(pair, _NEIGHBOURS) for pair in zip(truth, near, strict=True)]
        placed.append(numbers[kept])
    traits = _calibrated(FaissIndex(index, _traits(index, kind)), queries, [near for near, _ in truth], recall=recall)
    last = np.argsort(held)
    index.add(queries[last])
    return FaissIndex(index, traits), np.concatenate([*placed, held[last]])


def check(kind: str, dimension: int) -> None:
    """Raise ``SettingsError`` for a kind that FAISS does not know for this dimension."""
    if kind != EXACT:
        _empty(kind, dimension)


def _empty(kind: str, dimension: int) -> Any:
    try:
        return faiss.index_factory(dimension, kind, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise SettingsError(f"FAISS makes no index {kind!r} of {dimension} dimensions: {error}") from error


def _trained(kind: str, sample: Vectors) -> Any:
    index = _empty(kind, sample.shape[1])
    inner = _innermost(index)
    if hasattr(inner, "do_polysemous_training"):
        inner.do_polysemous_training = False  # takes most of the training and is for a search not done here
    for part in (inner, getattr(inner, "pq", None)):
        if part is not None and hasattr(part, "cp"):
            part.cp.min_points_per_centroid = 1  # small collections are trained on what they have, without warnings
    try:
        index.train(sample)
    except RuntimeError as error:
        raise SettingsError(f"an index {kind!r} cannot be trained on {len(sample)} rows: {error}") from error
    return index


def _traits(index: Any, kind: str) -> Traits:
    """Find out by trying what the kind can do."""
    lossless = isinstance(_innermost(index), faiss.IndexFlat | faiss.IndexIVFFlat | faiss.IndexHNSWFlat)
    lossless = lossless and not isinstance(index, faiss.IndexPreTransform | faiss.IndexRefine)
    try:
        selector = faiss.IDSelectorBitmap(np.full((index.ntotal + 7) // 8, 255, np.uint8))
        index.search(np.zeros((1, index.d), np.float32), 1, params=_parameters(index, 1, wanted=1, selector=selector))
        selects = True
    except RuntimeError:
        selects = False
    return Traits(kind, 1, 1 if lossless else _WIDEST, 0.0, lossless, selects)


def _calibrated(index: FaissIndex, held: Vectors, truth: list[Numbers], *, recall: float) -> Traits:
    """Give the least effort, then the fewest candidates, that find the nearest."""

    def found(effort: int, widen: int) -> float:
        wanted = min(_NEIGHBOURS * widen, len(index))
        parameters = _parameters(index._index, effort, wanted=wanted)
        _, positions = index._index.search(held, wanted, params=parameters)
        met = sum(len(np.intersect1d(row, near)) for row, near in zip(positions, truth, strict=True))
        return met / sum(map(len, truth))

    traits = index.traits
    if not truth or not len(index):  # too few rows to hold any out, or all were changed meanwhile
        return traits
    limit = index._lists or (_EFFORTS[-1] if _graph(index._index) is not None else 1)
    efforts = [effort for effort in _EFFORTS if effort < limit] + [limit]
    effort = next((effort for effort in efforts if found(effort, traits.widen) >= recall), limit)
    widths = [2**power for power in range(6) if 2**power <= traits.widen]
    widen = next((widen for widen in widths if found(effort, widen) >= recall), traits.widen)
    reached = found(effort, widen)
    if reached < recall:
        log.warning("%s finds %.3f of the nearest at most, less than %.3f", traits.kind, reached, recall)
    return Traits(traits.kind, effort, widen, round(reached, 4), traits.lossless, traits.selects)


def _rescored(queries: Vectors, k: int, found: list[Found], *, fetch: Fetch) -> list[Found]:
    """Compare candidates by their true vectors, each read once."""
    wanted = np.unique(np.concatenate([positions for positions, _ in found]))
    vectors = fetch(wanted)
    rows = [np.searchsorted(wanted, positions) for positions, _ in found]
    return [
        ranked(positions, vectors[places] @ query, k)
        for query, places, (positions, _) in zip(queries, rows, found, strict=True)
    ]


def _kept(cosines: NDArray[np.float32], positions: Numbers, allowed: Allowed | None) -> list[Found]:
    """Drop what FAISS did not find (-1) and what is not allowed."""
    good = positions >= 0
    if allowed is not None:
        good &= allowed.mask[np.maximum(positions, 0)]
    return [
        ranked(row[kept], scores[kept], len(row)) for scores, row, kept in zip(cosines, positions, good, strict=True)
    ]


def _parameters(index: Any, effort: int, *, wanted: int, selector: Any = None) -> Any:
    """Give what FAISS wants to be told for one search of this kind."""
    index = faiss.downcast_index(index)
    chosen = {"sel": selector} if selector is not None else {}
    if isinstance(index, faiss.IndexPreTransform):
        inner = _parameters(index.index, effort, wanted=wanted, selector=selector)
        return faiss.SearchParametersPreTransform(index_params=inner)
    if isinstance(index, faiss.IndexRefine):
        inner = _parameters(index.base_index, effort, wanted=4 * wanted, selector=selector)
        return faiss.IndexRefineSearchParameters(k_factor=4, base_index_params=inner)
    if isinstance(index, faiss.IndexIVF):
        return faiss.SearchParametersIVF(nprobe=effort, **chosen)
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(efSearch=max(effort, wanted), **chosen)
    return faiss.SearchParameters(**chosen) if chosen else None


def _innermost(index: Any) -> Any:
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexPreTransform):
        return _innermost(index.index)
    return _innermost(index.base_index) if isinstance(index, faiss.IndexRefine) else index


def _inverted(index: Any) -> Any:
    inner = _innermost(index)
    return inner if isinstance(inner, faiss.IndexIVF) else None


def _graph(index: Any) -> Any:
    inner = _innermost(index)
    return inner if isinstance(inner, faiss.IndexHNSW) else None
