"""Files and their SHA-256."""

import hashlib
from pathlib import Path


def sha256(path: Path) -> str:
    """Give the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def walk(root: Path) -> list[tuple[str, Path]]:
    """List the files under a folder with their names in it (``/`` between), sorted; of a file, itself."""
    if root.is_file():
        return [(root.name, root)]
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return [(path.relative_to(root).as_posix(), path) for path in paths]
