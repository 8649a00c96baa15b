"""Filters: what is refused, what matches, and that SQL and Python agree."""

import json
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsdk import filters
from mmsdk.errors import InputError, InvalidFilterError
from mmsdk.stores.conditions import Conditions

ROW: dict[str, Any] = {
    "year": 2024,
    "price": 89.5,
    "name": "帐篷",
    "sold": True,
    "tags": ["tent", "green", 3, None],
    "maker": {"name": "Wu", "sizes": [1, 2], "none": None},
    "nothing": None,
}


@pytest.mark.parametrize(
    "where",
    [
        {},
        {"year": 2024},
        {"year": 2024.0},
        {"year": {"$gte": 2024, "$lt": 2025}},
        {"name": "帐篷"},
        {"name": {"$gt": "一"}},
        {"sold": True},
        {"tags": "tent"},
        {"tags": {"$in": ["x", "green"]}},
        {"tags": {"$gt": 2}},
        {"tags": None},
        {"maker.name": "Wu"},
        {"maker.sizes": {"$eq": 2}},
        {"maker.none": None},
        {"absent": None},
        {"absent": {"$ne": 1}},
        {"absent": {"$nin": [1, 2]}},
        {"absent": {"$exists": False}},
        {"nothing": {"$exists": True}},
        {"maker": {"$exists": True}},
        {"price": {"$not": {"$gt": 100}}},
        {"$not": {"year": 2023}},
        {"$or": [{"year": 1}, {"$and": [{"sold": True}, {"price": {"$lte": 89.5}}]}]},
        {"source": "a.txt"},
        {"modality": {"$in": ["text"]}, "document_id": "d", "id": {"$ne": "other"}},
    ],
)
def test_matches(where: dict[str, Any]) -> None:
    assert _both(where, ROW)


@pytest.mark.parametrize(
    "where",
    [
        {"year": "2024"},
        {"sold": 1},
        {"sold": "true"},
        {"year": True},
        {"name": {"$gt": 5}},
        {"year": {"$gt": "2000"}},
        {"year": {"$gt": 2024}},
        {"tags": "ten"},
        {"tags": {"$nin": ["tent"]}},
        {"maker": "Wu"},
        {"maker": None},
        {"maker.name.first": "Wu"},
        {"year": {"$in": []}},
        {"absent": {"$gt": 0}},
        {"name": {"$exists": False}},
        {"source": {"$ne": "a.txt"}},
        {"modality": {"$exists": False}},
    ],
)
def test_does_not_match(where: dict[str, Any]) -> None:
    assert not _both(where, ROW)


def test_metadata_with_a_reserved_name_wins() -> None:
    assert _both({"source": "shelf 3"}, {"source": "shelf 3"})
    assert not _both({"source": "a.txt"}, {"source": "shelf 3"})
    assert _both({"source": None}, {"source": None})


@pytest.mark.parametrize(
    ("where", "named"),
    [
        ({"year": {"$regex": "x"}}, r"where\.year\.\$regex: unknown operator"),
        ({"$where": "1"}, r"where\.\$where: unknown operator"),
        ({"year": {"$gt": float("nan")}}, r"where\.year\.\$gt is not a finite number"),
        ({"year": float("inf")}, r"where\.year is not a finite number"),
        ({"year": 2**63}, "64 bits"),
        ({"year": {"$gt": None}}, "orders numbers or strings"),
        ({"year": {"$gt": True}}, "orders numbers or strings"),
        ({"year": [1, 2]}, r"\$in"),
        ({"year": {"$in": 3}}, "takes a list"),
        ({"year": {"$in": [[1]]}}, r"where\.year\.\$in\[0\]"),
        ({"year": {}}, "empty object"),
        ({"year": {"month": 1}}, r"year\.month"),
        ({"year": {"$exists": 1}}, "true or false"),
        ({"$or": []}, "list of 1"),
        ({"$or": [3]}, r"where\.\$or\[0\] must be an object"),
        ({"$and": {"a": 1}}, "takes a list"),
        ({"year": b"x"}, "bytes"),
        ({"year": object()}, "object"),
        ({"year": {1, 2}}, "set"),
        ({'a"b': 1}, "quotes"),
        ({"": 1}, "a key is a string"),
        ({3: 1}, "a key is a string"),
        ({"a": "\ud800"}, "surrogate"),
        ({"a": "x" * 70_000}, "longer than"),
        ({"a": {"$in": list(range(10_001))}}, "takes a list"),
        ({str(place): place for place in range(300)}, "at most 256"),
        ([], "must be an object"),
        ("year = 2024", "must be an object"),
    ],
)
def test_wrong_filters_are_named(where: Any, named: str) -> None:
    with pytest.raises(InvalidFilterError, match=named):
        filters.parse(where)


@pytest.mark.parametrize(
    "where",
    [{"a\udc80": 1}, {"a\udc80": {"$gt": []}}, {"a": {"\udc80": 1}}, {"$or": [{"\udc80": {}}]}, {"$\udc80": 1}],
)
def test_every_message_can_be_printed(where: Any) -> None:
    with pytest.raises(InvalidFilterError, match="udc80") as raised:
        filters.parse(where)
    assert str(raised.value).encode()


def test_a_filter_nested_too_deep_is_refused() -> None:
    where: dict[str, Any] = {"a": 1}
    for _ in range(40):
        where = {"$not": where}
    with pytest.raises(InvalidFilterError, match="nested deeper"):
        filters.parse(where)
    inner: dict[str, Any] = {"$gt": 1}
    for _ in range(40):
        inner = {"$not": inner}
    with pytest.raises(InvalidFilterError, match="nested deeper"):
        filters.parse({"a": inner})


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        ({"a": float("nan")}, r"metadata\.a is not a finite number"),
        ({"a": {"b": [1, object()]}}, r"metadata\.a\.b\[1\] is a object"),
        ({1: "x"}, "key that is not a string"),
        ({"a": 2**64}, "64 bits"),
        ({"a": b"x"}, "bytes"),
        ({"a": "\udfff"}, "surrogate"),
        ("text", "must be an object"),
    ],
)
def test_wrong_metadata_is_named(metadata: Any, named: str) -> None:
    with pytest.raises(InputError, match=named):
        filters.check_metadata(metadata)


NASTY = st.sampled_from(["a", "b", "source", "id", "'; DROP TABLE chunks; --", "键", "a b", "$", "0", "%", "ß", "null"])
KEY = NASTY.filter(lambda key: not key.startswith("$"))
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6) | NASTY
NUMBER = st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1)
SCALAR = st.none() | st.booleans() | NUMBER | TEXT
LEAF = SCALAR | st.lists(SCALAR, max_size=3)
METADATA = st.dictionaries(KEY, LEAF | st.dictionaries(KEY, LEAF, max_size=3), max_size=5)
PATH = KEY | st.tuples(KEY, KEY).map(".".join)
COMPARISON = st.one_of(
    SCALAR,
    st.fixed_dictionaries({}, optional={"$eq": SCALAR, "$ne": SCALAR, "$exists": st.booleans()}).filter(bool),
    st.tuples(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), NUMBER | TEXT).map(lambda pair: {pair[0]: pair[1]}),
    st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(SCALAR, max_size=4)).map(lambda pair: {pair[0]: pair[1]}),
)
CONDITION = st.dictionaries(
    PATH, COMPARISON | COMPARISON.filter(lambda c: isinstance(c, dict)).map(lambda c: {"$not": c})
)
WHERE = st.recursive(
    CONDITION,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"$or": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"$and": parts}),
        inner.map(lambda part: {"$not": part}),
    ),
    max_leaves=5,
)


@settings(max_examples=600, deadline=None)
@given(WHERE, METADATA)
def test_sql_and_python_agree(where: dict[str, Any], metadata: dict[str, Any]) -> None:
    _both(where, metadata)


@settings(max_examples=300, deadline=None)
@given(st.data(), METADATA.filter(bool))
def test_what_is_there_is_found(data: st.DataObject, metadata: dict[str, Any]) -> None:
    key = data.draw(st.sampled_from(sorted(metadata)))
    value = metadata[key]
    if isinstance(value, str | int | float | bool):
        assert _both({key: value}, metadata)
    assert _both({key: {"$exists": True}}, metadata)


def test_no_user_string_becomes_sql() -> None:
    hostile = "x'); DROP TABLE chunks; --"
    conditions = Conditions("metadata", {"source": "source"})
    sql = conditions.sql(
        filters.parse({hostile: hostile, "source": {"$in": [hostile]}, "$or": [{"a." + hostile: {"$gt": hostile}}]})
    )
    assert "DROP" not in sql
    assert sql.count("?") == len(conditions.values)


_RESERVED = {"source": "a.txt", "modality": "text", "document_id": "d", "id": "d-0"}


def _both(where: dict[str, Any], metadata: dict[str, Any]) -> bool:
    """Decide in Python and in SQL, and see that they agree."""
    node = filters.parse(where)
    expected = filters.matches(node, {**_RESERVED, **metadata})
    conditions = Conditions("metadata", {key: f"own_{key}" for key in _RESERVED})
    sql = conditions.sql(node)
    columns = ", ".join(f"? AS own_{key}" for key in _RESERVED)
    found = _DATABASE.execute(
        f"SELECT count(*) FROM (SELECT ? AS metadata, {columns}) WHERE {sql}",
        (json.dumps(metadata, ensure_ascii=False), *_RESERVED.values(), *conditions.values),
    ).fetchall()[0][0]
    assert bool(found) == expected, (where, metadata, sql)
    return expected


_DATABASE = apsw.Connection(":memory:")
