"""A collection in a folder: SQLite is the truth, FAISS a cache derived from it.

    manifest.json        format and encoders, for people and for other versions of mmsdk
    truth.sqlite         documents, chunks, vectors, pictures, metadata and full text
    index-*.faiss        derived; deleting them loses nothing
    commits.seal         the number of the last acknowledged change: a database behind it has lost commits
    writer.lock          held by the one process that is changing the collection

Every change is one transaction that is on disk when its call returns. Readers, in this and in other
processes, see the last commit. The store knows nothing of models, sources or fusion.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import apsw

from mmsdk.errors import CollectionError, CollectionNotFoundError, CorruptionError, EncoderMismatchError, MmsdkError
from mmsdk.protocols import Closing, Entry
from mmsdk.settings import Indexing, Settings
from mmsdk.stores import damages, manifest, reading, tables
from mmsdk.stores.backup import copied
from mmsdk.stores.building import Builds
from mmsdk.stores.files import sync_folder
from mmsdk.stores.published import Indexes, revision_of
from mmsdk.stores.salvage import salvage
from mmsdk.stores.snapshot import Memory, Own, Snapshot
from mmsdk.stores.truth import Truth
from mmsdk.stores.writing import Changes
from mmsdk.types import JSON, Chunk, Filter, Modality, Vectors

log = logging.getLogger(__name__)

Described = Mapping[str, Any]
"""An encoder as a collection records it: space, dimension, fingerprint, modalities."""


class LocalStore(Closing):
    """Keep a collection in a folder; the store behind the registry name ``local``.

    ``encoders`` are recorded when the collection is made and must be the same ones later; ``None`` takes
    the recorded ones, and opens a damaged collection for ``verify`` and ``repair``. Raises
    ``CollectionNotFoundError``, ``EncoderMismatchError``, ``CorruptionError``.

    >>> import tempfile
    >>> described = [{"space": "s", "dimension": 2, "fingerprint": "f", "modalities": ["text"]}]
    >>> with LocalStore(tempfile.mkdtemp(), encoders=described, create=True) as store:
    ...     store.count()
    0
    """

    def __init__(
        self,
        path: str | Path,
        *,
        settings: Settings | None = None,
        encoders: Sequence[Described] | None = None,
        create: bool = False,
        read_only: bool = False,
    ) -> None:
        self.path = Path(path)
        self._truth = Truth(self.path, read_only=read_only)
        self.lock = self._truth.lock
        self._known = ""
        self._own = Own()
        self._memory = Memory()
        self._checked = -1
        options, device = (settings.store, settings.device) if settings else (Indexing(), "auto")
        self._indexes = Indexes(self.path, options, device)
        self._builds = Builds(self._indexes, reading=self._truth.reading, writing=self._truth.exclusive)
        self._open(encoders, create)

    @property
    def encoders(self) -> list[Described]:
        """The encoders that the vectors in here come from."""
        with self._reading(check=False) as connection:
            return manifest.recorded(connection)

    def upsert(self, entries: Sequence[Entry]) -> None:
        """Put documents in place of those with the same id; durable on return."""
        with self._writing() as changes:
            changes.put(entries)

    def delete(self, *, ids: Iterable[str] | None = None, where: Filter | None = None) -> int:
        """Delete documents by document id or the chunks a filter matches; give the number of chunks gone.

        A document that lost some of its chunks forgets its digest, so that adding it again restores them.
        """
        condition = None if where is None else reading.condition(where)
        with self._writing() as changes:
            gone = changes.drop_documents(ids or ())
            if condition is not None:
                numbers = reading.numbers(changes.connection, condition)
                changes.drop_chunks(numbers.tolist())
                gone += len(numbers)
            return gone

    def update(self, document_id: str, metadata: Mapping[str, Any]) -> int:
        """Put these keys into the metadata of a document and its chunks; give the number of chunks changed."""
        with self._writing() as changes:
            return changes.describe(document_id, metadata)

    def get(self, ids: Sequence[str]) -> list[Chunk]:
        """Give the chunks with these ids, in order, without the missing ones."""
        with self._reading() as connection:
            rows = connection.execute(
                f"{tables.CHUNK} WHERE c.id IN (SELECT value FROM json_each(?))", (json.dumps(list(ids)),)
            ).fetchall()
        found = {str(row[0]): tables.chunk_of(row) for row in rows}
        return [found[name] for name in ids if name in found]

    def chunks(self, document_id: str) -> list[Chunk]:
        """Give the chunks of one document, in order."""
        with self._reading() as connection:
            rows = connection.execute(f"{tables.CHUNK} WHERE d.id = ? ORDER BY c.number", (document_id,)).fetchall()
        return [tables.chunk_of(row) for row in rows]

    def kinds(self, space: str) -> tuple[Modality, ...]:
        """Give the kinds of content that a space keeps vectors of."""
        with self._reading() as connection:
            return tuple(shelf.kind for shelf in reading.shelves(connection, space))

    def documents(self, *, source: str | None = None) -> Mapping[str, str]:
        """Give document id to digest, for all documents or those of one source."""
        chosen = "" if source is None else " WHERE source = ?"
        with self._reading() as connection:
            rows = connection.execute(f"SELECT id, digest FROM documents{chosen}", () if source is None else (source,))
            return {str(name): str(digest) for name, digest in rows}

    def search(
        self, space: str, vectors: Vectors, k: int, *, where: Filter | None = None, kind: Modality | None = None
    ) -> list[list[tuple[str, float]]]:
        """Give for each query row the ``k`` nearest (chunk id, cosine), best first; ``kind`` is that of the content."""
        with self.snapshot() as seen:
            return seen.search(space, vectors, k, where=where, kind=kind)

    def search_text(self, query: str, k: int, *, where: Filter | None = None) -> list[tuple[str, float]]:
        """Give the ``k`` best (chunk id, BM25 score, higher is better) by full text."""
        with self.snapshot() as seen:
            return seen.search_text(query, k, where=where)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Let everything that this thread reads from the collection within be of one state."""
        if self._own.seen is not None:
            yield self._own.seen
            return
        with ExitStack() as stack:
            with self._indexes.lock:
                connection = stack.enter_context(self._reading())
                views = [self._indexes.view(connection, shelf) for shelf in reading.shelves(connection)]
            self._own.seen = Snapshot(connection, views, self._memory)
            try:
                yield self._own.seen
            finally:
                self._own.seen = None
        for view in views:
            self._builds.consider(view, can_build=self._truth.writable)

    def vectors(self, space: str, ids: Sequence[str]) -> Vectors:
        """Give the vectors of chunks in a space, in order; a row of NaN where there is none."""
        with self._reading() as connection:
            return reading.vectors(connection, space, ids)

    def modalities(self, ids: Sequence[str]) -> Mapping[str, Modality]:
        """Give chunk id to modality, without the missing ones."""
        with self._reading(check=False) as connection:
            return reading.modalities_of(connection, ids)

    def note(self, name: str, value: JSON) -> None:
        """Keep a small fact about the collection beside the data; durable on return."""
        with self._writing() as changes:
            changes.note(name, value)

    def noted(self, name: str) -> JSON:
        """Give what was noted under a name, ``None`` when nothing was."""
        with self._reading(check=False) as connection:
            return reading.noted(connection, name)

    def count(self, where: Filter | None = None) -> int:
        """Count chunks."""
        chosen = ("SELECT number AS chunk FROM chunks", ()) if where is None else reading.condition(where)
        with self._reading() as connection:
            return len(reading.numbers(connection, chosen))

    def info(self) -> dict[str, Any]:
        """Describe sizes, spaces and the index."""
        with self._reading(check=False) as connection:
            modalities = reading.modalities(connection)
            documents = connection.execute("SELECT count(*) FROM documents").fetchall()[0][0]
            spaces = [
                {
                    "name": shelf.space,
                    "kind": shelf.kind,
                    "dimension": shelf.dimension,
                    "vectors": self._indexes.count(connection, shelf),
                    "index": {**self._indexes.info(connection, shelf), "is_building": self._builds.is_building(shelf)},
                }
                for shelf in reading.shelves(connection)
            ]
            return {
                "path": str(self.path),
                "format": manifest.FORMAT,
                "revision": revision_of(connection),
                "documents": documents,
                "chunks": sum(modalities.values()),
                "modalities": modalities,
                "encoders": manifest.recorded(connection),
                "spaces": spaces,
                "bytes": sum(file.stat().st_size for file in self.path.iterdir() if file.is_file()),
                "sqlite": apsw.sqlite_lib_version(),
            }

    def verify(self) -> list[str]:
        """Name everything that is damaged; an empty list says that all is well."""
        return damages.of_truth(self._truth) or damages.of_derived(self._truth, self._indexes)

    def repair(self) -> dict[str, Any]:
        """Build anew what is derived; save what can be read of damaged truth and say what is lost.

        Gives ``problems`` (what ``verify`` found), ``lost`` (empty, or as ``mmsdk.stores.salvage`` says) and
        ``left``. Raises ``CorruptionError`` when nothing can be saved.
        """
        self._builds.wait()
        damaged = damages.of_truth(self._truth)
        problems = damaged or damages.of_derived(self._truth, self._indexes)
        with self._indexes.lock:
            self._indexes.forget()
            self._memory.forget()
            lost = salvage(self._truth) if damaged else {}
        with self._writing(check=False) as changes:
            changes.connection.execute("REINDEX").fetchall()
            changes.rebuild_facts()
            changes.rebuild_words()
            changes.connection.execute("DELETE FROM indexes").fetchall()
            manifest.write(self.path, changes.connection)
            self._known = manifest.fingerprints(manifest.recorded(changes.connection))
        self._publish()
        return {"problems": problems, "lost": lost, "left": self.verify()}

    def backup(self, path: str | Path) -> dict[str, Any]:
        """Copy the collection as it is now to a new folder, while it is used; say what is in the copy.

        The copy is verified before it takes its name. Raises ``CollectionError`` and ``CorruptionError``.
        """
        return self._copied(Path(path), replace=False)

    @classmethod
    def restore(cls, backup: str | Path, path: str | Path, *, replace: bool = False) -> dict[str, Any]:
        """Make a collection from a backup, which is verified first; say what is in it.

        With ``replace`` a collection at ``path`` is kept as ``<path>.replaced-<time>``; whoever has that open
        opens it again. Raises ``CollectionNotFoundError``, ``CorruptionError`` and ``CollectionError``.
        """
        with cls(backup, read_only=True) as source:
            problems = source.verify()
            if problems:
                raise CorruptionError(f"the backup {backup} is damaged: {'; '.join(problems)}")
            return source._copied(Path(path), replace=replace)

    def _copied(self, target: Path, *, replace: bool) -> dict[str, Any]:
        with copied(self._truth, target, replace=replace) as aside, LocalStore(aside, read_only=True) as made:
            problems = made.verify()
            if problems:
                raise CorruptionError(f"the copy of {self.path} is damaged: {'; '.join(problems)}")
            described = made.info()
        return {"path": str(target)} | {key: described[key] for key in ("revision", "documents", "chunks", "bytes")}

    def reindex(
        self,
        encoders: Sequence[Described],
        encode: Callable[[Sequence[Chunk]], Mapping[str, Vectors]],
        *,
        rows: int = 256,
    ) -> int:
        """Replace every vector by those of other encoders; give the number of chunks.

        Searches go on with the old vectors; the last of several transactions switches, so that a crash before
        it leaves the collection as it was.
        """
        with self.lock:
            with self._writing(check=False) as changes:
                changes.drop_unused_shelves()
                shelves = changes.make_shelves(encoders)
            total = 0
            for numbers, chunks in reading.batches(lambda: self._reading(check=False), rows):
                encoded = encode(chunks)
                with self._writing(check=False) as changes:
                    changes.put_vectors(shelves, numbers, chunks, vectors=encoded)
                total += len(numbers)
            with self._writing(check=False) as changes:
                changes.switch(shelves, encoders)
            self._known = manifest.fingerprints(encoders)
            self._indexes.forget()
            with self._reading() as connection:
                manifest.write(self.path, connection)
        return total

    def close(self) -> None:
        """Publish indexes that fell behind, then release files and locks; calling it twice is fine."""
        if self._truth.closed:
            return
        self._builds.wait()
        if self._truth.writable:
            try:
                self._publish(only_stale=True)
            except (MmsdkError, OSError, apsw.Error) as error:
                log.warning("the index was not published and will be built when the collection is opened: %s", error)
        self._truth.close()
        self._indexes.forget()

    def _open(self, encoders: Sequence[Described] | None, create: bool) -> None:
        manifest.check_format(self.path)
        if not self._truth.exists:
            if not create or self._truth.read_only or encoders is None:
                raise CollectionNotFoundError(
                    f"there is no collection at {self.path}; `mmsdk add`, or in Python "
                    f"Collection.open({str(self.path)!r}, create=True) makes one"
                )
            self._make(encoders)
        elif create and encoders and not self._truth.read_only and self._truth.seal.read() is None:
            self._make(encoders)  # a crash cut off the making
        elif not self._opened(tolerant=encoders is None):
            return
        recorded = self.encoders
        self._known = manifest.fingerprints(recorded)
        if encoders is not None and manifest.fingerprints(encoders) != self._known:
            self.close()
            raise EncoderMismatchError(manifest.mismatch(self.path, recorded, encoders))
        for encoder in recorded:
            self._indexes.check(int(encoder["dimension"]))

    def _opened(self, *, tolerant: bool) -> bool:
        try:
            self._truth.open()
        except CorruptionError as error:
            if not tolerant:
                raise
            log.warning("%s; opened for verify and repair only", error)
            return False
        with self._truth.reading() as connection:
            stale = manifest.damages(self.path, connection) if self._truth.writable else []
            if stale:  # a crash came before it, or it was damaged
                log.warning("%s: %s; writing it anew", self.path, stale[0])
                manifest.write(self.path, connection)
        return True

    def _make(self, encoders: Sequence[Described]) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            sync_folder(self.path.parent)
        except OSError as error:
            raise CollectionError(f"cannot make the folder {self.path}: {error.strerror}") from error
        with self.lock:
            self._truth.open(create=True)
            with self._truth.writing() as changes:
                if not manifest.recorded(changes.connection):
                    changes.switch(changes.make_shelves(encoders), encoders)
                manifest.write(self.path, changes.connection)

    @contextmanager
    def _reading(self, *, check: bool = True) -> Iterator[apsw.Connection]:
        if self._own.seen is not None:
            yield self._own.seen.connection
            return
        with self._truth.reading() as connection:
            if check:
                self._check_encoders(connection)
            yield connection

    @contextmanager
    def _writing(self, *, check: bool = True) -> Iterator[Changes]:
        with self._truth.writing() as changes:
            if check:
                self._check_encoders(changes.connection)
            yield changes

    def _check_encoders(self, connection: apsw.Connection) -> None:
        revision = revision_of(connection)
        if revision == self._checked:
            return
        if manifest.fingerprints(manifest.recorded(connection)) != self._known:
            raise EncoderMismatchError(
                f"{self.path} was reindexed with other encoders by another process; open it again"
            )
        self._checked = revision

    def _publish(self, *, only_stale: bool = False) -> None:
        with self._reading(check=False) as connection:
            shelves = reading.shelves(connection)
            wanted = [s for s in shelves if not only_stale or self._indexes.is_stale(connection, s)]
        for shelf in wanted:
            self._builds.publish(shelf)
