"""Finding what is damaged in a collection: the truth first, then what is derived from it.

It reads and changes nothing.
"""

import apsw
import numpy as np

from mmsdk.database import damages
from mmsdk.errors import CorruptionError
from mmsdk.stores import manifest, reading
from mmsdk.stores.published import Indexes, Shelf, revision_of
from mmsdk.stores.tables import vectors_of
from mmsdk.stores.truth import Truth


def of_truth(truth: Truth) -> list[str]:
    """Name lost commits, unreadable pages, rows that point nowhere, vectors that are none."""
    sealed = truth.seal.read()
    try:
        with truth.reading(check=False) as connection:
            found = truth.seal.damages(sealed, revision_of(connection)) + damages(connection)
            if not found:
                for shelf in reading.shelves(connection):
                    found += _of_vectors(connection, shelf)
    except CorruptionError as error:
        return [str(error)]
    return found


def of_derived(truth: Truth, indexes: Indexes) -> list[str]:
    """Name what is wrong with manifest, seal, indexes and full text, where the truth is well."""
    with truth.reading() as connection:
        found = manifest.damages(truth.folder, connection) + indexes.damages(connection)
        if truth.seal.read() is None:
            found.append(f"{truth.seal.file.name} is missing or damaged")
    if truth.writable and not found:
        with truth.exclusive() as connection:
            found += _of_words(connection)
    return found


def _of_vectors(connection: apsw.Connection, shelf: Shelf) -> list[str]:
    """Name vectors of the wrong length or with entries that are no numbers."""
    found = []
    for number, blob in connection.execute(f"SELECT chunk, vector FROM vectors_{shelf.number}"):
        if len(blob) != 4 * shelf.dimension:
            found.append(f"the vector of chunk number {number} in space {shelf.space} has {len(blob)} bytes")
        elif not np.isfinite(vectors_of([blob], shelf.dimension)).all():
            found.append(f"the vector of chunk number {number} in space {shelf.space} is not finite")
    return found


def _of_words(connection: apsw.Connection) -> list[str]:
    """Say whether the full-text index is damaged; takes a connection that may write, and writes nothing."""
    try:
        connection.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 0)").fetchall()
    except apsw.CorruptError:
        return ["the full-text index is damaged"]
    missing = "SELECT count(*) FROM chunks WHERE number NOT IN (SELECT rowid FROM words)"
    count = connection.execute(missing).fetchall()[0][0]
    return [f"{count} chunks are missing from the full-text index"] if count else []
