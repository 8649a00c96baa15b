"""Indexes: FAISS gives what numpy gives, under change, filters and after a round trip through bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsdk.stores.indexes.exact import ExactIndex
from mmsdk.stores.indexes.faiss import FaissIndex
from mmsdk.types import Vectors


def _unit(rows: int, seed: int) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((rows, 16)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["add", "remove"]), st.sets(st.integers(0, 40), min_size=1)), max_size=8),
    st.integers(1, 12),
    st.none() | st.sets(st.integers(0, 45)),
)
def test_faiss_agrees_with_the_exact_index(changes: list[tuple[str, set[int]]], k: int, among: set[int] | None) -> None:
    vectors = _unit(41, 3)
    exact, approximate = ExactIndex(16), FaissIndex(16)
    for change, numbers in changes:
        chosen = np.array(sorted(numbers), np.int64)
        for index in (exact, approximate):
            if change == "remove":
                index.remove(chosen)
            else:
                new = chosen[~np.isin(chosen, index.numbers)]
                index.add(new, vectors[new])
    assert sorted(exact.numbers.tolist()) == sorted(approximate.numbers.tolist())
    allowed = None if among is None else np.array(sorted(among), np.int64)
    queries = _unit(3, 8)
    restored = FaissIndex.from_bytes(approximate.to_bytes())
    for index in (approximate, restored):
        found = index.search(queries, k, among=allowed)
        expected = exact.search(queries, k, among=allowed)
        assert [row[0].tolist() for row in found] == [row[0].tolist() for row in expected]
        assert all(np.allclose(row[1], other[1], atol=1e-6) for row, other in zip(found, expected, strict=True))


def test_the_selector_gives_what_comparing_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    index = FaissIndex(16)
    index.add(np.arange(500, dtype=np.int64), _unit(500, 1))
    among = np.arange(0, 500, 3, dtype=np.int64)
    queries = _unit(4, 2)
    compared = index.search(queries, 10, among=among)
    monkeypatch.setattr("mmsdk.stores.indexes.faiss._FEW", 0)
    selected = index.search(queries, 10, among=among)
    assert [numbers.tolist() for numbers, _ in selected] == [numbers.tolist() for numbers, _ in compared]


def test_without_a_gpu_auto_says_why_it_takes_the_cpu(caplog: pytest.LogCaptureFixture) -> None:
    import faiss

    if faiss.get_num_gpus():
        pytest.skip("there is a GPU")
    caplog.set_level("INFO", "mmsdk.stores.indexes.faiss")
    assert FaissIndex(16, device="auto").device == "cpu"
    assert "FAISS searches on the CPU" in caplog.text
