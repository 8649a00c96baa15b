"""SQLite by apsw, opened in one way for collections and plugins.

Write-ahead log, ``synchronous=FULL`` (a commit that returned survives a power cut), foreign keys, a
checksum in every page (a flipped bit is an error, not an answer), migrations by ``user_version`` and
one writer across processes by a file lock that the operating system drops when its holder dies.
It knows nothing of what is stored.
"""

import ctypes
import errno
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apsw

from mmsdk.errors import CollectionError, CorruptionError, LockedError, MissingDependencyError

LEAST_SQLITE = (3, 51, 3)
"""Older versions can corrupt a write-ahead log that several connections use."""
_CHECKSUM_BYTES = 8
_BUSY_SECONDS = 10.0
_loading = threading.Lock()


def connect(
    path: str | Path, *, application_id: int, migrations: Sequence[str], read_only: bool = False, create: bool = False
) -> apsw.Connection:
    """Open a database and bring its schema up to date.

    ``migrations[n]`` is the SQL that leads from version n to n + 1; it runs in one transaction with its
    number, under the writer lock that the caller holds. A database that is new is only made with
    ``create``. Raises ``CorruptionError``, ``LockedError`` and ``CollectionError``.
    """
    file = Path(path)
    with translated(file):
        connection = _opened(file, read_only, create)
        try:
            _prepare(connection, file, application_id, create)
            version = int(_value(connection, "PRAGMA user_version"))
            if version > len(migrations):
                raise CollectionError(
                    f"{file} has schema version {version}, this mmsdk knows {len(migrations)}; install a newer mmsdk"
                )
            if version < len(migrations):
                if read_only:
                    raise CollectionError(f"{file} has schema version {version} of {len(migrations)}; open it to write")
                _migrate(connection, application_id, migrations)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def transaction(connection: apsw.Connection, *, write: bool = False) -> Iterator[apsw.Connection]:
    """Run the body in one transaction: committed at its end, rolled back when it raises."""
    with translated(connection.filename):
        connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        try:
            yield connection
            if write or connection.in_transaction:  # a damaged page ends a reading transaction
                connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextmanager
def translated(file: Path | str) -> Iterator[None]:
    """Turn SQLite's errors into ours, naming the file."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise CorruptionError(f"{file} is damaged: {error}; restore it from a backup") from error
    except apsw.IOError as error:
        if getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_DATA:
            raise CorruptionError(
                f"{file} is damaged: a page does not match its checksum; restore it from a backup"
            ) from error
        raise CollectionError(f"reading or writing {file} failed: {error}") from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise LockedError(f"{file} stayed locked for {_BUSY_SECONDS:g} s by another connection; try again") from error
    except apsw.FullError as error:
        raise CollectionError(f"no space left to write {file}; nothing of this call was stored") from error
    except (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError) as error:
        raise CollectionError(f"cannot open {file} as asked: {error}. Check that it exists and its rights.") from error


def copy(connection: apsw.Connection, file: Path) -> None:
    """Copy the database as the connection sees it to a new file, on the disk when this returns.

    Writers go on meanwhile. The copy has no write-ahead log, so that it can be read from read-only media.
    """
    with translated(file):
        target = _opened(file, read_only=False, create=True)
        try:
            _reserve(target)
            with target.backup("main", connection, "main") as running:
                try:
                    running.step(-1)
                except (apsw.CorruptError, apsw.IOError):
                    with translated(connection.filename):
                        raise
        finally:
            target.close()


def damages(connection: apsw.Connection) -> list[str]:
    """Read every page and name what is damaged; an empty list says that all is well."""
    name = Path(connection.filename).name
    try:
        lines = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)")]
        found = [f"{name}: {line}" for line in lines if line != "ok"]
        broken = [
            f"{name}: a row of {row[0]} points to a missing {row[2]}"
            for row in connection.execute("PRAGMA foreign_key_check")
        ]
        return found + broken
    except apsw.Error as error:
        checksum = getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_DATA
        return [f"{name}: {'a page does not match its checksum' if checksum else error}"]


class WriterLock:
    """Let one writer in, across threads and processes; the system frees it when its holder dies.

    >>> import tempfile
    >>> lock = WriterLock(Path(tempfile.mkdtemp()) / "writer.lock")
    >>> with lock:
    ...     lock.held
    True
    """

    def __init__(self, path: Path, *, seconds: float = 10.0) -> None:
        self.path, self.seconds = path, seconds
        self._thread = threading.RLock()
        self._file: int | None = None
        self._depth = 0

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._depth > 0

    def __enter__(self) -> "WriterLock":
        if not self._thread.acquire(timeout=self.seconds):
            raise LockedError(f"{self.path.parent} is being written by another thread of this process; try again")
        try:
            if self._depth == 0:
                self._file = self._acquired()
            self._depth += 1
        except BaseException:
            self._thread.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0 and self._file is not None:
            os.close(self._file)
            self._file = None
        self._thread.release()

    def _acquired(self) -> int:
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise CollectionError(f"cannot write in {self.path.parent}: {error.strerror}") from error
        try:
            self._wait(file)
            with suppress(OSError):  # a full disk: the holder goes unnamed
                os.ftruncate(file, 0)
                os.pwrite(file, str(os.getpid()).encode(), 0)
        except BaseException:
            os.close(file)
            raise
        return file

    def _wait(self, file: int) -> None:
        import fcntl

        deadline = time.monotonic() + self.seconds
        pause = 0.001
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise CollectionError(f"cannot lock {self.path}: {error.strerror}") from error
            if time.monotonic() > deadline:
                holder = os.pread(file, 20, 0).decode("ascii", "replace") or "unknown"
                raise LockedError(
                    f"{self.path.parent} is being written by process {holder} and stayed locked for "
                    f"{self.seconds:g} s; wait for it or end it, then try again"
                )
            time.sleep(pause)
            pause = min(2 * pause, 0.05)


def _opened(file: Path, read_only: bool, create: bool) -> apsw.Connection:
    if tuple(map(int, apsw.sqlite_lib_version().split("."))) < LEAST_SQLITE:
        raise CollectionError(f"SQLite {apsw.sqlite_lib_version()} is too old; run: pip install -U 'apsw>=3.51.3'")
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
    if create and not read_only:
        flags |= apsw.SQLITE_OPEN_CREATE
    name = str(file)
    if read_only and _unchanging(file):
        name, flags = f"file:{quote(name)}?immutable=1", flags | apsw.SQLITE_OPEN_URI
    return apsw.Connection(name, flags=flags, vfs=_checksums())


def _unchanging(file: Path) -> bool:
    """Say whether a database lies on a read-only file system, where SQLite can make no shared memory beside it."""
    try:
        return bool(os.statvfs(file).f_flag & os.ST_RDONLY) and not file.with_name(f"{file.name}-wal").exists()
    except OSError:
        return False


def _checksums() -> str:
    """Register SQLite's checksum layer once a process and give its name."""
    with _loading:
        if "cksmvfs" not in apsw.vfs_names():
            from apsw import sqlite_extra

            if not sqlite_extra.has("cksumvfs"):
                raise MissingDependencyError("apsw.sqlite_extra", "documents")
            default = apsw.vfs_names()[0]
            loader = apsw.Connection(":memory:")
            sqlite_extra.load(loader, "cksumvfs")
            loader.close()
            apsw.set_default_vfs(default)
    return "cksmvfs"


def _prepare(connection: apsw.Connection, file: Path, application_id: int, create: bool) -> None:
    connection.set_busy_timeout(int(_BUSY_SECONDS * 1000))
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    found = int(_value(connection, "PRAGMA application_id"))
    is_new = found == 0 and int(_value(connection, "SELECT count(*) FROM sqlite_schema")) == 0
    if found != application_id and not is_new:
        raise CollectionError(f"{file} is a database of something else (application id {found})")
    if is_new and not create:
        raise CorruptionError(f"{file} is empty: making it was cut off, or its content is lost; restore a backup")
    if not connection.readonly("main"):
        if is_new:
            _reserve(connection)
        _value(connection, "PRAGMA journal_mode = WAL")
    for pragma in ("synchronous = FULL", "foreign_keys = ON", "cell_size_check = ON", "cache_size = -65536"):
        connection.execute(f"PRAGMA {pragma}").fetchall()


def _reserve(connection: apsw.Connection) -> None:
    """Let a new database have room for a checksum in every page."""
    size = ctypes.c_int(_CHECKSUM_BYTES)
    connection.file_control("main", apsw.SQLITE_FCNTL_RESERVE_BYTES, ctypes.addressof(size))


def _migrate(connection: apsw.Connection, application_id: int, migrations: Sequence[str]) -> None:
    with transaction(connection, write=True):
        version = int(_value(connection, "PRAGMA user_version"))
        for sql in migrations[version:]:
            connection.execute(sql).fetchall()
        connection.execute(f"PRAGMA application_id = {int(application_id)}").fetchall()
        connection.execute(f"PRAGMA user_version = {len(migrations)}").fetchall()


def _value(connection: apsw.Connection, sql: str) -> Any:
    return connection.execute(sql).fetchall()[0][0]
