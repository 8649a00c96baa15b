"""What was read and decided, in SQLite: documents, sentences, names, statements, reviews. It does not know graphs.

Every row of a document hangs on it, so a document goes with all that only it supported. Triples are not stored: they
follow from the statements (see ``triples``).
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from mmsdk import database
from mmsdk.errors import CollectionNotFoundError, InputError
from mmsdk.types import Document
from mmsdk_graph.extraction import VERSION, Passage
from mmsdk_graph.statements import Name, Reading

APPLICATION = 0x6D6D6B67  # "mmkg"
MIGRATIONS = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    INSERT INTO meta VALUES ('version', '0');
    CREATE TABLE documents (id TEXT PRIMARY KEY, source TEXT NOT NULL, digest TEXT NOT NULL, metadata TEXT NOT NULL,
      first_seen TEXT NOT NULL, last_seen TEXT NOT NULL);
    CREATE TABLE sentences (id INTEGER PRIMARY KEY, document TEXT NOT NULL REFERENCES documents ON DELETE CASCADE,
      number INTEGER NOT NULL, chunk TEXT NOT NULL, text TEXT NOT NULL, locator TEXT NOT NULL, modality TEXT NOT NULL);
    CREATE INDEX sentence_document ON sentences (document);
    CREATE TABLE names (sentence INTEGER NOT NULL REFERENCES sentences ON DELETE CASCADE, start INTEGER NOT NULL,
      stop INTEGER NOT NULL, text TEXT NOT NULL, type TEXT NOT NULL, extractor TEXT NOT NULL, confidence REAL NOT NULL,
      value TEXT NOT NULL);
    CREATE INDEX name_sentence ON names (sentence);
    CREATE TABLE statements (id INTEGER PRIMARY KEY, sentence INTEGER NOT NULL REFERENCES sentences ON DELETE CASCADE,
      head TEXT NOT NULL, head_type TEXT NOT NULL, relation TEXT NOT NULL, tail TEXT NOT NULL, tail_type TEXT NOT NULL,
      layer TEXT NOT NULL, extractor TEXT NOT NULL, version TEXT NOT NULL, confidence REAL NOT NULL,
      standing TEXT NOT NULL, valid_from TEXT NOT NULL, valid_to TEXT NOT NULL);
    CREATE INDEX statement_sentence ON statements (sentence);
    CREATE TABLE unknown (document TEXT NOT NULL REFERENCES documents ON DELETE CASCADE, kind TEXT NOT NULL,
      name TEXT NOT NULL, times INTEGER NOT NULL);
    CREATE INDEX unknown_document ON unknown (document);
    CREATE TABLE reviews (id INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, about TEXT NOT NULL,
      by TEXT NOT NULL, undone INTEGER NOT NULL DEFAULT 0);
    """,
)
KINDS = ("accept", "reject", "merge", "never")


@dataclass(frozen=True)
class Review:
    """Hold a decision of a person: ``about`` are the names of a triple (with its relation) or of a pair."""

    id: int
    at: str
    kind: str
    about: tuple[Any, ...]
    by: str
    undone: bool


class Store:
    """Keep what was read and decided in a folder; one writer at a time, many readers."""

    def __init__(self, folder: Path, *, create: bool, seconds: float = 10.0) -> None:
        if not (folder / "graph.db").is_file() and not create:
            raise CollectionNotFoundError(
                f"there is no graph in {folder}; make one: mmsdk graph extract FILE --graph {folder}"
            )
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file; a graph is a folder")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = database.WriterLock(folder / "writer.lock", seconds=seconds)
        with self._lock:
            self._connection = database.connect(
                folder / "graph.db", application_id=APPLICATION, migrations=MIGRATIONS, create=create
            )

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    @property
    def version(self) -> int:
        """A number that every change raises."""
        return int(self.rows("SELECT value FROM meta WHERE key = 'version'")[0][0])

    def rows(self, sql: str, bindings: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Read rows."""
        with database.translated(self.folder / "graph.db"):
            return list(self._connection.execute(sql, tuple(bindings)))

    def digests(self) -> dict[str, str]:
        """Give document id to digest."""
        return dict(self.rows("SELECT id, digest FROM documents"))

    def put(self, document: Document, digest: str, read: Sequence[tuple[Passage, Reading]]) -> None:
        """Store a document in place of what there was of it."""
        now = _now()
        with self._lock, self._changing() as connection:
            first = connection.execute("SELECT first_seen FROM documents WHERE id = ?", (document.id,)).fetchall()
            connection.execute("DELETE FROM documents WHERE id = ?", (document.id,))
            metadata = json.dumps(dict(document.metadata), ensure_ascii=False, default=str)
            row = (document.id, document.source, digest, metadata, first[0][0] if first else now, now)
            connection.execute("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?)", row)
            unknown: dict[tuple[str, str], int] = {}
            for number, (passage, reading) in enumerate(read):
                _put_sentence(connection, document.id, number, passage, reading)
                for thing in reading.unknown:
                    unknown[thing] = unknown.get(thing, 0) + 1
            rows = [(document.id, kind, name, times) for (kind, name), times in unknown.items()]
            connection.executemany("INSERT INTO unknown VALUES (?, ?, ?, ?)", rows)

    def seen(self, document: str) -> None:
        """Note that an unchanged document came again."""
        with self._lock, database.transaction(self._connection, write=True):
            self._connection.execute("UPDATE documents SET last_seen = ? WHERE id = ?", (_now(), document))

    def delete(self, documents: Sequence[str]) -> int:
        """Delete documents by id and give how many there were."""
        with self._lock, self._changing() as connection:
            for name in documents:
                connection.execute("DELETE FROM documents WHERE id = ?", (name,))
        return len(documents)

    def decide(self, kind: str, about: Sequence[Any], by: str) -> int:
        """Store a decision and give its number."""
        if kind not in KINDS:
            raise InputError(f"a decision is one of {', '.join(KINDS)}, not {kind!r}")
        with self._lock, self._changing() as connection:
            row = (_now(), kind, json.dumps(list(about), ensure_ascii=False), by)
            connection.execute("INSERT INTO reviews (at, kind, about, by) VALUES (?, ?, ?, ?)", row)
            return int(connection.last_insert_rowid())

    def undo(self, number: int | None) -> int:
        """Take a decision back, the last one without a number. Raises ``InputError`` when there is none."""
        with self._lock, self._changing() as connection:
            rows = connection.execute("SELECT id FROM reviews WHERE undone = 0 ORDER BY id DESC").fetchall()
            found = [row for row in rows if number in (None, row[0])][:1]
            if not found:
                raise InputError(f"there is no decision{'' if number is None else f' {number}'} to undo")
            connection.execute("UPDATE reviews SET undone = 1 WHERE id = ?", found[0])
        return int(found[0][0])

    def reviews(self) -> list[Review]:
        """Give every decision in order."""
        rows = self.rows("SELECT id, at, kind, about, by, undone FROM reviews ORDER BY id")
        return [Review(i, at, kind, _frozen(json.loads(about)), by, bool(u)) for i, at, kind, about, by, u in rows]

    def set(self, key: str, value: str) -> None:
        """Keep a text under a key."""
        with self._lock, self._changing() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def note(self, key: str, value: str) -> None:
        """Keep a text under a key that is no part of the graph: the version stays."""
        with self._lock, database.transaction(self._connection, write=True):
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def get(self, key: str) -> str | None:
        """Give the text under a key."""
        found = self.rows("SELECT value FROM meta WHERE key = ?", (key,))
        return found[0][0] if found else None

    @property
    def writing(self) -> database.WriterLock:
        """The lock that a writer holds."""
        return self._lock

    def _changing(self) -> Any:
        return _Change(self._connection)


class _Change:
    """A writing transaction that raises the version."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._transaction = database.transaction(connection, write=True)

    def __enter__(self) -> apsw.Connection:
        connection = self._transaction.__enter__()
        connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'version'")
        return connection

    def __exit__(self, *error: Any) -> Any:
        return self._transaction.__exit__(*error)


def _put_sentence(connection: apsw.Connection, document: str, number: int, passage: Passage, reading: Reading) -> None:
    locator = json.dumps(passage.locator.to_json())
    row = (document, number, passage.chunk, passage.text, locator, passage.modality)
    sql = "INSERT INTO sentences (document, number, chunk, text, locator, modality) VALUES (?, ?, ?, ?, ?, ?)"
    connection.execute(sql, row)
    sentence = connection.last_insert_rowid()
    names = [(sentence, n.start, n.stop, n.text, n.type, n.extractor, n.confidence, n.value) for n in reading.names]
    connection.executemany("INSERT INTO names VALUES (?, ?, ?, ?, ?, ?, ?, ?)", names)
    statements = [
        (
            *(sentence, *_key(s.head), s.relation, *_key(s.tail), s.layer, s.extractor, VERSION),
            *(s.confidence, s.standing, s.valid_from, s.valid_to),
        )
        for s in reading.statements
    ]
    connection.executemany(
        "INSERT INTO statements (sentence, head, head_type, relation, tail, tail_type, layer, extractor, version, "
        "confidence, standing, valid_from, valid_to) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        statements,
    )


def _key(name: Name) -> tuple[str, str]:
    return name.text, name.type


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
