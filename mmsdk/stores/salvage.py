"""Saving what can be read of a damaged database into a new one, and naming what cannot.

Every page has a checksum, so a row is read whole or not at all. Rows on unreadable pages are passed over
one number at a time; the indexes of their tables, on other pages, tell their names. It knows nothing of
what is derived: words and indexes are built anew by whoever called.
"""

import json
import os
import shutil
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import apsw

from mmsdk.database import connect, transaction, translated
from mmsdk.errors import CollectionError, CorruptionError, MmsdkError
from mmsdk.stores import manifest, tables
from mmsdk.stores.files import sync_folder
from mmsdk.stores.published import revision_of
from mmsdk.stores.truth import Truth

_DERIVED = {"facts", "indexes", "removals", "words"}
_IN_A_ROW = 65_536
"""A table ends where so many row numbers after one another cannot be read."""
_UNREADABLE = (apsw.CorruptError, apsw.IOError)


def salvage(truth: Truth) -> dict[str, Any]:
    """Put a new database in the place of the damaged one, which is kept beside it; say what is lost.

    Gives ``changes`` (first and last number of the acknowledged changes that are gone; empty if none),
    ``documents``, ``chunks`` and ``vectors`` (ids; of chunks for vectors), ``complete`` (false when these
    lists may miss something) and ``kept``, the file of the damaged database. A document that lost something
    forgets its digest, so that adding its source again restores it. Raises ``CorruptionError`` when
    nothing can be read.
    """
    with truth.lock, translated(truth.file):
        truth.disconnect(checkpoint=False)
        try:
            lost, following = _copied(truth)
            truth.seal.write(following)
        except (MmsdkError, apsw.Error, OSError) as error:
            with suppress(CorruptionError):
                truth.open()
            if isinstance(error, OSError):
                raise CollectionError(f"cannot repair {truth.folder}: {error.strerror}") from error
            raise
        truth.open()
        return lost


def _copied(truth: Truth) -> tuple[dict[str, Any], int]:
    """Exchange the databases; give what is lost and the number of the change that this is."""
    aside = truth.file.with_name(f"{truth.file.name}.tmp")
    for leftover in truth.folder.glob(f"{aside.name}*"):
        leftover.unlink()
    sealed = truth.seal.read() or 0
    with (
        closing(_connected(truth.file)) as old,
        closing(_connected(aside, create=True)) as new,
        transaction(new, write=True),
    ):
        copy = _Copy(old, new)
        lost = copy.run(truth.folder)
        revision = revision_of(new) if copy.dated else sealed
        following = max(revision, sealed) + 1
        new.execute("UPDATE state SET value = ? WHERE name = 'revision'", (following,)).fetchall()
    if aside.with_name(f"{aside.name}-wal").exists():  # SQLite says nothing when it cannot empty the log
        raise CollectionError(f"cannot write {aside}; the damaged database stays as it is")
    changes = [revision + 1, sealed] if revision < sealed else []
    return {"changes": changes, **lost, "kept": _exchange(truth.file, aside)}, following


class _Copy:
    """Copy a database table by table, within a transaction of the new one."""

    def __init__(self, old: apsw.Connection, new: apsw.Connection) -> None:
        self.old, self.new = old, new
        self.complete = self.dated = True
        self._gaps: dict[str, list[int]] = {}

    def run(self, folder: Path) -> dict[str, Any]:
        self.new.execute("PRAGMA defer_foreign_keys = ON").fetchall()
        self._state(folder)
        for name, sql in self._tables():
            if sql is not None:
                self.new.execute(sql).fetchall()
            self._gaps[name] = self._rows(name)
        documents, chunks = self._missing("documents"), self._missing("chunks")
        self._name_again(documents)
        chunks |= dict(
            self.new.execute("SELECT number, id FROM chunks WHERE document NOT IN (SELECT number FROM documents)")
        )
        self.new.execute("DELETE FROM chunks WHERE document NOT IN (SELECT number FROM documents)").fetchall()
        vectors = self._vectors()
        self._forget_digests(chunks, vectors)
        there = {number for (number,) in self.new.execute("SELECT number FROM documents")}
        return {
            "documents": sorted(name for number, name in documents.items() if number not in there),
            "chunks": sorted(chunks.values()),
            "vectors": sorted(vectors.values()),
            "complete": self.complete,
        }

    def _state(self, folder: Path) -> None:
        """Copy revision and encoders; the manifest knows the encoders, too."""
        rows = self._read("SELECT name, value FROM state")
        self.dated = "revision" in rows
        rows.setdefault("encoders", json.dumps(manifest.described(folder), ensure_ascii=False))
        self.new.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", rows.items()).fetchall()

    def _tables(self) -> list[tuple[str, str | None]]:
        """Name the tables with row numbers, with the SQL of those that the new database has not yet."""
        listed = "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        there = {name for name, _ in self.new.execute(listed)}
        return [
            (str(name), None if name in there else str(sql))
            for name, sql in self.old.execute(listed).fetchall()
            if str(name).partition("_")[0] not in _DERIVED and "WITHOUT ROWID" not in str(sql)
        ]

    def _rows(self, table: str) -> list[int]:
        """Copy the readable rows of a table and give the row numbers that could not be looked at."""
        columns = len(self.old.execute(f"PRAGMA table_info({table})").fetchall())
        insert = f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})"
        unreadable: list[int] = []
        start = 1
        while True:
            failed_at = start
            try:
                for number, *values in self.old.execute(
                    f"SELECT rowid, * FROM {table} WHERE rowid >= ? ORDER BY rowid", (start,)
                ):
                    self.new.execute(insert, values).fetchall()
                    start = int(str(number)) + 1
                return unreadable
            except _UNREADABLE:
                if start == failed_at:
                    unreadable.append(start)
                    start += 1
            if len(unreadable) >= _IN_A_ROW and unreadable[-_IN_A_ROW] == start - _IN_A_ROW:
                return unreadable

    def _missing(self, table: str) -> dict[int, str]:
        """Give the numbers and ids that the table's index knows and the new table has not."""
        if not self._gaps[table]:
            return {}
        there = {number for (number,) in self.new.execute(f"SELECT number FROM {table}")}
        known = self._read(f"SELECT number, id FROM {table} INDEXED BY sqlite_autoindex_{table}_1")
        return {number: name for number, name in known.items() if number not in there}

    def _name_again(self, documents: dict[int, str]) -> None:
        """Make rows for lost documents whose chunks are there."""
        if documents:
            sources = self._read("SELECT number, source FROM documents INDEXED BY documents_source")
            self.new.executemany(
                "INSERT INTO documents SELECT ?1, ?2, ?3, '', '{}' WHERE ?1 IN (SELECT document FROM chunks)",
                [(number, name, sources.get(number, "")) for number, name in documents.items()],
            ).fetchall()

    def _vectors(self) -> dict[int, str]:
        """Drop vectors without a chunk; give the chunks that lost a vector."""
        lost: dict[int, str] = {}
        for number, kind in self.new.execute("SELECT number, kind FROM spaces WHERE current").fetchall():
            table = f"vectors_{int(str(number))}"
            self.new.execute(f"DELETE FROM {table} WHERE chunk NOT IN (SELECT number FROM chunks)").fetchall()
            lost |= dict(
                self.new.execute(
                    "SELECT number, id FROM chunks WHERE number IN (SELECT value FROM json_each(?)) "
                    f"AND (picture IS NOT NULL) = ? AND number NOT IN (SELECT chunk FROM {table})",
                    (json.dumps(self._gaps.get(table, [])), kind == "image"),
                )
            )
        return lost

    def _forget_digests(self, chunks: dict[int, str], vectors: dict[int, str]) -> None:
        of = self._read("SELECT number, document FROM chunks INDEXED BY chunks_document") if chunks else {}
        touched = [of[number] for number in chunks if number in of]
        self.new.execute(
            "UPDATE documents SET digest = '' WHERE number IN (SELECT value FROM json_each(?1)) "
            "OR number IN (SELECT document FROM chunks WHERE number IN (SELECT value FROM json_each(?2)))",
            (json.dumps(touched), json.dumps(list(vectors))),
        ).fetchall()

    def _read(self, sql: str) -> dict[Any, Any]:
        """Read pairs until the end or an unreadable page."""
        found: dict[Any, Any] = {}
        try:
            found.update(self.old.execute(sql))  # keeps what came before an error
        except _UNREADABLE:
            self.complete = False
        return found


def _connected(file: Path, *, create: bool = False) -> apsw.Connection:
    return connect(
        file, application_id=tables.APPLICATION_ID, migrations=tables.MIGRATIONS, read_only=not create, create=create
    )


def _exchange(file: Path, aside: Path) -> str:
    """Put one database in the place of another and keep that under the name given back.

    The log moves first, so that it is never applied to the new database; a crash right after it leaves the
    collection behind its seal, which opening reports.
    """
    kept = file.with_name(f"{file.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}-{time.monotonic_ns() % 1000:03d}")
    try:
        os.link(file, kept)
    except OSError:  # a file system without hard links
        shutil.copyfile(file, kept)
    log = file.with_name(f"{file.name}-wal")
    if log.exists():
        log.replace(kept.with_name(f"{kept.name}-wal"))
    file.with_name(f"{file.name}-shm").unlink(missing_ok=True)
    aside.replace(file)
    sync_folder(file.parent)
    return kept.name
