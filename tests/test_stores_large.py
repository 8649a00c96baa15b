"""The local store over every kind of index: what it gives is what comparing every row gives, whatever happened."""

import logging
import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmsdk import filters
from mmsdk.errors import SettingsError
from mmsdk.protocols import Entry
from mmsdk.settings import Indexing, Settings
from mmsdk.stores import published
from mmsdk.stores.local import LocalStore
from mmsdk.types import Chunk, Document, Locator, Vectors

DIMENSION = 16
ENCODERS = [{"space": "s", "dimension": DIMENSION, "fingerprint": "f", "modalities": ["text"]}]
KINDS = ("exact", "Flat", "IVF16,Flat", "IVF16,SQ8", "IVF16,PQ8x4", "HNSW16")


def unit(rows: int, seed: int) -> Vectors:
    """Make clustered rows of unit length."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((20, DIMENSION))
    rough = centres[chance.integers(0, 20, rows)] + 0.6 * chance.standard_normal((rows, DIMENSION))
    return np.asarray(rough / np.linalg.norm(rough, axis=1, keepdims=True), np.float32)


def opened(folder: Path, kind: str, **options: Any) -> LocalStore:
    chosen = Settings(device="cpu", store=Indexing(index=kind))
    return LocalStore(folder, settings=chosen, encoders=ENCODERS, create=True, **options)


def entry(name: str, metadata: Mapping[str, Any], vector: Vectors) -> Entry:
    document = Document(name, (), name, "", metadata)
    chunk = Chunk(f"{name}-0", name, name, name, "text", Locator("characters", 0, 1), metadata, name)
    return Entry(document, (chunk,), {"s": vector})


def filled(folder: Path, kind: str, rows: Vectors) -> LocalStore:
    store = opened(folder, kind)
    store.upsert([entry(f"d{n}", {"n": n}, rows[n : n + 1]) for n in range(len(rows))])
    store._publish()
    return store


def index_of(store: LocalStore) -> dict[str, Any]:
    found: dict[str, Any] = store.info()["spaces"][0]["index"]
    return found


class Model:
    """Hold what the store should: id to metadata and vector."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[Mapping[str, Any], Vectors]] = {}

    def check(self, store: LocalStore, queries: Vectors, k: int, *, where: Mapping[str, Any], recall: float) -> None:
        """Compare with every row: the number, the cosines, who is allowed, and how many of the nearest are met."""
        node = filters.parse(where)
        names = [name for name, (metadata, _) in self.rows.items() if filters.matches(node, metadata)]
        found = store.search("s", queries, k, where=where or None)
        if not names:
            assert found == [[] for _ in queries]
            return
        matrix = np.concatenate([self.rows[name][1] for name in names])
        met = 0
        for row, query in zip(found, queries, strict=True):
            cosines = dict(zip(names, (matrix @ query).tolist(), strict=True))
            assert len(row) == len({name for name, _ in row}) == min(k, len(names))
            assert all(abs(cosines[name.removesuffix("-0")] - cosine) < 2e-6 for name, cosine in row)
            worst = sorted(cosines.values(), reverse=True)[len(row) - 1]
            met += sum(cosine >= worst - 2e-6 for _, cosine in row)
        assert met >= math.floor(recall * len(queries) * min(k, len(names)))  # one of three may be missed


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sets(st.integers(0, 700), min_size=1, max_size=40), st.integers(0, 5)),
        st.tuples(st.just("delete"), st.sets(st.integers(0, 700), min_size=1, max_size=200), st.just(0)),
        st.tuples(st.just("describe"), st.sets(st.integers(0, 700), min_size=1, max_size=3), st.integers(0, 5)),
        st.tuples(st.just("delete where"), st.just({0}), st.integers(0, 5)),
        st.tuples(st.sampled_from(["build", "reopen"]), st.just({0}), st.just(0)),
    ),
    min_size=1,
    max_size=8,
)
FILTERS = st.one_of(
    st.just({}),
    st.builds(lambda n: {"n": {"$lt": n}}, st.integers(0, 700)),
    st.builds(lambda m: {"deep.m": m}, st.integers(0, 6)),
    st.builds(
        lambda m, n: {"$or": [{"tags": f"t{m}"}, {"n": {"$in": [n, n + 1]}}]}, st.integers(0, 6), st.integers(0, 9)
    ),
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES, where=FILTERS, k=st.integers(1, 30))
def test_whatever_changed_the_answer_is_that_of_comparing_every_row(
    kind: str, tmp_path_factory: pytest.TempPathFactory, changes: Any, where: Mapping[str, Any], k: int
) -> None:
    rows, model = unit(701 * 6, 1), Model()

    def put(store: LocalStore, numbers: set[int], version: int) -> None:
        new = {f"d{n}": ({"n": n, "deep": {"m": version}, "tags": [f"t{n % 7}", "t"]}, n) for n in numbers}
        entries = [entry(name, about, rows[701 * version + n :][:1]) for name, (about, n) in new.items()]
        store.upsert(entries)
        model.rows.update({one.document.id: (one.document.metadata, one.vectors["s"]) for one in entries})

    folder = tmp_path_factory.mktemp("store")
    store = opened(folder, kind)
    put(store, set(range(600)), 0)
    store._publish()
    for change, numbers, version in changes:
        names = [f"d{n}" for n in numbers]
        if change == "put":
            put(store, numbers, version)
        elif change == "delete":
            store.delete(ids=names)
            model.rows = {name: row for name, row in model.rows.items() if name not in names}
        elif change == "delete where":
            store.delete(where={"deep.m": version})
            model.rows = {name: row for name, row in model.rows.items() if row[0]["deep"]["m"] != version}
        elif change == "describe":
            for name in names:
                store.update(name, {"n": version})
                if name in model.rows:
                    model.rows[name] = ({**model.rows[name][0], "n": version}, model.rows[name][1])
        elif change == "build":
            store._publish()
        else:
            store.close()
            store = opened(folder, kind)
        model.check(store, unit(3, 8), k, where=where, recall=1.0 if where else 0.7)
    store.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_that_few_rows_match_is_exact(kind: str, tmp_path: Path) -> None:
    rows = unit(2000, 3)
    with filled(tmp_path / "c", kind, rows) as store:
        assert index_of(store)["loaded"] is False
        for seed in range(5):
            wanted = np.random.default_rng(seed).permutation(2000)[:20]
            found = store.search("s", unit(2, 50 + seed), 10, where={"n": {"$in": wanted.tolist()}})
            for row, query in zip(found, unit(2, 50 + seed), strict=True):
                best = wanted[np.argsort(-(rows[wanted] @ query))[:10]]
                assert [name for name, _ in row] == [f"d{n}-0" for n in best]
        assert index_of(store)["kind"] == kind


def test_an_index_is_built_while_searches_go_on(tmp_path: Path) -> None:
    rows = unit(3000, 3)
    with opened(tmp_path / "c", "IVF16,SQ8") as store:
        store.upsert([entry(f"d{n}", {"n": n}, rows[n : n + 1]) for n in range(2990)])
        assert store.search("s", rows[:1], 1)[0][0][0] == "d0-0"  # starts the build
        for n in range(2990, 3000):
            store.upsert([entry(f"d{n}", {"n": n}, rows[n : n + 1])])
            store.delete(ids=[f"d{n - 2900}"])
            assert store.search("s", rows[n : n + 1], 1)[0][0][0] == f"d{n}-0"
        store._builds.wait()
        found = index_of(store)
        assert (found["kind"], found["rows"], found["is_building"]) == ("IVF16,SQ8", 2990, False)
        assert found["tail"] <= 10
        assert store.search("s", rows[95:96], 1)[0][0][0] != "d95-0"
        assert store.search("s", rows[2995:2996], 1)[0][0][0] == "d2995-0"
    with opened(tmp_path / "c", "IVF16,SQ8") as store:
        assert store.search("s", rows[2995:2996], 1)[0][0][0] == "d2995-0"
        found = index_of(store)
        assert found["kind"] == "IVF16,SQ8"
        assert found["recall"] >= 0.95
        assert found["mapped_bytes"] > 2900 * DIMENSION
        assert store.verify() == []


def test_deleted_rows_are_compacted_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "_LEAST_CHANGES", 100)
    rows = unit(1000, 3)
    with filled(tmp_path / "c", "HNSW16", rows) as store:
        store.search("s", rows[:1], 1)
        store.delete(ids=[f"d{n}" for n in range(90)])
        store.search("s", rows[:1], 1)
        assert index_of(store)["tombstones"] == 0.09
        store.delete(ids=[f"d{n}" for n in range(90, 200)])
        assert store.search("s", rows[150:151], 1)[0][0][0] != "d150-0"
        store._builds.wait()
        found = index_of(store)
        assert (found["tombstones"], found["tail"], found["rows"]) == (0.0, 0, 800)
        assert found["is_fresh"]


def test_a_damaged_index_is_built_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = unit(1000, 3)
    filled(tmp_path / "c", "IVF16,Flat", rows).close()
    file = next((tmp_path / "c").glob("index-*"))
    clean = bytearray(file.read_bytes())
    clean[len(clean) // 2] ^= 1
    file.write_bytes(clean)
    with opened(tmp_path / "c", "IVF16,Flat", read_only=True) as store:
        assert store.search("s", rows[7:8], 1)[0][0][0] == "d7-0"
        store._builds.wait()
        assert index_of(store)["kind"] == "exact"
    with opened(tmp_path / "c", "IVF16,Flat") as store:
        assert store.search("s", rows[7:8], 1)[0][0][0] == "d7-0"
        store._builds.wait()
        assert index_of(store)["kind"] == "IVF16,Flat"
        assert store.verify() == []
    assert "does not match its SHA-256" in caplog.text


def test_a_reader_takes_over_an_index_that_another_process_built(tmp_path: Path) -> None:
    rows = unit(1000, 3)
    with opened(tmp_path / "c", "exact") as store:
        store.upsert([entry(f"d{n}", {"n": n}, rows[n : n + 1]) for n in range(1000)])
        with opened(tmp_path / "c", "IVF16,Flat", read_only=True) as reader:
            reader.search("s", rows[:1], 1)
            assert index_of(reader)["kind"] == "exact"
            with opened(tmp_path / "c", "IVF16,Flat") as writer:
                writer._publish()
                writer.delete(ids=["d999"])
            reader.search("s", rows[:1], 1)
            reader._builds.wait()
            assert index_of(reader)["kind"] == "IVF16,Flat"


def test_searches_of_one_process_run_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every thread waits within its search until all are there."""
    rows, together = unit(50, 3), threading.Barrier(4, timeout=30)
    search = published.View.search

    def waiting(self: published.View, *arguments: Any, **options: Any) -> Any:
        together.wait()
        return search(self, *arguments, **options)

    with filled(tmp_path / "c", "exact", rows) as store:
        monkeypatch.setattr(published.View, "search", waiting)
        found: list[str] = []
        threads = [
            threading.Thread(target=lambda n=n: found.append(store.search("s", rows[n : n + 1], 1)[0][0][0]))
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == ["d0-0", "d1-0", "d2-0", "d3-0"]


def test_a_kind_that_faiss_does_not_know_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no index 'IVF16,Nonsense' of 16 dimensions"):
        opened(tmp_path / "c", "IVF16,Nonsense")


def test_a_failed_build_is_logged_and_searches_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows = unit(300, 3)
    caplog.set_level(logging.WARNING)

    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    with opened(tmp_path / "c", "IVF16,Flat") as store:
        store.upsert([entry(f"d{n}", {"n": n}, rows[n : n + 1]) for n in range(300)])
        monkeypatch.setattr("mmsdk.stores.files.written_index", full)
        for _ in range(3):
            assert store.search("s", rows[7:8], 1)[0][0][0] == "d7-0"
            store._builds.wait()
        assert caplog.text.count("the old one goes on: [Errno 28]") == 1


def test_an_index_that_is_not_recorded_yet_is_no_leftover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another writer may publish, and tidy up, after the file was written and before it is recorded."""
    rows = unit(301, 3)
    with opened(tmp_path / "c", "IVF16,Flat") as store, opened(tmp_path / "c", "IVF16,Flat") as other:
        store.upsert([entry(f"d{n}", {"n": n}, rows[n : n + 1]) for n in range(300)])
        writing = store._builds._writing

        def late() -> Any:
            monkeypatch.undo()
            other.upsert([entry("d300", {"n": 300}, rows[300:])])
            other._publish()
            return writing()

        monkeypatch.setattr(store._builds, "_writing", late)
        store._publish()
        assert store.verify() == []
        assert store.search("s", rows[300:], 1)[0][0][0] == "d300-0"


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_all_replaced_during_a_build_are_found(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = unit(300, 3)
    with opened(tmp_path / "c", kind) as store:
        store.upsert([entry(f"d{n}", {"n": n}, rows[n : n + 1]) for n in range(200)])
        read = store._builds._batches

        def replaced(*given: Any, **named: Any) -> Any:
            monkeypatch.undo()
            store.upsert([entry(f"d{n}", {"n": n}, rows[n + 100 : n + 101]) for n in range(200)])
            return read(*given, **named)

        monkeypatch.setattr(store._builds, "_batches", replaced)
        store._publish()
        assert store.search("s", rows[107:108], 1)[0][0][0] == "d7-0"
        store._publish()
        assert store.search("s", rows[107:108], 1)[0][0][0] == "d7-0"
        assert store.verify() == []
