"""Scores of words in memory: bit for bit what SQLite gives, whatever changed, whoever changed it."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmsdk.protocols import Entry
from mmsdk.stores import fulltext, reading
from mmsdk.stores.local import LocalStore
from mmsdk.types import Chunk, Document, Locator

ENCODERS = [{"space": "s", "dimension": 4, "fingerprint": "f", "modalities": ["text"]}]
WORDS = ["tent", "tents", "boot", "wax", "Zelt", "帐篷", "退货", "45", "the", "don't"]
QUERIES = [
    "tent",
    "Tents and boots",
    "wax 帐篷 45",
    "怎么退货",
    "the",
    "nothing of it",
    "don't wax the tent boot zelt 45",
]
texts = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
changes = st.tuples(st.integers(0, 9), st.one_of(st.none(), texts))
"""A document's number and its new text; without one it is deleted."""


@pytest.fixture(autouse=True)
def _early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsdk.stores.snapshot._FIRST", 1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    with _open(tmp_path / "c") as opened:
        yield opened


def _open(folder: Path, **options: Any) -> LocalStore:
    return LocalStore(folder, encoders=ENCODERS, **{"create": True, **options})


def _change(store: LocalStore, number: int, text: str | None) -> None:
    if text is None:
        store.delete(ids=[f"d{number}"])
        return
    document = Document(f"d{number}", (), "source", text, {"n": number})
    chunk = Chunk(
        f"d{number}-0",
        document.id,
        text,
        text,
        "text",
        Locator("characters", 0, len(text)),
        document.metadata,
        "source",
    )
    store.upsert([Entry(document, (chunk,), {"s": np.eye(4, dtype=np.float32)[:1]})])


def _by_sqlite(store: LocalStore, query: str, k: int, where: dict[str, Any] | None = None) -> list[tuple[str, float]]:
    words = fulltext.words(query, is_query=True)
    with store.snapshot() as seen:
        among = None if where is None else reading.condition(where)
        numbers, scores = reading.words(seen.connection, fulltext.expression(words), k, among=among)
        names = reading.names(seen.connection, numbers.tolist())
    return [(names[number], score) for number, score in zip(numbers.tolist(), scores.tolist(), strict=True)]


def _check(store: LocalStore) -> None:
    for query in QUERIES:
        for k in (1, 3, 50):
            for where in (None, {"n": {"$lt": 4}}, {"n": 77}):
                expected = _by_sqlite(store, query, k, where)
                assert [store.search_text(query, k, where=where) for _ in range(2)] == [expected] * 2


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories=st.lists(st.lists(changes, min_size=1, max_size=6), min_size=1, max_size=4))
def test_a_question_scores_the_sum_of_its_words(
    tmp_path_factory: pytest.TempPathFactory, histories: list[list[tuple[int, str | None]]]
) -> None:
    with _open(tmp_path_factory.mktemp("scores") / "c") as store:
        for history in histories:
            for number, text in history:
                _change(store, number, text)
            _check(store)


def test_what_another_changes_counts(store: LocalStore, tmp_path: Path) -> None:
    with _open(tmp_path / "c", create=False, read_only=True) as reader:
        for number in range(6):
            _change(store, number, "tent " * (number + 1) + "wax")
            _check(reader)


def test_an_older_state_that_is_still_read_keeps_its_scores(store: LocalStore) -> None:
    for number in range(4):
        _change(store, number, "tent " * (number + 1) + "wax")
    with store.snapshot():
        before = [store.search_text(query, 9) for query in QUERIES]

        def later() -> None:
            _change(store, 7, "tent wax boot")
            _check(store)

        other = threading.Thread(target=later)
        other.start()
        other.join()
        assert [store.search_text(query, 9) for query in QUERIES] == before
        _check(store)
    assert "d7-0" in dict(store.search_text("boot", 9))


def test_scores_are_right_however_few_are_kept(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsdk.stores.scores._MOST", 3)
    for number in range(6):
        _change(store, number, "tent boot " * (number + 1) + "wax")
    _check(store)


def test_repair_forgets_them(store: LocalStore) -> None:
    for number in range(6):
        _change(store, number, "tent boot " * (number + 1) + "wax")
    _check(store)
    store.repair()
    _check(store)
