"""Changes to a collection's tables, all within one transaction that the caller began."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apsw
import numpy as np

from mmsdk.errors import CollectionError, InputError
from mmsdk.protocols import Entry
from mmsdk.stores.facts import FILL
from mmsdk.stores.published import Shelf, revision_of
from mmsdk.stores.reading import batches, shelves
from mmsdk.stores.tables import WORDS, chunk_row, dumped, searchable
from mmsdk.types import JSON, Chunk, Document, Modality, Vectors, modality_of

_KINDS: tuple[Modality, ...] = ("text", "image")
"""What contents of chunks can be: recordings are kept as what was said in them."""


class Changes:
    """Change a collection; making one counts the revision up, which tells indexes and readers to follow."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self._run("UPDATE state SET value = value + 1 WHERE name = 'revision'")
        self.revision = revision_of(connection)
        self._shelves = shelves(connection)

    def put(self, entries: Sequence[Entry]) -> None:
        """Put documents with their chunks in place of those with their ids; of two with one id the later stays."""
        entries = list({entry.document.id: entry for entry in entries}.values())
        chunks = [chunk for entry in entries for chunk in entry.chunks]
        self._drop([entry.document.id for entry in entries], keep=True)
        numbers = self._chunks(self._documents([entry.document for entry in entries]), entries)
        self._many(
            "INSERT INTO words (rowid, body) VALUES (?, ?)",
            [(number, searchable(chunk)) for number, chunk in zip(numbers, chunks, strict=True)],
        )
        spaces = {shelf.space: shelf.dimension for shelf in self._shelves}
        vectors = {space: _joined(entries, space, dimension) for space, dimension in spaces.items()}
        self.put_vectors(self._shelves, numbers, chunks, vectors=vectors)

    def put_vectors(
        self,
        shelves: Sequence[Shelf],
        numbers: Sequence[int],
        chunks: Sequence[Chunk],
        *,
        vectors: Mapping[str, Vectors],
    ) -> None:
        """Put vectors of new chunks; rows of NaN are left out. Raises ``CollectionError`` for a wrong shape."""
        kinds = [modality_of(chunk.content) for chunk in chunks]
        for shelf in shelves:
            rows = vectors.get(shelf.space)
            if rows is None or not numbers:
                continue
            _check_shape(rows, shelf.space, (len(numbers), shelf.dimension))
            packed = np.ascontiguousarray(rows, "<f4")
            kept = np.isfinite(packed).all(axis=1)
            placed = zip(numbers, packed, kept, kinds, strict=True)
            self._many(
                f"INSERT INTO vectors_{shelf.number} VALUES (?, ?)",
                [(number, row.tobytes()) for number, row, good, kind in placed if good and kind == shelf.kind],
            )

    def drop_documents(self, ids: Iterable[str]) -> int:
        """Delete documents; give the number of chunks gone."""
        return self._drop(list(ids), keep=False)

    def drop_chunks(self, numbers: Sequence[int]) -> None:
        """Delete chunks, and documents that have none left; the other documents of theirs forget their digest."""
        listed = json.dumps(list(numbers))
        touched = [
            row[0]
            for row in self.connection.execute(
                "SELECT DISTINCT document FROM chunks WHERE number IN (SELECT value FROM json_each(?))", (listed,)
            )
        ]
        self._drop_rows(numbers)
        of_these = "number IN (SELECT value FROM json_each(?))"
        self._run(f"UPDATE documents SET digest = '' WHERE {of_these}", json.dumps(touched))
        self._run(
            f"DELETE FROM documents WHERE {of_these} AND number NOT IN (SELECT document FROM chunks)",
            json.dumps(touched),
        )

    def describe(self, document_id: str, metadata: Mapping[str, Any]) -> int:
        """Put keys into the metadata of a document and its chunks; give the number of chunks."""
        found = self.connection.execute(
            "SELECT number, metadata FROM documents WHERE id = ?", (document_id,)
        ).fetchone()
        if found is None:
            return 0
        self._run("UPDATE documents SET metadata = ? WHERE number = ?", _merged(found[1], metadata), found[0])
        rows = self.connection.execute("SELECT number, metadata FROM chunks WHERE document = ?", (found[0],)).fetchall()
        self._many(
            "UPDATE chunks SET metadata = ? WHERE number = ?", [(_merged(row[1], metadata), row[0]) for row in rows]
        )
        return len(rows)

    def note(self, name: str, value: JSON) -> None:
        """Keep a small fact about the collection."""
        self._run("INSERT OR REPLACE INTO state VALUES (?, ?)", f"note.{name}", json.dumps(value, ensure_ascii=False))

    def make_shelves(self, encoders: Sequence[Mapping[str, Any]]) -> list[Shelf]:
        """Make shelves, not used by searches yet, for the spaces and kinds of content of the encoders."""
        made: dict[tuple[str, Modality], Shelf] = {}
        for encoder in encoders:
            name, dimension = str(encoder["space"]), int(encoder["dimension"])
            for kind in _KINDS:
                known = made.get((name, kind))
                if known is not None and known.dimension != dimension:
                    raise CollectionError(
                        f"encoders of space {name} differ in dimension: {known.dimension}, {dimension}"
                    )
                if known is None and kind in encoder["modalities"]:
                    made[name, kind] = self._shelf(name, kind, dimension)
        return list(made.values())

    def _shelf(self, name: str, kind: Modality, dimension: int) -> Shelf:
        self._run("INSERT INTO spaces (name, kind, dimension, current) VALUES (?, ?, ?, 0)", name, kind, dimension)
        shelf = Shelf(self.connection.last_insert_rowid(), name, kind, dimension)
        self._run(
            f"CREATE TABLE vectors_{shelf.number} "
            "(chunk INTEGER PRIMARY KEY REFERENCES chunks, vector BLOB NOT NULL) STRICT"
        )
        return shelf

    def switch(self, chosen: Sequence[Shelf], encoders: Sequence[Mapping[str, Any]]) -> None:
        """Let searches use these shelves and no others, and record the encoders."""
        self._run("UPDATE spaces SET current = 0")
        self._many("UPDATE spaces SET current = 1 WHERE number = ?", [(shelf.number,) for shelf in chosen])
        self._run("UPDATE state SET value = ? WHERE name = 'encoders'", json.dumps(list(encoders), ensure_ascii=False))
        self.drop_unused_shelves()

    def drop_unused_shelves(self) -> None:
        """Drop shelves that searches do not use: old ones, and those of a reindexing that was cut off."""
        for (number,) in self.connection.execute("SELECT number FROM spaces WHERE NOT current").fetchall():
            self._run(f"DROP TABLE vectors_{int(str(number))}")
            self._run("DELETE FROM indexes WHERE space = ?", number)
            self._run("DELETE FROM spaces WHERE number = ?", number)
        self._shelves = shelves(self.connection)

    def rebuild_facts(self) -> None:
        """Make the table that filters read anew."""
        self._run("DELETE FROM facts")
        self._run(FILL)

    def rebuild_words(self) -> None:
        """Make the full-text index anew."""
        self._run("DROP TABLE words")
        self._run(WORDS)
        for numbers, chunks in batches(lambda: _Same(self.connection), 512):
            rows = [(number, searchable(chunk)) for number, chunk in zip(numbers, chunks, strict=True)]
            self._many("INSERT INTO words (rowid, body) VALUES (?, ?)", rows)

    def _documents(self, documents: Sequence[Document]) -> list[int]:
        """Put in documents; give their numbers."""
        sql = (
            "INSERT INTO documents (id, source, digest, metadata) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
            "source = excluded.source, digest = excluded.digest, metadata = excluded.metadata RETURNING number"
        )
        rows = [(document.id, document.source, document.digest, dumped(document.metadata)) for document in documents]
        return self._many(sql, rows)

    def _chunks(self, documents: Sequence[int], entries: Sequence[Entry]) -> list[int]:
        """Put in the chunks of documents of these numbers; give theirs."""
        sql = (
            "INSERT INTO chunks (document, id, modality, locator, text, content, picture, metadata) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING number"
        )
        last: list[Chunk] = []

        def rows() -> Iterator[tuple[Any, ...]]:
            for document, entry in zip(documents, entries, strict=True):
                for chunk in entry.chunks:
                    last[:] = (chunk,)
                    yield (document, *chunk_row(chunk))

        try:
            return self._many(sql, rows())
        except apsw.ConstraintError as error:
            raise InputError(
                f"the chunk id {last[0].id!r} of {last[0].source} is already taken; ids are unique"
            ) from error

    def _drop(self, ids: Sequence[str], *, keep: bool) -> int:
        of_these = "id IN (SELECT value FROM json_each(?))"
        listed = json.dumps(ids, ensure_ascii=False)
        sql = f"SELECT number FROM chunks WHERE document IN (SELECT number FROM documents WHERE {of_these})"
        gone = [int(row[0]) for row in self.connection.execute(sql, (listed,))]
        if gone:
            self._drop_rows(gone)
        if not keep:
            self._run(f"DELETE FROM documents WHERE {of_these}", listed)
        return len(gone)

    def _drop_rows(self, numbers: Sequence[int]) -> None:
        rows = [(number,) for number in numbers]
        for (number,) in self.connection.execute("SELECT number FROM spaces").fetchall():
            self._many(f"DELETE FROM vectors_{int(str(number))} WHERE chunk = ?", rows)
        self._many("DELETE FROM words WHERE rowid = ?", rows)
        self._many("DELETE FROM chunks WHERE number = ?", rows)
        self._many("INSERT INTO removals VALUES (?, ?)", [(self.revision, number) for number in numbers])

    def _run(self, sql: str, *values: Any) -> None:
        self.connection.execute(sql, values).fetchall()

    def _many(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> list[Any]:
        """Run a statement for every row, each when it is asked for; give the first column of what it returns."""
        return [row[0] for row in self.connection.executemany(sql, rows)]


class _Same:
    """Give a connection whose transaction goes on."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> apsw.Connection:
        return self._connection

    def __exit__(self, *_: object) -> None:
        pass


def _joined(entries: Sequence[Entry], space: str, dimension: int) -> Vectors:
    """Give the vectors of all chunks in a space, rows of NaN for documents that have none."""
    parts = [np.empty((0, dimension), np.float32)]
    for entry in entries:
        shape = (len(entry.chunks), dimension)
        rows = entry.vectors.get(space)
        _check_shape(rows, space, shape)
        parts.append(np.full(shape, np.nan, np.float32) if rows is None else rows)
    return np.concatenate(parts)


def _check_shape(rows: Vectors | None, space: str, shape: tuple[int, int]) -> None:
    if rows is not None and rows.shape != shape:
        raise CollectionError(f"space {space} takes vectors {list(shape)}, not {list(rows.shape)}")


def _merged(stored: Any, metadata: Mapping[str, Any]) -> str:
    return dumped({**json.loads(stored), **metadata})
