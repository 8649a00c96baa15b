"""Indexes derived from the vectors in SQLite: views that follow it in memory, and checked files.

A file that is missing, damaged or unrecorded is never read by FAISS: the vectors in SQLite answer
until an index is built from them again. What is newer than the file is read from SQLite and compared
exactly; what was deleted since is left out of searches. How files are built is in ``building``.
"""

import copy
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import apsw
import numpy as np

from mmsdk.errors import CorruptionError
from mmsdk.settings import Indexing
from mmsdk.stores import files
from mmsdk.stores.indexes import gpu, kinds
from mmsdk.stores.indexes.exact import ExactIndex, Found, Index, Numbers, merged
from mmsdk.stores.indexes.faiss import Allowed, FaissIndex, Traits, check
from mmsdk.stores.tables import vectors_of
from mmsdk.types import Modality, Vectors

log = logging.getLogger(__name__)
_ROWS = 8192
STALE = 0.05
"""A file of an exact index is renewed when this share of the rows has changed since."""
DUE = 0.1
"""An index that was trained is built anew when this share of the rows is new or deleted."""
_LEAST_CHANGES = 5000


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


@dataclass(frozen=True)
class View:
    """Show the vectors of a shelf as of one revision; it never changes, so threads search it at the same time.

    ``main`` holds the rows ``numbers`` by position, of which ``alive`` are still there (all when ``None``);
    ``tail`` holds all other rows. ``numbers`` ascend up to ``cut`` and again from there. ``last`` is the largest
    number seen, ``recorded`` the file's revision or -1, ``tried`` that of the file that was there, if damaged too.
    """

    shelf: Shelf
    revision: int
    last: int
    tail: Index
    main: FaissIndex | None = None
    numbers: Numbers | None = None
    cut: int = 0
    alive: Allowed | None = None
    recorded: int = -1
    tried: int = -1
    recorded_rows: int = 0
    mapped_bytes: int = 0

    def __len__(self) -> int:
        return len(self.tail) + self.main_rows - self.dead

    @property
    def kind(self) -> str:
        """The kind of the main index; exact when there is none."""
        return kinds.EXACT if self.main is None else self.main.traits.kind

    @property
    def main_rows(self) -> int:
        """Rows of the main index, deleted ones included."""
        return 0 if self.main is None else len(self.main)

    @property
    def dead(self) -> int:
        """Rows of the main index that are deleted."""
        return 0 if self.alive is None else self.main_rows - self.alive.count

    def search(
        self, queries: Vectors, k: int, *, among: Numbers | None, read: Callable[[Numbers], Vectors]
    ) -> list[Found]:
        """Give the ``k`` nearest of each query row; ``read`` gives the true vectors of numbers."""
        main, numbers = self.main, self.numbers
        if main is None or numbers is None:
            return self.tail.search(queries, k, among=among)
        lists = [self.tail.search(queries, k, among=among)] if len(self.tail) else []
        found = main.search(queries, k, allowed=self._allowed(among), fetch=lambda positions: read(numbers[positions]))
        lists.append([(numbers[positions], cosines) for positions, cosines in found])
        return [merged(parts, k) for parts in zip(*lists, strict=True)]

    def _allowed(self, among: Numbers | None) -> Allowed | None:
        if among is None or self.numbers is None:
            return self.alive
        mask = np.zeros(len(self.numbers), np.bool_)
        mask[self._positions(among)] = True
        return Allowed(mask if self.alive is None else mask & self.alive.mask)

    def _positions(self, wanted: Numbers) -> Numbers:
        """Give the positions in the main index of what is there of ``wanted``."""
        found = [np.empty(0, np.int64)]
        numbers = np.empty(0, np.int64) if self.numbers is None else self.numbers
        for start, block in ((0, numbers[: self.cut]), (self.cut, numbers[self.cut :])):
            if len(block):
                places = np.minimum(np.searchsorted(block, wanted), len(block) - 1)
                found.append(start + places[block[places] == wanted])
        return np.concatenate(found)

    def without(self, gone: Numbers) -> "View":
        """Give the view without these rows."""
        self.tail.remove(gone)
        if self.numbers is None:
            return self
        places = self._positions(gone)
        if len(places) == 0:
            return self
        mask = np.ones(len(self.numbers), np.bool_) if self.alive is None else self.alive.mask.copy()
        mask[places] = False
        return replace(self, alive=Allowed(mask))


class Indexes:
    """Hold one view a shelf. Callers hold ``lock`` from before their snapshot begins until they have the view."""

    def __init__(self, folder: Path, options: Indexing, device: str) -> None:
        self.lock = threading.RLock()
        self.folder, self.options = folder, options
        self._plan = gpu.planned(
            options.device or device,
            shard=options.gpu_layout == "shard",
            float16=options.gpu_float16,
            memory=options.gpu_memory_mb << 20,
        )
        self._views: dict[int, View] = {}

    def check(self, dimension: int) -> None:
        """Raise ``SettingsError`` for a kind that FAISS does not know."""
        check(kinds.chosen(self.options.index, 1 << 20, dimension, memory=self.options.memory), dimension)

    def view(self, connection: apsw.Connection, shelf: Shelf) -> View:
        """Give the vectors as of the connection's transaction."""
        view = self._views.get(shelf.number)
        view = self.loaded(connection, shelf) if view is None else followed(connection, view)
        self._views[shelf.number] = view
        return view

    def held(self, shelf: Shelf) -> View | None:
        """Give the view that is in memory, as of whatever revision."""
        return self._views.get(shelf.number)

    def adopt(self, view: View) -> None:
        """Let searches use a view that was loaded beside them."""
        with self.lock:
            if view.shelf.number in self._views:
                self._views[view.shelf.number] = view

    def forget(self) -> None:
        """Drop what is in memory; it is loaded or built again when needed."""
        with self.lock:
            self._views.clear()

    def loaded(self, connection: apsw.Connection, shelf: Shelf) -> View:
        """Load the recorded file, if it is whole, and what is newer."""
        sql = "SELECT file, sha256, revision, last FROM indexes WHERE space = ?"
        row = connection.execute(sql, (shelf.number,)).fetchone()
        view = View(shelf, -1, 0, ExactIndex(shelf.dimension))
        if row is not None:
            file, digest, revision, last = row
            view = replace(view, tried=int(revision))
            try:
                content = files.mapped(self.folder / str(file), str(digest))
                view = self._shown(replace(view, revision=int(revision), last=int(last)), content)
            except CorruptionError as error:
                log.warning("%s; the stored vectors answer until it is built anew", error)
        return followed(connection, view)

    def _shown(self, view: View, content: files.Mapped) -> View:
        view = replace(
            view,
            recorded=view.revision,
            recorded_rows=len(content.numbers),
            mapped_bytes=content.payload.nbytes + content.numbers.nbytes,
        )
        if content.footer["kind"] == kinds.EXACT:
            size = 4 * view.shelf.dimension * len(content.numbers)
            rows = content.payload[:size].view("<f4").reshape(-1, view.shelf.dimension)
            return replace(view, tail=ExactIndex.over(content.numbers, rows))
        traits = Traits(**content.footer["traits"])
        main = FaissIndex.mapped(
            content.payload, traits, copy=lambda index: gpu.copied(index, self._plan, effort=traits.effort)
        )
        return replace(view, main=main, numbers=content.numbers, cut=int(content.footer["cut"]))

    def wanted(self, rows: int, shelf: Shelf) -> str:
        """Give the kind that so many rows should have."""
        memory = self.options.memory
        return kinds.chosen(self.options.index, rows, shelf.dimension, memory=memory, gpu=self._plan is not None)

    def is_due(self, view: View) -> bool:
        """Say whether a running collection should build the index anew: it grew out of its kind, or changed."""
        kind = self.wanted(len(view), view.shelf)
        if kind == kinds.EXACT and view.main is None:
            return False
        changed = len(view.tail) + view.dead
        return kinds.family(kind) != kinds.family(view.kind) or changed > max(_LEAST_CHANGES, DUE * len(view))

    def is_stale(self, connection: apsw.Connection, shelf: Shelf) -> bool:
        """Say whether the recorded file is missing or too far behind to be left so when the collection closes."""
        view = self.held(shelf)
        sql = "SELECT file, revision, last, rows FROM indexes WHERE space = ?"
        row = connection.execute(sql, (shelf.number,)).fetchone()
        table = f"vectors_{shelf.number}"
        if row is None or not (self.folder / str(row[0])).is_file():
            return _count(connection, f"SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT 1)") > 0
        if view is not None and view.recorded < 0:
            return True
        newer = _count(connection, f"SELECT count(*) FROM {table} WHERE chunk > ?", row[2])
        gone = _count(connection, "SELECT count(*) FROM removals WHERE revision > ?", row[1])
        share = STALE if self.wanted(int(row[3]), shelf) == kinds.EXACT else DUE
        return newer + gone > share * max(int(row[3]) + newer - gone, 1)

    def count(self, connection: apsw.Connection, shelf: Shelf) -> int:
        """Count vectors; from memory where possible, because the table is large."""
        view = self.held(shelf)
        if view is not None and view.revision == revision_of(connection):
            return len(view)
        return _count(connection, f"SELECT count(*) FROM vectors_{shelf.number}")

    def info(self, connection: apsw.Connection, shelf: Shelf) -> dict[str, Any]:
        """Say of what kind the index is, what it costs and how far it is behind."""
        view = self.held(shelf)
        if view is None:
            row = connection.execute("SELECT revision, rows FROM indexes WHERE space = ?", (shelf.number,)).fetchone()
            return {"loaded": False, "revision": row and row[0], "rows": row and row[1]}
        found = {
            "loaded": True,
            "kind": view.kind,
            "wanted": self.wanted(len(view), shelf),
            "rows": len(view),
            "tail": len(view.tail),
            "tombstones": round(view.dead / max(view.main_rows, 1), 4),
            "revision": view.recorded if view.recorded >= 0 else None,
            "is_fresh": view.recorded == view.revision,
            "device": "cpu" if view.main is None else view.main.device,
            "memory_bytes": _memory(view),
            "mapped_bytes": view.mapped_bytes,
        }
        return found if view.main is None else {**found, **view.main.traits.to_json()}

    def damages(self, connection: apsw.Connection) -> list[str]:
        """Name index files that are missing or damaged."""
        found = []
        for file, digest in connection.execute("SELECT file, sha256 FROM indexes").fetchall():
            try:
                files.check(self.folder / str(file), str(digest))
            except CorruptionError as error:
                found.append(str(error))
        return found


def followed(connection: apsw.Connection, view: View) -> View:
    """Give the view as of the connection's transaction."""
    revision = revision_of(connection)
    if revision == view.revision:
        return view
    view = replace(view, tail=copy.copy(view.tail))
    gone = [row[0] for row in connection.execute("SELECT chunk FROM removals WHERE revision > ?", (view.revision,))]
    if gone:
        view = view.without(np.array(gone, np.int64))
    last = view.last
    for numbers, vectors in rows_after(connection, view.shelf, last):
        view.tail.add(numbers, vectors)
        last = int(numbers[-1])
    return replace(view, revision=revision, last=last)


def revision_of(connection: apsw.Connection) -> int:
    """Give the number of the last change that the connection's transaction sees."""
    return _count(connection, "SELECT value FROM state WHERE name = 'revision'")


def rows_after(
    connection: apsw.Connection, shelf: Shelf, after: int, *, until: int = 2**62
) -> Iterator[tuple[Numbers, Vectors]]:
    """Give the rows after a number, ``until`` included, in order and in blocks."""
    cursor = connection.execute(
        f"SELECT chunk, vector FROM vectors_{shelf.number} WHERE chunk > ? AND chunk <= ? ORDER BY chunk",
        (after, until),
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


def _memory(view: View) -> int:
    """Estimate the bytes that a view takes beside its mapped file."""
    own = len(view.tail) - (view.recorded_rows if view.main is None else 0)
    lists = 8 * view.main_rows if view.main is not None and view.main.traits.lossless else 0
    return max(own, 0) * (4 * view.shelf.dimension + 9) + lists + (view.main_rows if view.alive is not None else 0)


def _count(connection: apsw.Connection, sql: str, *values: Any) -> int:
    row = connection.execute(sql, values).fetchone()
    return 0 if row is None else int(row[0])
