"""Building index files beside a running collection: read, train, fill, write, record, adopt.

Rows are read in short transactions, so that a long build keeps no old snapshot alive: a row never
changes, rows deleted meanwhile are found in ``removals``, and newer ones are left to the next build.
Searches go on with the view they have until the new file is recorded, checked and loaded.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import apsw
import numpy as np

from mmsdk.errors import MmsdkError
from mmsdk.stores import files
from mmsdk.stores.indexes import kinds
from mmsdk.stores.indexes.faiss import Rows, build
from mmsdk.stores.published import Indexes, Shelf, View, revision_of, rows_after
from mmsdk.stores.tables import vectors_of

log = logging.getLogger(__name__)
_BLOCK = 32_768
Connecting = Callable[[], AbstractContextManager[apsw.Connection]]


class Builds:
    """Build indexes of one store, each shelf's at most once at a time.

    ``reading`` and ``writing`` begin a transaction; the latter is the only one in the collection meanwhile.
    """

    def __init__(self, indexes: Indexes, *, reading: Connecting, writing: Connecting) -> None:
        self._indexes, self._reading, self._writing = indexes, reading, writing
        self._threads: dict[int, threading.Thread] = {}
        self._considered: dict[int, View] = {}
        self._one = threading.Lock()

    def consider(self, view: View, *, can_build: bool) -> None:
        """Renew the index in the background when that is due; each view is looked at once."""
        number = view.shelf.number
        if self._considered.get(number) is view:
            return
        self._considered[number] = view
        if not self._indexes.is_due(view):
            return
        with self._indexes.lock:
            if not self.is_building(view.shelf):
                self._threads[number] = threading.Thread(target=self._tried, args=(view, can_build))
                self._threads[number].start()

    def is_building(self, shelf: Shelf) -> bool:
        """Say whether the shelf's index is being built."""
        thread = self._threads.get(shelf.number)
        return thread is not None and thread.is_alive()

    def wait(self) -> None:
        """Wait until nothing is being built."""
        for thread in list(self._threads.values()):
            thread.join()

    def publish(self, shelf: Shelf) -> None:
        """Build the index of a shelf, record its file and let searches use it."""
        with self._one:
            with self._written(shelf) as (made, place), self._writing() as connection:
                if connection.execute("SELECT 1 FROM spaces WHERE number = ?", (shelf.number,)).fetchall():
                    place()
                    connection.execute("INSERT OR REPLACE INTO indexes VALUES (?, ?, ?, ?, ?, ?)", made).fetchall()
            with self._writing() as connection:
                self._sweep(connection)
            self._adopt(shelf)

    def _tried(self, view: View, can_build: bool) -> None:
        try:
            with self._reading() as connection:
                sql = "SELECT 1 FROM indexes WHERE space = ? AND revision > ?"
                is_renewed = connection.execute(sql, (view.shelf.number, view.tried)).fetchall()
            if is_renewed:  # by another process
                self._adopt(view.shelf)
            elif can_build:
                self.publish(view.shelf)
        except (MmsdkError, OSError, apsw.Error) as error:
            log.warning("the index of %s was not built, the old one goes on: %s", view.shelf.space, error)

    def _adopt(self, shelf: Shelf) -> None:
        if self._indexes.held(shelf) is not None:
            with self._reading() as connection:
                self._indexes.adopt(self._indexes.loaded(connection, shelf))

    @contextmanager
    def _written(self, shelf: Shelf) -> Iterator[tuple[tuple[Any, ...], Callable[[], None]]]:
        """Write the index as of now to a file; give the row that records it, and what puts the file in its place."""
        with self._reading() as connection:
            revision = revision_of(connection)
            sql = f"SELECT max(chunk) FROM vectors_{shelf.number}"
            last = int(str(connection.execute(sql).fetchall()[0][0] or 0))
            rows = self._rows(connection, shelf)
            kind = self._indexes.wanted(rows, shelf)
            sample = None
            if kind != kinds.EXACT:  # of the rows that were counted: later they may all have been replaced
                sample = self._sample(connection, shelf, kinds.sample(kind), last=last, rows=rows)

        def payload(put: files.Put) -> files.Written:
            if sample is None:
                numbers = [np.empty(0, np.int64)]
                for found, vectors in self._batches(shelf, last):
                    put(np.ascontiguousarray(vectors, "<f4").tobytes())
                    numbers.append(found)
                return np.concatenate(numbers), {"kind": kind}
            index, placed = build(kind, sample, self._batches(shelf, last), recall=self._indexes.options.recall)
            index.write(put)
            cut = int(np.argmax(np.diff(placed, append=-1) < 0)) + 1 if len(placed) else 0
            return placed, {"kind": kind, "traits": index.traits.to_json(), "cut": cut}

        stem = f"index-{shelf.number}-{revision}"
        with files.written_index(self._indexes.folder, stem, payload) as (name, digest, place):
            yield (shelf.number, name, digest, revision, last, rows), place

    def _batches(self, shelf: Shelf, last: int) -> Iterator[Rows]:
        """Read the rows up to a number, each block in a transaction of its own."""
        for after in range(0, last, _BLOCK):
            with self._reading() as connection:
                yield from rows_after(connection, shelf, after, until=min(last, after + _BLOCK))

    def _rows(self, connection: apsw.Connection, shelf: Shelf) -> int:
        """Count the rows of a shelf; from memory where possible, because the table is large."""
        view = self._indexes.held(shelf)
        after, known = (0, 0) if view is None else (view.last, len(view))
        sql = f"SELECT count(*) FROM vectors_{shelf.number} WHERE chunk > ?"
        return known + int(str(connection.execute(sql, (after,)).fetchall()[0][0]))

    def _sample(self, connection: apsw.Connection, shelf: Shelf, count: int, *, last: int, rows: int) -> Rows:
        """Read about ``count`` random rows, all when there are fewer, in random order."""
        chance = np.random.default_rng(shelf.number)
        wanted = chance.permutation(last)[: min(count * last // max(rows, 1) + 1, last)] + 1
        sql = f"SELECT chunk, vector FROM vectors_{shelf.number} WHERE chunk IN (SELECT value FROM json_each(?))"
        found: list[Any] = connection.execute(sql, (json.dumps(wanted.tolist()),)).fetchall()
        order = chance.permutation(len(found))
        numbers = np.array([number for number, _ in found], np.int64)
        return numbers[order], vectors_of([blob for _, blob in found], shelf.dimension)[order]

    def _sweep(self, connection: apsw.Connection) -> None:
        """Delete index files that are not recorded: leftovers of a crash, and those replaced."""
        recorded = {row[0] for row in connection.execute("SELECT file FROM indexes")}
        for file in self._indexes.folder.glob("index-*"):
            if file.name not in recorded and files.is_leftover(file):
                with suppress(OSError):  # the next sweep tries again
                    file.unlink(missing_ok=True)
