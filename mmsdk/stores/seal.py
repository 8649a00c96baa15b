"""The seal of a collection: the number of its last acknowledged change, kept outside SQLite.

A flipped bit in a write-ahead log that a crash left behind makes SQLite end the log there, drop the
commits after it, and call the database well. The database is then behind the seal, which is an error
and never an answer. It knows nothing of what a change is.
"""

import errno
import hashlib
import os
from pathlib import Path

from mmsdk.errors import CollectionError, CorruptionError
from mmsdk.stores.files import write_durably

NAME = "commits.seal"
_BLOCK = 4096
"""The two slots, written in turn, lie in blocks of their own: a torn write spoils one and leaves the other."""


class Seal:
    """Write the number after its commit and before the caller hears of it; a commit ahead of it is a crash's.

    >>> import tempfile
    >>> seal = Seal(Path(tempfile.mkdtemp()))
    >>> seal.write(1)
    >>> seal.write(2)
    >>> seal.read()
    2
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / NAME

    def read(self) -> int | None:
        """Give the highest number that is written whole; ``None`` when there is none. Raises ``CollectionError``."""
        try:
            data = self._data()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise CollectionError(f"cannot read {self.file}: {error.strerror}") from error
        return max((number for place in (0, _BLOCK) if (number := _number(data[place:])) is not None), default=None)

    def _data(self) -> bytes:
        """Read the file in one call: this is done before every transaction."""
        file = os.open(self.file, os.O_RDONLY)
        try:
            return os.pread(file, 2 * _BLOCK, 0)
        finally:
            os.close(file)

    def write(self, revision: int) -> None:
        """Put the number on the disk. Raises ``CollectionError``: the change is stored, its number is not."""
        slot = _slot(revision)
        try:
            if self.read() is None:
                write_durably(self.file, slot.ljust(_BLOCK, b"\0") + slot)
                return
            file = os.open(self.file, os.O_WRONLY)
            try:
                if os.pwrite(file, slot, revision % 2 * _BLOCK) != len(slot):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                getattr(os, "fdatasync", os.fsync)(file)
            finally:
                os.close(file)
        except OSError as error:
            raise CollectionError(
                f"change {revision} is stored, but {self.file} could not be written: {error.strerror}; check the disk"
            ) from error

    def check(self, sealed: int | None, revision: int) -> None:
        """Compare what ``read`` gave before a transaction began with what the transaction sees.

        Raises ``CorruptionError`` that names the changes which were acknowledged and are gone.
        """
        for damage in self.damages(sealed, revision):
            raise CorruptionError(
                f"{self.file.parent}: {damage}. Restore a backup, or go on without them after: "
                f"mmsdk repair {self.file.parent}"
            )

    def damages(self, sealed: int | None, revision: int) -> list[str]:
        """Name the changes that were lost."""
        if sealed is None or revision >= sealed:
            return []
        return [f"lost commits: changes {revision + 1} to {sealed} were acknowledged and are not in the database"]


def _slot(revision: int) -> bytes:
    number = f"{revision:020d}"
    return f"{number} {hashlib.sha256(number.encode()).hexdigest()}\n".encode()


def _number(data: bytes) -> int | None:
    digits = data[:20]
    if not digits.isdigit():
        return None
    return int(digits) if data.startswith(_slot(int(digits))) else None
