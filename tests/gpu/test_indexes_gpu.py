"""Indexes on GPUs: the store's contract, and the neighbours and cosines of the CPU. Skipped without a GPU."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsdk.errors import DeviceMemoryError
from mmsdk.protocols import Entry, Store
from mmsdk.settings import Indexing, Settings
from mmsdk.stores.indexes import gpu
from mmsdk.stores.local import LocalStore
from mmsdk.testing import StoreContract
from mmsdk.types import Chunk, Document, Locator, Vectors

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(gpu.visible() == 0, reason="no GPU is visible to FAISS")]
ENCODERS = [{"space": "s", "dimension": 64, "fingerprint": "f", "modalities": ["text"]}]
KINDS = ("Flat", "IVF64,Flat", "IVF64,PQ16", "IVF64,SQ8")
ROWS = 20_000


class TestLocalStoreOnGpu(StoreContract):
    folder: Path

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "collection"

    def store(self) -> Store:
        chosen = Settings(device="cuda", store=Indexing(index="Flat"))
        return LocalStore(self.folder, settings=chosen, encoders=self.encoders, create=True)


def _unit(rows: int, seed: int) -> Vectors:
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((200, 64))
    rough = centres[chance.integers(0, 200, rows)] + 0.7 * chance.standard_normal((rows, 64))
    return np.asarray(rough / np.linalg.norm(rough, axis=1, keepdims=True), np.float32)


def _opened(folder: Path, device: str, **options: Any) -> LocalStore:
    chosen = Settings(store=Indexing(device=device, **options))
    return LocalStore(folder, settings=chosen, encoders=ENCODERS, create=True)


@pytest.fixture(scope="module")
def rows() -> Vectors:
    return _unit(ROWS, 1)


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, rows: Vectors, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Build a collection with one kind of index on the CPU."""
    place, kind = tmp_path_factory.mktemp("gpu") / "c", str(request.param)
    with _opened(place, "cpu", index=kind) as store:
        for start in range(0, ROWS, 5000):
            store.upsert([_entry(n, rows[n : n + 1]) for n in range(start, start + 5000)])
        store._publish()
    return place, kind


def _entry(n: int, vector: Vectors) -> Entry:
    document = Document(f"d{n}", (), "s", "", {"n": n})
    chunk = Chunk(f"d{n}-0", f"d{n}", "t", "t", "text", Locator("characters", 0, 1), {"n": n}, "s")
    return Entry(document, (chunk,), {"s": vector})


@pytest.mark.parametrize("options", [{}, {"gpu_float16": True}, {"gpu_layout": "shard"}], ids=str)
def test_a_gpu_gives_what_the_cpu_gives(folder: tuple[Path, str], rows: Vectors, options: dict[str, Any]) -> None:
    place, kind = folder
    queries = _unit(100, 5)
    with _opened(place, "cpu", index=kind) as store:
        on_cpu = store.search("s", queries, 10)
    with _opened(place, "all", index=kind, **options) as store:
        found = store.search("s", queries, 10)
        assert store.info()["spaces"][0]["index"]["device"].startswith("cuda:0")
    met = 0
    for row, other, query in zip(found, on_cpu, queries, strict=True):
        met += len({name for name, _ in row} & {name for name, _ in other})
        for name, cosine in row:
            assert abs(float(rows[int(name[1:-2])] @ query) - cosine) < 1e-4
    assert met >= 0.97 * 1000


def test_filters_and_deletions_are_exact(folder: tuple[Path, str], rows: Vectors) -> None:
    place, kind = folder
    queries = _unit(5, 6)
    with _opened(place, "cuda:0", index=kind) as store:
        store.delete(ids=[f"d{n}" for n in range(100)])
        for most in (105, 300, 4000, 15_000):
            found = store.search("s", queries, 10, where={"n": {"$lt": most}})
            for row, query in zip(found, queries, strict=True):
                kept = [int(name[1:-2]) for name, _ in row]
                assert len(kept) == min(10, most - 100)
                assert all(100 <= n < most for n in kept)
                if most <= 4000:
                    best = 100 + np.argsort(-(rows[100:most] @ query))[:10]
                    assert kept == best.tolist()
        store.upsert([_entry(n, rows[n : n + 1]) for n in range(100)])


def test_too_little_memory_is_an_error_where_the_device_was_named(folder: tuple[Path, str]) -> None:
    place, kind = folder
    with _opened(place, "cuda:0", index=kind, gpu_memory_mb=1) as store:
        if store._indexes._plan is not None and "PQ" not in kind:
            with pytest.raises(DeviceMemoryError):
                store.search("s", _unit(1, 1), 1)
    with _opened(place, "auto", index=kind, gpu_memory_mb=1) as store:
        assert len(store.search("s", _unit(1, 1), 1)[0]) == 1
