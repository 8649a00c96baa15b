"""Exact search gives what comparing with every vector gives, under change, filters and over a mapped file."""

from copy import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsdk.stores.indexes.codes import Codes, worthwhile
from mmsdk.stores.indexes.exact import ExactIndex
from mmsdk.types import Vectors


def _unit(rows: int, seed: int) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((rows, 16)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _nearest(kept: set[int], vectors: Vectors, query: Vectors, k: int) -> list[int]:
    """Compare in float64, ties by number."""
    cosines = {number: -float(vectors[number].astype(float) @ query.astype(float)) for number in kept}
    return sorted(cosines, key=lambda number: (round(cosines[number], 6), number))[:k]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["add", "remove"]), st.sets(st.integers(0, 40), min_size=1)), max_size=8),
    st.integers(1, 12),
    st.none() | st.sets(st.integers(0, 45)),
)
def test_indexes_follow_changes(changes: list[tuple[str, set[int]]], k: int, among: set[int] | None) -> None:
    vectors, queries = _unit(41, 3), _unit(3, 8)
    vectors[7] = vectors[3]
    kept: set[int] = set()
    coded = ExactIndex(16)
    coded._codes = Codes(coded.vectors)
    indexes = [ExactIndex(16), coded]
    seen: list[tuple[ExactIndex, list[int]]] = []
    for change, numbers in changes:
        seen += [(copy(index), sorted(kept)) for index in indexes]
        chosen = np.array(sorted(numbers if change == "remove" else numbers - kept), np.int64)
        for index in indexes:
            getattr(index, change)(*((chosen,) if change == "remove" else (chosen, vectors[chosen])))
        kept = kept - numbers if change == "remove" else kept | numbers
    assert all(sorted(index.numbers.tolist()) == then for index, then in seen)
    restored = [ExactIndex.over(index.numbers, index.vectors) for index in indexes]
    allowed = None if among is None else np.array(sorted(among), np.int64)
    expected = [_nearest(kept if among is None else kept & among, vectors, query, k) for query in queries]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmsdk.stores.indexes.exact._SMALL", 0)
        for index in (*indexes, *restored):
            assert sorted(index.numbers.tolist()) == sorted(kept)
            found = index.search(queries, k, among=allowed)
            assert [row[0].tolist() for row in found] == expected
            for (rows, cosines), query in zip(found, queries, strict=True):
                assert np.allclose(cosines, vectors[rows] @ query, atol=1e-6)


@pytest.mark.parametrize("spread", [1.0, 1e-4])
def test_the_8_bit_copy_leaves_out_none_of_the_nearest(spread: float) -> None:
    """Also where all vectors are nearly the same, so that the copy can tell few of them apart."""
    vectors = _unit(1, 4) + spread * _unit(6000, 5)
    vectors = np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
    queries = np.concatenate([_unit(5, 6), vectors[:5]])
    index = ExactIndex(16)
    index.add(np.arange(6000), vectors)
    assert (index._codes is not None) == worthwhile(16)
    index._codes = Codes(vectors)
    among = np.arange(0, 6000, 1, dtype=np.int64)[1:]
    for allowed, start in ((None, 0), (among, 1)):
        for k in (1, 10, 300):
            for query, (numbers, _) in zip(queries, index.search(queries, k, among=allowed), strict=True):
                cosines = vectors[start:].astype(float) @ query.astype(float)
                edge = np.sort(cosines)[-k]
                assert len(set(numbers.tolist())) == k
                assert (vectors[numbers].astype(float) @ query.astype(float) >= edge - 1e-6).all()
    assert max(len(rows) for rows in index._codes.candidates(_unit(5, 6), 10)) < (2000 if spread == 1 else 6001)


def test_a_search_gives_the_same_alone_and_with_others() -> None:
    vectors, queries = _unit(9000, 1), _unit(40, 2)
    index = ExactIndex(16)
    index.add(np.arange(9000), vectors)
    for query, (numbers, cosines) in zip(queries, index.search(queries, 10), strict=True):
        alone = index.search(query[None], 10)[0]
        assert alone[0].tolist() == numbers.tolist()
        assert np.allclose(alone[1], cosines, atol=1e-6)
