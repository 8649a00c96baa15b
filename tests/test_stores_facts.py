"""The narrow table of metadata values: what it gives is what the filter says, under insert, update and delete."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsdk import filters
from mmsdk.stores import reading, tables
from mmsdk.stores.facts import Facts, answers

spec = importlib.util.spec_from_file_location("shared_filters", Path(__file__).with_name("test_filters.py"))
assert spec is not None
assert spec.loader is not None
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)

DATABASE = apsw.Connection(":memory:")
DATABASE.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
for migration in tables.MIGRATIONS:
    DATABASE.execute(migration).fetchall()
DATABASE.execute("INSERT INTO documents VALUES (1, 'd', 'a.txt', '', '{}')").fetchall()


def put(rows: list[dict[str, Any]]) -> None:
    DATABASE.execute("DELETE FROM chunks").fetchall()
    assert DATABASE.execute("SELECT count(*) FROM facts").fetchall() == [(0,)]
    for number, metadata in enumerate(rows):
        DATABASE.execute(
            "INSERT INTO chunks VALUES (?, ?, 1, 'text', '', '', NULL, NULL, ?)",
            (number, str(number), json.dumps(metadata, ensure_ascii=False)),
        ).fetchall()


def passing(where: dict[str, Any], rows: list[dict[str, Any]]) -> list[int]:
    node = filters.parse(where)
    own = {"source": "a.txt", "modality": "text", "document_id": "d"}
    return [n for n, metadata in enumerate(rows) if filters.matches(node, {**own, "id": str(n), **metadata})]


@settings(max_examples=400, deadline=None)
@given(shared.WHERE, st.lists(shared.METADATA, min_size=1, max_size=4), shared.METADATA)
def test_filters_read_the_table_and_agree_with_python(
    where: dict[str, Any], rows: list[dict[str, Any]], changed: dict[str, Any]
) -> None:
    put(rows)
    assert reading.numbers(DATABASE, reading.condition(where)).tolist() == passing(where, rows)
    DATABASE.execute("UPDATE chunks SET metadata = ? WHERE number = 0", (json.dumps(changed),)).fetchall()
    rows = [changed, *rows[1:]]
    assert reading.numbers(DATABASE, reading.condition(where)).tolist() == passing(where, rows)


@settings(max_examples=200, deadline=None)
@given(st.lists(shared.METADATA, min_size=1, max_size=3), st.data())
def test_values_that_are_there_are_found(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    put(rows)
    values = [(key, value) for row in rows for key, value in row.items() if isinstance(value, str | int | float)]
    for key, value in values:
        for where in ({key: value}, {key: {"$in": [value, "other", True]}}):
            assert reading.numbers(DATABASE, reading.condition(where)).tolist() == passing(where, rows)


@pytest.mark.parametrize(
    ("where", "is_answered"),
    [
        ({"year": 2024}, True),
        ({"maker.name": {"$in": ["Wu", True, 3]}}, True),
        ({"$or": [{"a": 1}, {"b": {"$gt": "2024-01-01"}}]}, True),
        ({"source": "a.txt"}, False),
        ({"year": None}, False),
        ({"year": {"$ne": 1}}, False),
        ({"text": "x" * 200}, False),
        ({"text": "x" * 199}, True),
        ({}, False),
    ],
)
def test_what_the_table_answers(where: dict[str, Any], is_answered: bool) -> None:
    node = filters.parse(where)
    assert answers(node) == is_answered
    assert (Facts().sql(node) is not None) == is_answered
    if is_answered:
        sql, values = reading.condition(where)
        plan = DATABASE.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
        assert not any(str(row[3]).startswith(("SCAN facts", "SCAN c")) for row in plan)


def test_long_strings_are_compared_whole() -> None:
    rows: list[dict[str, Any]] = [{"t": "x" * 199 + end} for end in ("", "a", "ab", "ac", "b")]
    put(rows)
    for bound in ("x" * 199, "x" * 199 + "ab", "x" * 50, "x" * 199 + "a"):
        for operator in ("$eq", "$gt", "$gte", "$lt", "$lte"):
            where = {"t": {operator: bound}}
            assert reading.numbers(DATABASE, reading.condition(where)).tolist() == passing(where, rows)


def test_no_user_string_becomes_sql() -> None:
    hostile = "x'); DROP TABLE chunks; --"
    for where in ({hostile: hostile}, {"$or": [{"a." + hostile: {"$gt": hostile}}, {"b": {"$in": [hostile, 1]}}]}):
        sql, values = reading.condition(where)
        assert "DROP" not in sql
        assert sql.count("?") == len(values)
