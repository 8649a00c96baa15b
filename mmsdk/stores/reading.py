"""Queries over a collection's tables, each within the transaction of the connection it is given."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import apsw
import numpy as np

from mmsdk import filters
from mmsdk.errors import CollectionError
from mmsdk.stores.conditions import Conditions
from mmsdk.stores.facts import Facts, answers
from mmsdk.stores.indexes.exact import Numbers, ranked
from mmsdk.stores.published import Shelf
from mmsdk.stores.scores import Scored
from mmsdk.stores.tables import CHUNK, RESERVED, chunk_of, vectors_of
from mmsdk.types import JSON, Chunk, Filter, Modality, Vectors

Condition = tuple[str, tuple[Any, ...]]
"""A query for the numbers, as ``chunk``, of the chunks that pass, some perhaps more than once, and its parameters."""


def condition(where: Filter) -> Condition:
    """Compile a filter. Raises ``InvalidFilterError``."""
    node = filters.parse(where)
    parts = node.parts if isinstance(node, filters.All) else (node,)
    facts = Facts()
    known = [part for part in parts if answers(part)]
    found = facts.joined(known, "INTERSECT") if known else ""
    rest = filters.All(tuple(part for part in parts if not answers(part)))
    if known and not rest.parts:
        return found, tuple(facts.values)
    conditions = Conditions("c.metadata", RESERVED)
    sql = conditions.sql(rest)
    among = f"c.number IN ({found}) AND" if known else ""
    return (
        f"SELECT c.number AS chunk FROM chunks AS c JOIN documents AS d ON d.number = c.document WHERE {among} {sql}",
        (*facts.values, *conditions.values),
    )


def numbers(connection: apsw.Connection, chosen: Condition) -> Numbers:
    """Give the numbers of the chunks that pass, sorted."""
    rows: Any = connection.execute(f"SELECT group_concat(chunk) FROM ({chosen[0]})", chosen[1]).fetchall()
    found = np.sort(np.fromstring(rows[0][0] or "", np.int64, sep=","))  # one string: a third of the time of rows
    return found[np.diff(found, prepend=-1) > 0]


def names(connection: apsw.Connection, wanted: Sequence[int]) -> dict[int, str]:
    """Give chunk number to chunk id."""
    rows = connection.execute(
        "SELECT number, id FROM chunks WHERE number IN (SELECT value FROM json_each(?))", (json.dumps(list(wanted)),)
    )
    return {int(number): str(name) for number, name in rows}


def words(connection: apsw.Connection, expression: str, k: int, *, among: Condition | None) -> Scored:
    """Give the ``k`` best chunks by full text."""
    chosen, values = ("", ()) if among is None else (f"AND +rowid IN ({among[0]})", among[1])
    # "+rank": SQLite keeps the best k itself; FTS5's own order for "rank" asks and sorts twice.
    best = f"SELECT rowid, rank FROM words WHERE words MATCH ? {chosen} ORDER BY +rank, rowid LIMIT ?"
    return ranked(*_scored(connection, f"({best})", (expression, *values, k)), k)


def scored(connection: apsw.Connection, expression: str) -> Scored:
    """Give what full text gives to every chunk, in no order."""
    return _scored(connection, "words WHERE words MATCH ?", (expression,))


def _scored(connection: apsw.Connection, rows: str, values: tuple[Any, ...]) -> Scored:
    # One row: at each of many, SQLite would wait for Python's lock, as numpy would for each float. 17 digits are exact.
    sql = f"SELECT group_concat(rowid), group_concat(format('%!.17g', rank)) FROM {rows}"
    found: Any = connection.execute(sql, values).fetchall()
    numbers, ranks = found[0]
    return np.fromstring(numbers or "", np.int64, sep=","), -np.array(json.loads(f"[{ranks or ''}]"), np.float64)


def last(connection: apsw.Connection) -> int:
    """Give the largest number of a chunk."""
    rows: Any = connection.execute("SELECT max(number) FROM chunks").fetchall()
    return int(rows[0][0] or 0)


def shelves(connection: apsw.Connection, space: str | None = None) -> list[Shelf]:
    """Give the shelves that searches use, all or those of one space. Raises ``CollectionError`` for no such space."""
    rows: Any = connection.execute("SELECT number, name, kind, dimension FROM spaces WHERE current ORDER BY number")
    known = [Shelf(*row) for row in rows]
    return known if space is None else in_space(known, space)


def in_space(known: Sequence[Shelf], space: str) -> list[Shelf]:
    """Give the shelves of one space. Raises ``CollectionError`` when there are none."""
    found = [shelf for shelf in known if shelf.space == space]
    if not found:
        names = ", ".join(sorted({shelf.space for shelf in known})) or "none"
        raise CollectionError(f"the collection has no space {space!r}; it has {names}")
    return found


def modalities(connection: apsw.Connection) -> dict[str, int]:
    """Count chunks by modality."""
    rows: list[Any] = connection.execute("SELECT modality, count(*) FROM chunks GROUP BY modality").fetchall()
    return dict(rows)


def modalities_of(connection: apsw.Connection, ids: Sequence[str]) -> dict[str, Modality]:
    """Give chunk id to modality."""
    sql = "SELECT id, modality FROM chunks WHERE id IN (SELECT value FROM json_each(?))"
    rows: list[Any] = connection.execute(sql, (json.dumps(list(ids)),)).fetchall()
    return dict(rows)


def vectors(connection: apsw.Connection, space: str, ids: Sequence[str]) -> Vectors:
    """Give the vectors of chunks in a space, in order; a row of NaN where there is none."""
    known = shelves(connection, space)
    rows = np.full((len(ids), known[0].dimension), np.nan, np.float32)
    places = {name: place for place, name in enumerate(ids)}
    for shelf in known:
        found: list[Any] = connection.execute(
            f"SELECT c.id, v.vector FROM vectors_{shelf.number} AS v JOIN chunks AS c ON c.number = v.chunk "
            "WHERE c.id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(ids)),),
        ).fetchall()
        if found:
            rows[[places[name] for name, _ in found]] = vectors_of([blob for _, blob in found], shelf.dimension)
    return rows


def vectors_at(connection: apsw.Connection, shelf: Shelf, wanted: Numbers) -> Vectors:
    """Give the vectors of chunk numbers, in order, all of which must be there."""
    sql = f"SELECT vector FROM vectors_{shelf.number} WHERE chunk IN (SELECT value FROM json_each(?)) ORDER BY chunk"
    found: list[Any] = connection.execute(sql, (json.dumps(wanted.tolist()),)).fetchall()
    vectors = vectors_of([row[0] for row in found], shelf.dimension)
    return vectors[np.argsort(np.argsort(wanted))]


def noted(connection: apsw.Connection, name: str) -> JSON:
    """Give what was noted under a name."""
    row = connection.execute("SELECT value FROM state WHERE name = ?", (f"note.{name}",)).fetchone()
    found: JSON = None if row is None else json.loads(str(row[0]))
    return found


def batches(connection_of: Any, rows: int) -> Iterator[tuple[list[int], list[Chunk]]]:
    """Give all chunks with their numbers, ``rows`` at a time, each batch in a transaction of its own."""
    last = 0
    sql = CHUNK.replace("SELECT ", "SELECT c.number, ", 1) + " WHERE c.number > ? ORDER BY c.number LIMIT ?"
    while True:
        with connection_of() as connection:
            found = connection.execute(sql, (last, rows)).fetchall()
        if not found:
            return
        last = int(found[-1][0])
        yield [int(row[0]) for row in found], [chunk_of(row[1:]) for row in found]
