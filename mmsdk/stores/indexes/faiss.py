"""Exact search by FAISS (Douze et al. 2024, https://arxiv.org/abs/2401.08281), on the CPU or on GPUs.

The index of the CPU is the one that changes and is saved; with a GPU, a copy of it answers
unfiltered searches. It knows nothing of databases; digests of its bytes are the caller's business.
"""

import logging
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from mmsdk.errors import CorruptionError
from mmsdk.stores.indexes.exact import Found, Numbers, ranked
from mmsdk.types import Vectors

log = logging.getLogger(__name__)
_FEW = 20_000
"""Filtered searches compare with each match up to this many, and use FAISS's selector beyond."""


class FaissIndex:
    """Hold vectors in a flat inner-product index; ``device`` is auto, cpu, or cuda (every visible GPU).

    >>> index = FaissIndex(2)
    >>> index.add(np.array([7, 9]), np.eye(2, dtype=np.float32))
    >>> [numbers.tolist() for numbers, _ in index.search(np.eye(2, dtype=np.float32), 1)]
    [[7], [9]]
    """

    kind = "IDMap2,Flat"

    def __init__(self, dimension: int, *, device: str = "cpu") -> None:
        self._index: Any = faiss.IndexIDMap2(faiss.IndexFlatIP(dimension))
        self._gpus = _gpus(device)
        self._copy: Any = None

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def numbers(self) -> Numbers:
        """All numbers, in the order they were added."""
        return np.asarray(faiss.vector_to_array(self._index.id_map), np.int64)

    @property
    def device(self) -> str:
        """Where unfiltered searches run."""
        return f"cuda ({self._gpus} GPUs)" if self._gpus else "cpu"

    def add(self, numbers: Numbers, vectors: Vectors) -> None:
        """Put in vectors under new numbers."""
        self._copy = None
        self._index.add_with_ids(np.ascontiguousarray(vectors), np.ascontiguousarray(numbers, np.int64))

    def remove(self, numbers: Numbers) -> None:
        """Take out what is there of these numbers."""
        self._copy = None
        self._index.remove_ids(np.ascontiguousarray(numbers, np.int64))

    def search(self, queries: Vectors, k: int, *, among: Numbers | None = None) -> list[Found]:
        """Give the ``k`` nearest of each query row, of ``among`` only when given."""
        queries = np.ascontiguousarray(queries, np.float32)
        if among is None:
            return _found(*self._searcher().search(queries, min(k, len(self)))) if len(self) else _nothing(queries)
        present = among[np.isin(among, self.numbers)]
        if len(present) == 0:
            return _nothing(queries)
        if len(present) <= max(k, _FEW):
            vectors = self._index.reconstruct_batch(present)
            return [ranked(present, row, k) for row in queries @ vectors.T]
        options: Any = faiss.SearchParameters()
        options.sel = faiss.IDSelectorBatch(present)
        return _found(*self._index.search(queries, k, params=options))

    def to_bytes(self) -> bytes:
        """Give the index as FAISS writes it to files; it carries no checksum of its own."""
        data: NDArray[np.uint8] = faiss.serialize_index(self._index)
        return data.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, *, device: str = "cpu") -> "FaissIndex":
        """Read bytes whose digest was checked. Raises ``CorruptionError`` when FAISS cannot read them."""
        index = cls(1, device=device)
        try:
            index._index = faiss.deserialize_index(np.frombuffer(data, np.uint8))
        except RuntimeError as error:
            raise CorruptionError(f"FAISS cannot read the index: {error}") from error
        return index

    def _searcher(self) -> Any:
        if not self._gpus:
            return self._index
        if self._copy is None:
            self._copy = faiss.index_cpu_to_all_gpus(self._index)
        return self._copy


def _gpus(device: str) -> int:
    if device in ("cpu", "mps"):
        return 0
    count = int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0
    if count == 0:
        reason = "no GPU is visible" if hasattr(faiss, "StandardGpuResources") else "this is faiss-cpu"
        log.log(logging.INFO if device == "auto" else logging.WARNING, "FAISS searches on the CPU: %s", reason)
    return count


def _found(cosines: NDArray[np.float32], numbers: Numbers) -> list[Found]:
    return [ranked(row[row >= 0], scores[row >= 0], len(row)) for scores, row in zip(cosines, numbers, strict=True)]


def _nothing(queries: Vectors) -> list[Found]:
    return [(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in queries]
