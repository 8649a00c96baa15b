"""Interactions, catalogue, splits and measures: what is taken, what is refused, and what figures mean."""

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmsdk.errors import FetchError, InputError, UnsupportedMediaError
from mmsdk.filters import matches, parse
from mmsdk_recommend import measures
from mmsdk_recommend.catalogue import Catalogue
from mmsdk_recommend.conditions import Table
from mmsdk_recommend.interactions import Interactions, check, read
from mmsdk_recommend.splits import split

FRAME = pd.DataFrame({"user": list("aabbcc") * 5, "item": list("vwxyzu") * 5, "time": range(30)})


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pd.DataFrame({"customer": [1], "item": [2]}), "missing: user; there: customer, item"),
        (pd.DataFrame({"user": [], "item": []}), "0 rows"),
        (pd.DataFrame({"user": ["a", None], "item": [1, 2]}), "1 of 2 values of 'user' are empty, the first in row 1"),
        (pd.DataFrame({"user": [1], "item": [float("nan")]}), "'item' are empty"),
        (pd.DataFrame({"user": [1], "item": [2], "weight": [0.0]}), "above 0"),
        (pd.DataFrame({"user": [1], "item": [2], "weight": ["much"]}), "numbers above 0"),
        (pd.DataFrame({"user": [1], "item": [2], "time": ["soon"]}), "ISO 8601"),
        (pd.DataFrame({"user": [1, 1], "item": [2, 3], "time": [1.0, np.inf]}), "first in row 1"),
        ([("a", "x")], "DataFrame"),
        (pd.DataFrame({"user": [["a"]], "item": [2]}), "'user' are numbers or text"),
        (pd.DataFrame([[1, 2, 3]], columns=["user", "item", "user"]), "more than once: user"),
    ],
)
def test_what_is_wrong_is_named(frame: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check(frame)


def test_times_are_dates_text_or_seconds() -> None:
    dates = pd.to_datetime(["2025-01-06T08:30:00Z", "2025-01-07"], format="ISO8601", utc=True)
    seconds = np.array([1736152200, 1736208000])
    for column in (dates, ["2025-01-06T08:30:00Z", "2025-01-07"], seconds, seconds * 1000, seconds * 10**9):
        frame = pd.DataFrame({"user": [1, 1], "item": [2, 3], "time": column})
        assert check(frame)["time"].tolist() == [1736152200.0, 1736208000.0]


def test_names_are_of_one_kind() -> None:
    with pytest.raises(InputError, match="users are all numbers or all text"):
        Interactions.from_frame(pd.DataFrame({"user": [1, "1"], "item": [2, 3]}))
    with pytest.raises(InputError, match="items are all numbers or all text"):
        Interactions.from_frame(pd.DataFrame({"user": [1, 2], "item": [2, 3]}), items=["2", "3"])


def test_interactions_come_from_files_and_databases(tmp_path: Path) -> None:
    frame = pd.DataFrame({"userId": [1, 2], "movieId": [7, 8], "timestamp": [10, 20], "rating": [4, 5]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    with sqlite3.connect(tmp_path / "a.sqlite") as connection:
        frame.to_sql("bought", connection, index=False)
    connection.close()
    address = f"sqlite:///{tmp_path}/a.sqlite"
    for found in (
        read(tmp_path / "a.csv"),
        read(tmp_path / "a.parquet"),
        read(address, query="SELECT userId, movieId, timestamp FROM bought"),
        read(tmp_path / "a.csv", columns={"item": "movieId"}),
    ):
        assert check(found)[["user", "item", "time"]].values.tolist() == [[1, 7, 10], [2, 8, 20]]
    with pytest.raises(InputError, match="no column nothing"):
        read(tmp_path / "a.csv", columns={"user": "nothing"})
    with pytest.raises(FetchError, match="no such table"):
        read(address, query="SELECT * FROM sold")
    with pytest.raises(InputError, match="say what to read"):
        read(address)
    with pytest.raises(FetchError, match="readonly database"):
        read(address, query="DROP TABLE bought")
    assert len(read(address, query="SELECT * FROM bought")) == 2
    with pytest.raises(FetchError, match="there is no database"):
        read(f"sqlite:///{tmp_path}/b.sqlite", query="SELECT * FROM bought")
    assert not (tmp_path / "b.sqlite").exists()
    (tmp_path / "a.xls").write_bytes(b"")
    with pytest.raises(UnsupportedMediaError, match=r"not \.xls"):
        read(tmp_path / "a.xls")
    with pytest.raises(InputError, match="no file"):
        read(tmp_path / "b.csv")


def test_a_password_stays_out_of_errors() -> None:
    with pytest.raises(FetchError) as caught:
        read("nosuch://ann:secret@127.0.0.1/db", query="SELECT 1")
    assert "secret" not in str(caught.value)


def test_a_catalogue_has_names_metadata_and_content() -> None:
    frame = pd.DataFrame(
        {
            "item": ["a", "b", "c"],
            "price": [1.5, float("nan"), 3.0],
            "tags": [["red", "new"], [], None],
            "vector": [[1, 0, 0], [0, 1, 0], None],
        }
    )
    catalogue = Catalogue.from_frame(frame)
    assert catalogue.records == [
        {"item": "a", "price": 1.5, "tags": ["red", "new"]},
        {"item": "b", "tags": []},
        {"item": "c", "price": 3.0},
    ]
    assert catalogue.content is not None
    assert np.abs(catalogue.content[2]).sum() == 0
    for wrong, said in (
        (pd.DataFrame({"sku": [1]}), "column item"),
        (pd.DataFrame({"item": ["a", "a"]}), r"repeated: \['a'\]"),
        (pd.DataFrame({"item": ["a", "b"], "vector": [[1], [1, 2]]}), "one length"),
        (pd.DataFrame({"item": ["a"], "vector": [[float("inf")]]}), "not finite"),
    ):
        with pytest.raises(InputError, match=said):
            Catalogue.from_frame(wrong)


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(-3, 3), st.sampled_from(["", "x", "y"]))
RECORDS = st.dictionaries(st.sampled_from(["p", "q"]), st.one_of(SCALARS, st.lists(SCALARS, max_size=2)), max_size=2)
WANTED = st.one_of(
    SCALARS,
    st.builds(lambda o, v: {o: v}, st.sampled_from(["$eq", "$ne"]), SCALARS),
    st.builds(
        lambda o, v: {o: v},
        st.sampled_from(["$gt", "$gte", "$lt", "$lte"]),
        st.one_of(st.integers(-3, 3), st.floats(-3, 3), st.just("x")),
    ),
    st.builds(lambda o, v: {o: v}, st.sampled_from(["$in", "$nin"]), st.lists(SCALARS, max_size=3)),
    st.builds(lambda v: {"$exists": v}, st.booleans()),
)
WHERE = st.dictionaries(st.sampled_from(["p", "q", "p.q"]), WANTED, max_size=2)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(RECORDS, max_size=6), st.one_of(WHERE, st.builds(lambda a, b: {"$or": [a, {"$not": b}]}, WHERE, WHERE)))
def test_filters_mean_what_they_mean_in_the_core(records: list[dict[str, Any]], where: dict[str, Any]) -> None:
    assert Table(records).mask(where).tolist() == [matches(parse(where), record) for record in records]


@pytest.mark.parametrize("how", ["global_time", "user_time", "leave_last_out", "random"])
def test_splits_divide_and_keep_their_word(how: str) -> None:
    parts = split(FRAME, how)
    assert len(parts.train) + len(parts.test) == len(FRAME)
    if how == "global_time":
        assert parts.train["time"].max() < parts.test["time"].min()
    if how in ("user_time", "leave_last_out"):
        last, first = parts.train.groupby("user")["time"].max(), parts.test.groupby("user")["time"].min()
        assert (last < first).all()
    if how == "leave_last_out":
        assert parts.test["user"].value_counts().tolist() == [1, 1, 1]
    assert parts.tuning.train.shape[0] < parts.train.shape[0]


def test_splits_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="there are: global_time"):
        split(FRAME, "by_moon")
    with pytest.raises(InputError, match="needs a column time"):
        split(FRAME.drop(columns="time"))
    with pytest.raises(InputError, match="one part empty"):
        split(FRAME.assign(time=1))


def test_the_order_of_a_file_tells_nothing_among_equal_times() -> None:
    frame = pd.DataFrame({"user": ["a"] * 100, "item": range(100), "time": [1] * 100})
    assert {split(frame, "leave_last_out", seed=seed).test["item"].item() for seed in range(5)} != {99}


def test_measures_agree_with_ir_measures() -> None:
    import ir_measures

    random = np.random.default_rng(0)
    lists = np.array([random.permutation(50)[:20] for _ in range(12)])
    truth = [random.choice(50, random.integers(1, 15), replace=False) for _ in range(12)]
    found = measures.accuracy(lists, truth, 10)
    run = {str(u): {str(i): 100.0 - r for r, i in enumerate(row)} for u, row in enumerate(lists.tolist())}
    qrels = {str(u): {str(i): 1 for i in row.tolist()} for u, row in enumerate(truth)}
    for name, measure in (
        ("NDCG@10", ir_measures.nDCG @ 10),
        ("recall@20", ir_measures.R @ 20),
        ("HR@10", ir_measures.Success @ 10),
        ("MRR@10", ir_measures.RR @ 10),
        ("precision@10", ir_measures.P @ 10),
    ):
        assert abs(found[name].mean() - ir_measures.calc_aggregate([measure], qrels, run)[measure]) < 1e-9, name


def test_measures_beyond_accuracy_mean_what_they_say() -> None:
    same, spread = np.array([[0, 1], [0, 1]]), np.array([[0, 1], [2, 3]])
    assert (measures.coverage(same, 4), measures.coverage(spread, 4)) == (0.5, 1.0)
    assert measures.gini(spread, 4) == 0.0
    assert measures.gini(same, 4) == 0.5
    counts = np.array([8, 4, 2, 1])
    assert measures.novelty(spread, counts, 8).tolist() == [0.5, 2.5]
    assert measures.popularity_lift(spread, [np.array([1]), np.array([], int)], counts)[0] == 0.5
    content = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.float32)
    assert measures.variety(spread, content).tolist() == [0.0, 1.0]
    labels = measures.shares([["a"], ["a"], ["b"], ["a", "b"]])
    own = measures.calibration(spread, [np.array([0]), np.array([0])], labels)
    assert own[0] == pytest.approx(0)
    assert own[1] > 1
    assert np.isnan(measures.accuracy(same, [np.array([0]), np.array([], int)])["NDCG@10"][1])


def test_names_may_be_numbers_or_text() -> None:
    for users, items in (([1, 2], ["x", "y"]), (["1", "2"], [7, 8])):
        taken = Interactions.from_frame(pd.DataFrame({"user": users, "item": items}))
        assert (taken.users.tolist(), taken.items.tolist()) == (users, items)
