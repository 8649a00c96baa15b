"""The database of a local collection: one writer under a lock, a pool of readers, a seal over both.

A change is committed, then sealed, then acknowledged. Who reads, reads the seal first and then begins,
so that a database behind its seal has lost commits. It knows nothing of searches, indexes or encoders.
"""

import logging
import queue
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import apsw

from mmsdk.database import WriterLock, connect, transaction
from mmsdk.errors import CollectionError, CorruptionError
from mmsdk.protocols import Closing
from mmsdk.stores import tables
from mmsdk.stores.published import revision_of
from mmsdk.stores.seal import Seal
from mmsdk.stores.writing import Changes

log = logging.getLogger(__name__)
NAME = "truth.sqlite"


class Truth(Closing):
    """Open the database in a folder, or make one with ``create``.

    >>> import tempfile
    >>> with Truth(Path(tempfile.mkdtemp())) as truth:
    ...     truth.open(create=True)
    ...     with truth.writing() as changes:
    ...         changes.revision
    1
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.folder, self.file, self.read_only = folder, folder / NAME, read_only
        self.lock = WriterLock(folder / "writer.lock")
        self.seal = Seal(folder)
        self._readers: queue.SimpleQueue[apsw.Connection] = queue.SimpleQueue()
        self._writer: apsw.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self.closed = False

    @property
    def writable(self) -> bool:
        """Whether changes can be made through this object."""
        return self._writer is not None

    @property
    def exists(self) -> bool:
        """Whether there is a database. Raises ``CorruptionError`` when there was one."""
        try:
            there = self.file.stat().st_size > 0
        except (FileNotFoundError, NotADirectoryError):
            there = False
        except OSError as error:
            raise CollectionError(f"cannot open {self.file}: {error.strerror}") from error
        sealed = self.seal.read()
        if not there and sealed is not None:
            raise CorruptionError(f"{self.file} is gone, and with it {sealed} changes; restore it from a backup")
        return there

    def open(self, *, create: bool = False) -> None:
        """Connect. Raises ``CorruptionError``, also for commits that were lost, and leaves the log as evidence."""
        if not self.read_only:
            with self.lock if create else nullcontext():
                self._writer = self._connected(create=create)
        self._identity = _identity(self.file)
        try:
            with self.reading():
                pass
        except BaseException:
            self.disconnect(checkpoint=False)
            raise

    @contextmanager
    def reading(self, *, check: bool = True) -> Iterator[apsw.Connection]:
        """Give a connection in a transaction that sees the last commit. Raises ``CorruptionError``."""
        self._check_open()
        readers = self._readers  # another queue takes its place when the database does
        sealed = self.seal.read() if check else None
        try:
            connection = readers.get_nowait()
        except queue.Empty:
            connection = self._connected(read_only=True)
        try:
            with transaction(connection):
                self.seal.check(sealed, revision_of(connection))
                yield connection
        except BaseException:
            self._release(connection)
            raise
        if self.closed or readers is not self._readers:
            self._release(connection)
        else:
            readers.put(connection)

    @contextmanager
    def writing(self) -> Iterator[Changes]:
        """Change the collection in one transaction, on disk and sealed at its end."""
        with self.lock:
            with self.exclusive() as connection:
                changes = Changes(connection)
                yield changes
            self.seal.write(changes.revision)

    @contextmanager
    def exclusive(self) -> Iterator[apsw.Connection]:
        """Give the connection of the one writer in a transaction; what it changes counts as no change."""
        self._check_open()
        if self._writer is None:
            raise CollectionError(f"{self.folder} was opened {'read-only' if self.read_only else 'damaged; repair it'}")
        with self.lock:
            sealed = self.seal.read()
            with transaction(self._writer, write=True) as connection:
                self.seal.check(sealed, revision_of(connection))
                yield connection

    def disconnect(self, *, checkpoint: bool = True) -> None:
        """Close all connections; without ``checkpoint`` the write-ahead log stays as it is."""
        readers, self._readers = self._readers, queue.SimpleQueue()
        while not readers.empty():
            self._release(readers.get_nowait())
        if self._writer is not None:
            self._writer.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(not checkpoint))
            self._release(self._writer)
            self._writer = None

    def close(self) -> None:
        """Release files and locks; calling it twice is fine."""
        self.closed = True
        self.disconnect()

    def _connected(self, *, read_only: bool = False, create: bool = False) -> apsw.Connection:
        return connect(
            self.file,
            application_id=tables.APPLICATION_ID,
            migrations=tables.MIGRATIONS,
            read_only=read_only,
            create=create,
        )

    def _release(self, connection: apsw.Connection) -> None:
        try:
            connection.close()
        except apsw.Error as error:
            log.warning("closing %s: %s; what was stored is in its write-ahead log", self.file, error)

    def _check_open(self) -> None:
        if self.closed:
            raise CollectionError(f"the collection {self.folder} is closed; open it again")
        if self._identity is not None and _identity(self.file) != self._identity:
            raise CollectionError(
                f"{self.file} was removed or replaced while the collection was open; put it back, or open it again"
            )


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
