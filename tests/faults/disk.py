"""A layer between the store and its files that records every operation, or makes one of them fail.

SQLite's files go through a VFS of apsw beneath the checksum layer; those that Python writes go through
patched functions of ``os`` and ``io``. It must be set up before the store opens anything, so it lives in a
process of its own.
"""

import errno
import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import apsw

Kind = Literal["create", "write", "truncate", "sync", "rename", "link", "unlink", "mkdir", "syncdir"]


@dataclass(frozen=True)
class Operation:
    """Something a file system was asked to do; ``data`` is at ``place`` for writes, ``other`` the new name."""

    kind: Kind
    path: str
    place: int = 0
    data: bytes = b""
    other: str = ""


@dataclass
class Disk:
    """Record operations in ``folder``; with ``fail`` set, the operation of that number fails.

    ``mode`` is how: ``error`` (one I/O error), ``broken`` (I/O errors from there on), ``full`` (no space
    from there on, half of the first write done).
    """

    folder: str = ""
    recording: bool = False
    log: list[Operation | str] = field(default_factory=list)
    count: int = 0
    fail: int | None = None
    mode: str = "error"
    failed: str = ""

    def concerns(self, path: Any) -> bool:
        return bool(self.folder) and isinstance(path, str | os.PathLike) and str(path).startswith(self.folder)

    def note(self, kind: Kind, path: str, **more: Any) -> None:
        if self.recording:
            self.log.append(Operation(kind, str(path), **more))

    def turn(self, what: str, path: str) -> bool:
        """Count an operation and say whether it fails."""
        if not self.concerns(path):
            return False
        self.count += 1
        if self.fail is None or self.count < self.fail or (self.mode == "error" and self.count > self.fail):
            return False
        if self.mode == "full" and what not in ("write", "create", "mkdir"):
            return False
        self.failed = self.failed or f"{what} {Path(path).name}"
        return True

    @property
    def code(self) -> int:
        return errno.ENOSPC if self.mode == "full" else errno.EIO


disk = Disk()
_real: dict[str, Callable[..., Any]] = {}
_paths: dict[int, str] = {}


class _File(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int]) -> None:
        self.path = str(name.filename() if isinstance(name, apsw.URIFilename) else name or "")
        fresh = not Path(self.path).exists()
        _check("open", self.path)
        super().__init__("unix", name, flags)
        if fresh and disk.concerns(self.path):
            disk.note("create", self.path)

    def excepthook(self, *_: Any) -> bool:
        return True

    def xRead(self, amount: int, offset: int) -> bytes:
        _check("read", self.path)
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:
        if disk.turn("write", self.path):
            if disk.mode == "full":
                super().xWrite(bytes(data[: len(data) // 2]), offset)
                raise apsw.FullError("injected")
            raise apsw.IOError("injected")
        disk.note("write", self.path, place=offset, data=bytes(data))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        _check("truncate", self.path)
        disk.note("truncate", self.path, place=size)
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        _check("sync", self.path)
        super().xSync(flags)
        disk.note("sync", self.path)
        if self.path.endswith(("-wal", "-journal")):  # the layer beneath flushes the folder with these
            disk.note("syncdir", str(Path(self.path).parent))


class _Files(apsw.VFS):
    def __init__(self) -> None:
        super().__init__("faulty", "unix", makedefault=True)

    def excepthook(self, *_: Any) -> bool:
        return True

    def xOpen(self, name: Any, flags: list[int]) -> _File:
        return _File(name, flags)

    def xDelete(self, name: str, sync: bool) -> None:
        _check("unlink", name)
        super().xDelete(name, sync)
        disk.note("unlink", name)
        if sync:
            disk.note("syncdir", str(Path(name).parent))


class _Raw(io.FileIO):
    def __init__(self, path: str, mode: str) -> None:
        fresh = not Path(path).exists()
        super().__init__(path, mode)
        self.path = path
        _paths[self.fileno()] = path
        if fresh:
            disk.note("create", path)
        elif "w" in mode:
            disk.note("truncate", path)

    def write(self, data: Any) -> int:
        return _write(self.path, bytes(data), self.tell(), super().write)

    def close(self) -> None:
        if not self.closed:
            _paths.pop(self.fileno(), None)
        super().close()


def _check(what: str, path: str) -> None:
    if disk.turn(what, path):
        raise apsw.IOError("injected")


def _refuse(what: str, path: str) -> None:
    if disk.turn(what, path):
        raise OSError(disk.code, os.strerror(disk.code), path)


def _write(path: str, data: bytes, place: int, write: Callable[[bytes], int]) -> int:
    if disk.turn("write", path):
        if disk.mode == "full":
            write(data[: len(data) // 2])
        raise OSError(disk.code, os.strerror(disk.code), path)
    disk.note("write", path, place=place, data=data)
    return write(data)


def _open_file(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
    if not disk.concerns(file):
        return _real["io.open"](file, mode, *rest, **more)
    _refuse("create" if "w" in mode else "open", str(file))
    if mode == "wb":
        return io.BufferedWriter(_Raw(str(file), "w"))
    return _real["io.open"](file, mode, *rest, **more)


def _os_open(path: Any, flags: int, *rest: Any, **more: Any) -> int:
    if not disk.concerns(path):
        return int(_real["open"](path, flags, *rest, **more))
    _refuse("open", str(path))
    fresh = flags & os.O_CREAT and not Path(path).exists()
    opened = int(_real["open"](path, flags, *rest, **more))
    _paths[opened] = str(path)
    if fresh:
        disk.note("create", str(path))
    return opened


def _os_close(opened: int) -> None:
    _paths.pop(opened, None)
    _real["close"](opened)


def _os_pwrite(opened: int, data: bytes, place: int) -> int:
    path = _paths.get(opened, "")
    return _write(path, data, place, lambda part: int(_real["pwrite"](opened, part, place)))


def _flush(name: str) -> Callable[[int], None]:
    def flush(opened: int) -> None:
        path = _paths.get(opened, "")
        _refuse("sync", path)
        _real[name](opened)
        if path:
            disk.note("syncdir" if Path(path).is_dir() else "sync", path)

    return flush


def _named(name: str, kind: Kind) -> Callable[..., None]:
    def change(first: Any, *rest: Any, **more: Any) -> None:
        if disk.concerns(first):
            _refuse(kind, str(first))
        _real[name](first, *rest, **more)
        if disk.concerns(first):
            disk.note(kind, str(first), other=str(rest[0]) if kind in ("rename", "link") else "")

    return change


def install() -> None:
    """Put the layer in place, for the rest of this process."""
    assert "cksmvfs" not in apsw.vfs_names(), "the checksum layer must come after this one"
    layer = _Files()
    _real["layer"] = lambda: layer  # lives as long as the process
    _real["io.open"] = io.open
    for name in ("open", "close", "pwrite", "fsync", "fdatasync", "replace", "rename", "link", "unlink", "mkdir"):
        _real[name] = getattr(os, name)
    patches: dict[str, Any] = {
        "open": _os_open,
        "close": _os_close,
        "pwrite": _os_pwrite,
        "fsync": _flush("fsync"),
        "fdatasync": _flush("fdatasync"),
        "replace": _named("replace", "rename"),
        "rename": _named("rename", "rename"),
        "link": _named("link", "link"),
        "unlink": _named("unlink", "unlink"),
        "mkdir": _named("mkdir", "mkdir"),
    }
    for name, function in patches.items():
        setattr(os, name, function)
    io.open = _open_file
