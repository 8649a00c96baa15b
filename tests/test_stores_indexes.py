"""Indexes: each kind gives what comparing gives, under change and filters, and when it is read from a file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmsdk.errors import CorruptionError, DeviceMemoryError, SettingsError
from mmsdk.stores import files
from mmsdk.stores.indexes import gpu, kinds
from mmsdk.stores.indexes.exact import Found, Numbers, ranked
from mmsdk.stores.indexes.faiss import Allowed, FaissIndex, Fetch, build
from mmsdk.types import Vectors

ROWS = 6000
Built = Callable[[str], tuple[FaissIndex, Vectors]]
KINDS = (
    "Flat",
    "IVF32,Flat",
    "IVF32,SQ8",
    "IVF32,PQ8",
    "HNSW16",
    "HNSW16,SQ8",
    "PCA12,IVF32,Flat",
    "PQ8",
    "IVF32,PQ8x4fs,RFlat",
    "IVF32,RaBitQ",
)


def unit(rows: int, seed: int, dimension: int = 16) -> Vectors:
    """Make clustered rows of unit length."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((40, dimension))
    rough = centres[chance.integers(0, 40, rows)] + 0.7 * chance.standard_normal((rows, dimension))
    return np.asarray(rough / np.linalg.norm(rough, axis=1, keepdims=True), np.float32)


def nearest(numbers: Numbers, vectors: Vectors, queries: Vectors, k: int) -> list[Found]:
    return [ranked(numbers, row, k) for row in queries @ vectors.T]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Give an index by kind, built, written and mapped once, and its vectors by position."""
    rows = unit(ROWS, 1)
    made: dict[str, tuple[FaissIndex, Vectors]] = {}

    def get(kind: str) -> tuple[FaissIndex, Vectors]:
        if kind not in made:
            folder = tmp_path_factory.mktemp("index")
            order, numbers = np.random.default_rng(2).permutation(ROWS), np.arange(ROWS)
            batches = zip(np.array_split(numbers, 3), np.array_split(rows, 3), strict=True)
            index, placed = build(kind, (order, rows[order]), batches, recall=0.98)
            assert sorted(placed.tolist()) == numbers.tolist()

            def payload(put: files.Put) -> files.Written:
                index.write(put)
                return placed, {"traits": index.traits.to_json()}

            with files.written_index(folder, "index-1-1", payload) as (name, digest, place):
                place()
            content = files.mapped(folder / name, digest)
            assert content.numbers.tolist() == placed.tolist()
            made[kind] = FaissIndex.mapped(content.payload, index.traits, copy=lambda _: None), rows[placed]
        return made[kind]

    return get


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_finds_the_nearest_with_their_cosines(kind: str, built: Built) -> None:
    (index, rows), queries = built(kind), unit(100, 7)
    assert index.traits.recall >= 0.98
    found = index.search(queries, 10, allowed=None, fetch=lambda positions: rows[positions])
    expected = nearest(np.arange(ROWS), rows, queries, 10)
    met = [len(np.intersect1d(row[0], other[0])) for row, other in zip(found, expected, strict=True)]
    assert np.mean(met) >= 9.3
    for query, (positions, cosines) in zip(queries, found, strict=True):
        assert len(positions) == 10
        assert np.allclose(rows[positions] @ query, cosines, atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("few", [4096, 0])
def test_filters_give_k_rows_at_any_selectivity(
    kind: str, few: int, built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsdk.stores.indexes.faiss.FEW", few)
    (index, rows), queries = built(kind), unit(10, 9)
    chance = np.random.default_rng(4)
    for count in (0, 1, 7, 10, 60, 600, 3000, 5999):
        mask = np.zeros(ROWS, np.bool_)
        mask[chance.permutation(ROWS)[:count]] = True
        found = index.search(queries, 10, allowed=Allowed(mask), fetch=lambda positions: rows[positions])
        expected = nearest(np.flatnonzero(mask), rows[mask], queries, 10)
        for query, (positions, cosines), (truth, _) in zip(queries, found, expected, strict=True):
            assert len(positions) == min(10, count)
            assert mask[positions].all()
            assert np.allclose(rows[positions] @ query, cosines, atol=2e-6)
            if count <= few:
                assert positions.tolist() == truth.tolist()


def test_the_cheaper_plan_is_taken(built: Built) -> None:
    flat, coded = built("IVF32,Flat")[0], built("IVF32,SQ8")[0]
    assert flat._compares(4096, 10, 1)
    assert flat._compares(10 * ROWS, ROWS * 10, 1)
    assert not coded._compares(5500, 10, 1)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(SettingsError, match=r"no index 'HAL9000' of 16 dimensions"):
        build("HAL9000", (np.arange(100), unit(100, 1)), [], recall=0.9)


def test_a_file_that_is_damaged_or_of_another_version_is_refused(tmp_path: Path) -> None:
    def payload(put: files.Put) -> files.Written:
        put(b"anything")
        return np.array([3, 5]), {"kind": "exact"}

    with files.written_index(tmp_path, "index-1-1", payload) as (name, digest, place):
        assert [file.suffix for file in tmp_path.iterdir()] == [".tmp"]
        place()
    content = files.mapped(tmp_path / name, digest)
    assert (content.numbers.tolist(), content.footer) == ([3, 5], {"kind": "exact", "rows": 2})
    assert [file.name for file in tmp_path.iterdir()] == [name]
    clean = (tmp_path / name).read_bytes()
    for position in range(len(clean)):
        damaged = bytearray(clean)
        damaged[position] ^= 4
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(CorruptionError, match="does not match its SHA-256"):
            files.mapped(tmp_path / name, digest)
    for short in (b"", b"x"):
        (tmp_path / name).write_bytes(short)
        with pytest.raises(CorruptionError, match=name):
            files.mapped(tmp_path / name, digest)


@pytest.mark.parametrize(
    ("kind", "count", "memory", "expected"),
    [
        ("auto", 49_999, 4 << 30, "exact"),
        ("auto", 100_000, 4 << 30, "IVF1024,Flat"),
        ("auto", 1_000_000, 4 << 30, "IVF4096,Flat"),
        ("auto", 1_000_000, 1 << 30, "IVF4096,SQ8"),
        ("auto", 1_000_000, 1 << 28, "IVF4096,PQ96"),
        ("exact", 10_000_000, 0, "exact"),
        ("IVF,SQ8", 20_000, 0, "IVF512,SQ8"),
        ("IVF4096,PQ32", 3000, 0, "exact"),
        ("IVF4096,PQ32", 5000, 0, "IVF4096,PQ32"),
        ("HNSW32", 10, 0, "HNSW32"),
        ("OPQ64,IVF64_HNSW32,PQ64x4fsr", 99, 0, "OPQ64,IVF64_HNSW32,PQ64x4fsr"),
    ],
)
def test_the_rule_by_rows_and_memory(kind: str, count: int, memory: int, expected: str) -> None:
    assert kinds.chosen(kind, count, 384, memory=memory) == expected


def test_on_a_gpu_every_row_is_compared_while_they_fit() -> None:
    assert kinds.chosen("auto", 1_000_000, 384, memory=4 << 30, gpu=True) == "Flat"
    assert kinds.chosen("auto", 1_000_000, 384, memory=1 << 30, gpu=True) == "IVF4096,SQ8"


def test_without_a_gpu_auto_says_why_it_takes_the_cpu(caplog: pytest.LogCaptureFixture) -> None:
    if gpu.visible():
        pytest.skip("there is a GPU")
    caplog.set_level("INFO", "mmsdk.stores.indexes.gpu")
    assert gpu.planned("auto") is None
    assert gpu.planned("cpu") is None
    assert gpu.planned("cuda:0") is None
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]
    assert all("FAISS searches on the CPU" in record.getMessage() for record in caplog.records)
    with pytest.raises(SettingsError, match="not 'cuda:x'"):
        gpu.planned("cuda:x")


def test_the_devices_that_are_named_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "visible", lambda: 3)
    every = gpu.planned("auto", shard=True, float16=True, memory=5)
    assert every == gpu.Plan((0, 1, 2), True, True, 5, False)
    assert gpu.planned("all") == gpu.Plan((0, 1, 2), strict=True)
    assert gpu.planned("cuda") == gpu.Plan((0,), strict=True)
    assert gpu.planned("cuda:2", shard=True) == gpu.Plan((2,), False, strict=True)
    with pytest.raises(SettingsError, match="no cuda:3: 3 GPUs"):
        gpu.planned("cuda:3")


def test_too_little_memory_is_an_error_where_a_device_was_named(built: Built, caplog: pytest.LogCaptureFixture) -> None:
    flat, coded = built("IVF32,Flat")[0]._index, built("IVF32,SQ8")[0]._index
    one = gpu.Plan((0,))
    assert gpu.needed(flat, one) == ROWS * (64 + 8) + 32 * 64
    assert gpu.needed(flat, gpu.Plan((0,), float16=True)) == ROWS * (32 + 8) + 32 * 64
    assert gpu.needed(coded, gpu.Plan((0, 1), shard=True)) == ROWS // 2 * (16 + 8) + 32 * 64
    assert gpu.copied(flat, gpu.Plan((0,), memory=1000), effort=1) is None
    assert "the index needs 0 MB a GPU" in caplog.text
    with pytest.raises(DeviceMemoryError, match="device='auto'"):
        gpu.copied(flat, gpu.Plan((0,), memory=1000, strict=True), effort=1)
    assert gpu.copied(flat, None, effort=1) is None


def test_a_copy_that_fails_leaves_the_cpu_searching(built: Built, caplog: pytest.LogCaptureFixture) -> None:
    """The real faiss-gpu refuses a device that is not there, faiss-cpu has no copies at all."""
    if gpu.visible():
        pytest.skip("there is a GPU")
    if not hasattr(gpu.faiss, "StandardGpuResources"):
        pytest.skip("this is faiss-cpu")
    plans = (gpu.Plan((0,)), gpu.Plan((0, 1), shard=True, float16=True))
    assert [gpu.copied(built("IVF32,Flat")[0]._index, plan, effort=2) for plan in plans] == [None, None]
    assert caplog.text.count("cannot be copied to a GPU") == 2


def test_a_gpu_is_asked_for_enough_rows() -> None:
    assert gpu.widened(10, 1000, 1000) == 10
    assert gpu.widened(10, 1000, 500) == 32
    assert gpu.widened(10, 1000, 10) == 1000
    assert gpu.widened(10, 10**6, 10**4) == 1208


class _Copy:
    """Answer as a GPU copy does: no selectors, and only so many rows."""

    device, is_rough = "cuda:0", False

    def __init__(self, rows: Vectors) -> None:
        self.rows, self.asked = rows, list[int]()

    def search(self, queries: Vectors, wanted: int, *, rows: int, count: int) -> tuple[Vectors, Numbers] | None:
        asked = gpu.widened(wanted, rows, count)
        self.asked.append(asked)
        if asked > gpu.MOST:
            return None
        found = nearest(np.arange(rows), self.rows, queries, asked)
        return np.stack([cosines for _, cosines in found]), np.stack([positions for positions, _ in found])


def test_filters_and_deletions_are_exact_over_a_copy_that_knows_neither(built: Built) -> None:
    trained, rows = built("IVF32,Flat")
    searched = _Copy(rows)
    index = FaissIndex(trained._index, trained.traits, copy=searched)  # type: ignore[arg-type]
    queries, chance = unit(10, 9), np.random.default_rng(4)
    fetch: Fetch = rows.__getitem__
    for count in (5, 4200, 5000, 5999):
        mask = np.zeros(ROWS, np.bool_)
        mask[chance.permutation(ROWS)[:count]] = True
        found = index.search(queries, 10, allowed=Allowed(mask), fetch=fetch)
        expected = nearest(np.flatnonzero(mask), rows[mask], queries, 10)
        assert [row[0].tolist() for row in found] == [row[0].tolist() for row in expected]
    assert searched.asked == [gpu.widened(10, ROWS, count) for count in (4200, 5000, 5999)]
    assert len(index.search(queries, 3000, allowed=None, fetch=fetch)[0][0]) == 3000
