"""Office files are zip archives; this checks one before it is unpacked. Knows no office format."""

import io
import zipfile

from mmsdk.errors import DecodeError
from mmsdk.settings import Limits

_ENTRIES = 20_000


def check(data: bytes, limits: Limits) -> None:
    """Raise ``DecodeError`` for a damaged archive, an encrypted one, or one that unpacks to too much.

    Unpacking stops at the size that an entry declares, so the declared sizes bound the memory.
    """
    most = limits.memory_mb << 18
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise DecodeError(f"the office file is damaged: {error}") from error
    size = sum(entry.file_size for entry in entries)
    if size > most or len(entries) > _ENTRIES:
        raise DecodeError(
            f"the office file unpacks to {size} bytes in {len(entries)} entries, more than the {most} bytes "
            f"(a quarter of limits.memory_mb) and {_ENTRIES} entries allowed"
        )
    if any(entry.flag_bits & 1 for entry in entries):
        raise DecodeError("the office file is encrypted; save a copy without a password")
