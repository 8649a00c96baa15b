"""Files beside the database: written so that a crash leaves the old or the new, read only when whole.

An index file is a payload (what an index reads, or float32 rows), the numbers of its rows as int64, a
JSON footer, and the footer's length. Its SHA-256 is recorded in SQLite. A file is mapped, its digest
taken over the mapping, and the same mapping used: nothing is read twice and nothing can come between.
"""

import hashlib
import json
import mmap
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mmsdk.errors import CollectionError, CorruptionError
from mmsdk.stores.indexes.exact import Numbers

_MAGIC = b"mmsdk index 1\n"
_TRAILER = struct.Struct("<q14s")
Put = Callable[[bytes], Any]
Written = tuple[Numbers, Mapping[str, Any]]


@dataclass(frozen=True)
class Mapped:
    """Hold what a checked index file says; arrays are views of the mapped file, which they keep alive."""

    footer: Mapping[str, Any]
    numbers: Numbers
    payload: NDArray[np.uint8]


def write_durably(file: Path, data: bytes) -> None:
    """Put bytes in a file so that, whenever the machine stops, it has all of them or is as before.

    Raises ``CollectionError`` when it cannot.
    """
    with _aside(file.with_name(f"{file.name}.{os.getpid()}.tmp")) as (stream, place):
        stream.write(data)
        place(file)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def written_index(
    folder: Path, stem: str, payload: Callable[[Put], Written]
) -> Iterator[tuple[str, str, Callable[[], None]]]:
    """Write an index file aside; give the name it gets, with its digest in it, the SHA-256, and what puts it there.

    ``payload`` hands over the bytes and then gives the numbers of the rows and the footer. Who records the file puts
    it in its place, durably, in the same turn as the writer: before that, another process that tidies up would
    delete it as a leftover.
    """
    digest = hashlib.sha256()
    with _aside(folder / f"{stem}.{os.getpid()}.tmp") as (stream, place):

        def put(data: bytes) -> None:
            digest.update(data)
            stream.write(data)

        numbers, footer = payload(put)
        put(b"\0" * (-stream.tell() % 64))
        put(np.ascontiguousarray(numbers, "<i8").tobytes())
        packed = json.dumps({**footer, "rows": len(numbers)}).encode()
        put(packed + _TRAILER.pack(len(packed), _MAGIC))
        name = f"{stem}-{digest.hexdigest()[:12]}.faiss"
        yield name, digest.hexdigest(), lambda: place(folder / name)


def mapped(file: Path, digest: str) -> Mapped:
    """Map an index file and check it. Raises ``CorruptionError``."""
    data = _checked(file, digest)
    end = len(data) - _TRAILER.size
    length, magic = _TRAILER.unpack(data[end:].tobytes()) if end >= 0 else (0, b"")
    if magic != _MAGIC:
        raise CorruptionError(f"index file {file.name} is of another version")
    footer: dict[str, Any] = json.loads(data[end - length : end].tobytes())
    start = end - length - 8 * int(footer["rows"])
    return Mapped(footer, data[start : end - length].view("<i8"), data[:start])


def check(file: Path, digest: str) -> None:
    """Read an index file. Raises ``CorruptionError`` when it is missing or not what was written."""
    _checked(file, digest)


def is_leftover(file: Path) -> bool:
    """Say whether a file that is not recorded may be deleted: not one that a living process is writing."""
    writer = file.name.split(".")[-2] if file.suffix == ".tmp" else ""
    if not writer.isdigit() or int(writer) == os.getpid():
        return not writer
    try:
        os.kill(int(writer), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def _checked(file: Path, digest: str) -> NDArray[np.uint8]:
    try:
        with file.open("rb") as stream:
            data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise CorruptionError(f"index file {file.name} cannot be read: {error}") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise CorruptionError(f"index file {file.name} does not match its SHA-256")
    return np.frombuffer(data, np.uint8)


@contextmanager
def _aside(aside: Path) -> Iterator[tuple[BinaryIO, Callable[[Path], None]]]:
    """Give a stream to write and a function that puts the file in its place, flushed.

    Raises ``CollectionError`` for what the disk refuses.
    """
    try:
        with aside.open("wb") as stream:

            def place(file: Path) -> None:
                stream.flush()
                os.fsync(stream.fileno())
                aside.replace(file)
                sync_folder(file.parent)

            yield stream, place
    except OSError as error:
        raise CollectionError(f"cannot write {error.filename or aside}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
