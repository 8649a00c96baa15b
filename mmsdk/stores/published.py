"""Indexes derived from the vectors in SQLite: kept up to date in memory, published as checked files.

A file is written aside, flushed, renamed, and only then recorded in SQLite with its SHA-256 and the
revision it shows. A file that is missing, damaged or unrecorded is never read by FAISS: the index is
built from the vectors again. What is newer than the file is read from SQLite.
"""

import hashlib
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import numpy as np

from mmsdk.errors import CollectionError, CorruptionError
from mmsdk.stores.indexes.exact import Found, Numbers
from mmsdk.stores.indexes.faiss import FaissIndex
from mmsdk.stores.tables import vectors_of
from mmsdk.types import Modality, Vectors

log = logging.getLogger(__name__)
_ROWS = 8192
_STALE = 0.05
"""A published file is renewed when this share of the rows has changed since."""


@dataclass(frozen=True)
class Shelf:
    """Name the vectors of one kind of content in one space; they are in the table ``vectors_<number>``.

    Texts and pictures of one space are kept apart because their cosines to a query are distributed
    differently: among many texts, no picture would come near enough to be seen.
    """

    number: int
    space: str
    kind: Modality
    dimension: int


@dataclass
class _Held:
    index: FaissIndex
    revision: int
    last: int


class Indexes:
    """Hold one index a shelf. Callers hold ``lock`` from before their snapshot begins until they have searched."""

    def __init__(self, folder: Path, device: str) -> None:
        self.lock = threading.RLock()
        self._folder, self._device = folder, device
        self._held: dict[int, _Held] = {}

    def search(
        self, connection: apsw.Connection, shelf: Shelf, vectors: Vectors, *, k: int, among: Numbers | None
    ) -> list[Found]:
        """Search the state that the connection's transaction sees."""
        return self.current(connection, shelf).search(vectors, k, among=among)

    def current(self, connection: apsw.Connection, shelf: Shelf) -> FaissIndex:
        """Give the index as of the connection's transaction."""
        revision = revision_of(connection)
        held = self._held.get(shelf.number)
        if held is None:
            held = self._held[shelf.number] = self._loaded(connection, shelf)
        if held.revision != revision:
            self._follow(connection, shelf, held)
            held.revision = revision
        return held.index

    def forget(self) -> None:
        """Drop what is in memory; it is loaded or built again when needed."""
        with self.lock:
            self._held.clear()

    def info(self, shelf: Shelf) -> dict[str, Any]:
        """Say what is in memory of a shelf."""
        held = self._held.get(shelf.number)
        if held is None:
            return {"kind": FaissIndex.kind, "loaded": False}
        return {"kind": held.index.kind, "loaded": True, "rows": len(held.index), "device": held.index.device}

    def _follow(self, connection: apsw.Connection, shelf: Shelf, held: _Held) -> None:
        gone = [row[0] for row in connection.execute("SELECT chunk FROM removals WHERE revision > ?", (held.revision,))]
        if gone:
            held.index.remove(np.array(gone, np.int64))
        for numbers, vectors in _rows(connection, shelf, held.last):
            held.index.add(numbers, vectors)
            held.last = int(numbers[-1])

    def _loaded(self, connection: apsw.Connection, shelf: Shelf) -> _Held:
        row = connection.execute(
            "SELECT file, sha256, revision, last FROM indexes WHERE space = ?", (shelf.number,)
        ).fetchone()
        if row is not None:
            file, digest, revision, last = row
            try:
                index = FaissIndex.from_bytes(_checked(self._folder / str(file), str(digest)), device=self._device)
                return _Held(index, int(revision), int(last))
            except CorruptionError as error:
                log.warning("%s; building the index from the stored vectors", error)
        return _Held(FaissIndex(shelf.dimension, device=self._device), -1, 0)

    def is_stale(self, connection: apsw.Connection, shelf: Shelf) -> bool:
        """Say whether the published file is missing or too far behind."""
        row = connection.execute(
            "SELECT file, revision, last, rows FROM indexes WHERE space = ?", (shelf.number,)
        ).fetchone()
        total = _count(connection, f"SELECT count(*) FROM vectors_{shelf.number}")
        if row is None or not (self._folder / str(row[0])).is_file():
            return total > 0
        newer = _count(connection, f"SELECT count(*) FROM vectors_{shelf.number} WHERE chunk > ?", row[2])
        return newer + max(0, int(row[3]) + newer - total) > _STALE * max(total, 1)

    def publish(self, connection: apsw.Connection, shelf: Shelf) -> None:
        """Write the index of the connection's write transaction to a file and record it there."""
        index = self.current(connection, shelf)
        data = index.to_bytes()
        file = self._folder / f"index-{shelf.number}-{revision_of(connection)}.faiss"
        write_durably(file, data)
        last = int(index.numbers.max(initial=0))
        connection.execute(
            "INSERT OR REPLACE INTO indexes VALUES (?, ?, ?, ?, ?, ?)",
            (shelf.number, file.name, hashlib.sha256(data).hexdigest(), revision_of(connection), last, len(index)),
        )

    def sweep(self, connection: apsw.Connection) -> None:
        """Delete index files that are not recorded: leftovers of a crash, and those replaced."""
        recorded = {row[0] for row in connection.execute("SELECT file FROM indexes")}
        for file in self._folder.glob("index-*.faiss*"):
            if file.name not in recorded:
                with suppress(OSError):  # the next sweep tries again
                    file.unlink(missing_ok=True)

    def damages(self, connection: apsw.Connection) -> list[str]:
        """Name index files that are missing or damaged."""
        found = []
        for file, digest in connection.execute("SELECT file, sha256 FROM indexes").fetchall():
            try:
                _checked(self._folder / str(file), str(digest))
            except CorruptionError as error:
                found.append(str(error))
        return found


def revision_of(connection: apsw.Connection) -> int:
    """Give the number of the last change that the connection's transaction sees."""
    return _count(connection, "SELECT value FROM state WHERE name = 'revision'")


def write_durably(file: Path, data: bytes) -> None:
    """Put bytes in a file so that, whenever the machine stops, it has all of them or is as before.

    Raises ``CollectionError`` when it cannot.
    """
    aside = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(file)
        sync_folder(file.parent)
    except OSError as error:
        raise CollectionError(f"cannot write {file}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _checked(file: Path, digest: str) -> bytes:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CorruptionError(f"index file {file.name} cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise CorruptionError(f"index file {file.name} does not match its SHA-256")
    return data


def _rows(connection: apsw.Connection, shelf: Shelf, after: int) -> Iterator[tuple[Numbers, Vectors]]:
    cursor = connection.execute(
        f"SELECT chunk, vector FROM vectors_{shelf.number} WHERE chunk > ? ORDER BY chunk",
        (after,),
    )
    while rows := list(_taken(cursor, _ROWS)):
        numbers = np.array([row[0] for row in rows], np.int64)
        yield numbers, vectors_of([row[1] for row in rows], shelf.dimension)


def _taken(cursor: Any, count: int) -> Iterator[Any]:
    for _ in range(count):
        row = cursor.fetchone()
        if row is None:
            return
        yield row


def _count(connection: apsw.Connection, sql: str, *values: Any) -> int:
    row = connection.execute(sql, values).fetchone()
    return 0 if row is None else int(row[0])
