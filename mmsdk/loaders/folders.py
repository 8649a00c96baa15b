"""Which files of a folder are sources; knows nothing of their content.

Hidden files, office lock files and what a ``.mmsdkignore`` names (one in any folder, written like
``.gitignore``) are left out. Links are followed once: a loop or a second way to the same place ends
there. The order is by name, so it is the same everywhere.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from mmsdk.errors import DecodeError, InputError, MissingDependencyError, UnsupportedMediaError

IGNORE_FILE = ".mmsdkignore"
_NOT_MEANT = ("~$", "Thumbs.db", "desktop.ini", "__pycache__", "__MACOSX")
Ignored = Callable[[str], bool]


def files(folder: Path) -> Iterator[tuple[Path, InputError | None]]:
    """Give every file below ``folder`` in order, with the error that keeps it from being read, if any."""
    yield from _walk(folder, rules=(), visited=set())


def _walk(
    folder: Path, *, rules: tuple[tuple[Path, Ignored], ...], visited: set[str]
) -> Iterator[tuple[Path, InputError | None]]:
    place = os.path.realpath(folder)
    if place in visited:
        return
    visited.add(place)
    try:
        entries = sorted(folder.iterdir())
        rules = (*rules, *_rules(folder))
    except OSError as error:
        yield folder, DecodeError(f"the folder cannot be read: {error.strerror or error}")
        return
    for path in entries:
        is_folder = path.is_dir()
        if _left_out(path, is_folder=is_folder, rules=rules):
            continue
        if is_folder:
            yield from _walk(path, rules=rules, visited=visited)
        else:
            yield path, refusal(path)


def refusal(path: Path) -> InputError | None:
    """Say why a path is no file that can be read, or None."""
    if path.is_file():
        return None
    if path.is_dir():
        return UnsupportedMediaError("this is a folder, not a file")
    if path.is_symlink() and not path.exists():
        return DecodeError(f"the link points to nothing: {str(path.readlink())!r}")
    if not path.exists():
        return DecodeError("there is no such file; check the path")
    return UnsupportedMediaError("this is no ordinary file but a pipe, a socket or a device")


def _left_out(path: Path, *, is_folder: bool, rules: tuple[tuple[Path, Ignored], ...]) -> bool:
    if path.name.startswith((".", *_NOT_MEANT)):
        return True
    ending = "/" if is_folder else ""
    return any(ignored(path.relative_to(root).as_posix() + ending) for root, ignored in rules)


def _rules(folder: Path) -> list[tuple[Path, Ignored]]:
    file = folder / IGNORE_FILE
    if not file.is_file():
        return []
    try:
        import pathspec
    except ModuleNotFoundError as error:
        raise MissingDependencyError("pathspec", "documents") from error
    lines = file.read_text("utf-8", errors="replace").splitlines()
    return [(folder, pathspec.GitIgnoreSpec.from_lines(lines).match_file)]
