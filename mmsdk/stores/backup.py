"""A copy of a collection while it is written to.

The database is copied by SQLite's online backup, one snapshot while writers go on; the index files that
it records are copied beside it. All of it happens under another name, so that a folder of the name asked
for is whole. What makes a copy good is the caller's to check.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw

from mmsdk.database import WriterLock, connect, copy, transaction
from mmsdk.errors import CollectionError
from mmsdk.stores import manifest, tables
from mmsdk.stores.files import sync_folder
from mmsdk.stores.published import revision_of
from mmsdk.stores.seal import Seal
from mmsdk.stores.truth import NAME, Truth


@contextmanager
def copied(truth: Truth, target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give a folder with a copy; when the body ends it takes the name of ``target``, when it raises it is gone.

    With ``replace`` a collection of that name is kept as ``<name>.replaced-<time>``. Raises
    ``CollectionError`` when the name is taken or the copy cannot be written, ``CorruptionError`` when the
    original is damaged.
    """
    taken = target.exists() and (not target.is_dir() or any(target.iterdir()))
    if taken and not replace:
        raise CollectionError(f"{target} is there already; name a new folder")
    if taken and not ((target / NAME).exists() or Seal(target).file.exists()):
        raise CollectionError(f"{target} is no collection; name another folder")
    aside = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        aside.mkdir(parents=True)
        _fill(aside, truth)
        yield aside
        _put(aside, target, taken)
    except OSError as error:
        raise CollectionError(f"cannot write the copy {target}: {error.strerror}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _fill(aside: Path, truth: Truth) -> None:
    with truth.reading() as connection:
        copy(connection, aside / NAME)
        files = [str(file) for (file,) in connection.execute("SELECT file FROM indexes")]
        files = [str(file) for (file,) in connection.execute("SELECT file FROM indexes")]
        gone = [file for file in files if not _taken(truth, aside, file)]
        manifest.write(aside, connection)
        Seal(aside).write(revision_of(connection))
    if gone:  # a writer published others since; the copy builds its own
        with closing(_connected(aside / NAME)) as connection, transaction(connection, write=True):
            connection.executemany("DELETE FROM indexes WHERE file = ?", [(file,) for file in gone]).fetchall()
    sync_folder(aside)


def _taken(truth: Truth, aside: Path, name: str) -> bool:
    try:
        shutil.copyfile(truth.folder / name, aside / name)
    except FileNotFoundError:
        return False
    with (aside / name).open("rb+") as stream:
        os.fsync(stream.fileno())
    return True


def _put(aside: Path, target: Path, taken: bool) -> None:
    if taken:
        with WriterLock(target / "writer.lock"):
            target.rename(target.with_name(f"{target.name}.replaced-{time.strftime('%Y%m%d-%H%M%S')}"))
            aside.rename(target)
    else:
        aside.rename(target)
    sync_folder(target.parent)


def _connected(file: Path) -> apsw.Connection:
    return connect(file, application_id=tables.APPLICATION_ID, migrations=tables.MIGRATIONS)
