"""What ``langchain_community``'s FAISS store left in a folder: ``index.faiss`` and ``index.pkl``.

A pickle can run any program, so nothing here unpickles: the opcodes are read as data, and only those that
build strings, numbers, dates, lists, dicts and sets mean anything; of classes, LangChain's ``Document`` and
``InMemoryDocstore`` by name. They are never imported. The index is read by its published layout and not by
FAISS, whose reader trusts what it reads.
"""

import datetime
import pickletools
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmsdk.errors import DecodeError, InputError, UnsupportedMediaError
from mmsdk.types import Vectors

_HEADER = struct.Struct("<4siqqq?i")
"""IndexFlat: kind, dimension, rows, two fillers, whether it is trained, metric (0 inner product, 1 L2)."""
_FLAT = {b"IxF2": "L2", b"IxFI": "inner product", b"IxFl": "flat"}
_MOST_VALUES = 100_000
"""How many values the metadata of one document may have; a small pickle can stand for more than memory holds."""
_DOCUMENT, _DOCSTORE = "Document", "InMemoryDocstore"
_PACKAGES = ("langchain", "langchain_core", "langchain_community", "langchain_classic")
_DATES: dict[str, Callable[..., Any]] = {
    "datetime.date": datetime.date,
    "datetime.datetime": datetime.datetime,
    "datetime.time": datetime.time,
    "datetime.timedelta": datetime.timedelta,
    "datetime.timezone": datetime.timezone,
}


class Saved(NamedTuple):
    """Hold a saved document: its id, text and metadata as they were."""

    id: str
    text: str
    metadata: dict[str, Any]


class _Named:
    """Stand for a class by its name, or for one object of it with its state."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state: dict[str, Any] = {}


def read(folder: str | Path, index_name: str = "index") -> tuple[list[Saved], Vectors]:
    """Give the documents of a folder and their vectors, row by row; float32 ``[n, dimension]``, as they were saved.

    Raises ``DecodeError`` for a file that is damaged, missing or holds anything but plain data and documents, naming
    it, and ``UnsupportedMediaError`` for an index that is not flat.
    """
    base = Path(folder)
    if not index_name or Path(index_name).name != index_name:
        raise InputError(f"index_name is the first part of a file name, not {index_name!r}")
    vectors = _vectors(base / f"{index_name}.faiss")
    file = base / f"{index_name}.pkl"
    try:
        documents = _documents(_bytes(file))
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise DecodeError(f"{file} is damaged or no pickle of LangChain's FAISS store: {error!r}") from error
    except InputError as error:
        raise type(error)(f"{file}: {error}") from None
    if len(documents) != len(vectors):
        raise DecodeError(f"{file} names {len(documents)} documents, but the index beside it has {len(vectors)} rows")
    return documents, vectors


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DecodeError(f"{file} cannot be read: {error.strerror or error}") from error


def _vectors(file: Path) -> Vectors:
    """Read a flat index. Raises ``UnsupportedMediaError`` for another kind."""
    data = _bytes(file)
    if data[:4] not in _FLAT:
        raise UnsupportedMediaError(
            f"{file} is an index of kind {data[:4]!r}. Only flat ones, which LangChain makes by itself, are read: "
            "FAISS's own reader must not see files of strangers. Where you trust it, write it anew: "
            "flat = faiss.IndexFlatL2(index.d); flat.add(index.reconstruct_n(0, index.ntotal))"
        )
    try:
        kind, dimension, rows, _, _, _, metric = _HEADER.unpack_from(data)
        (size,) = struct.unpack_from("<Q", data, _HEADER.size)
    except struct.error as error:
        raise DecodeError(f"{file} is cut off: {error}") from error
    start = _HEADER.size + 8
    if dimension <= 0 or rows < 0 or size != rows * dimension or len(data) != start + 4 * size:
        raise DecodeError(f"{file} is damaged: {rows} rows of {dimension} do not fit its {len(data)} bytes")
    if metric not in (0, 1):
        raise UnsupportedMediaError(f"{file} ({_FLAT[kind]}) has metric {metric}; only inner product and L2 are known")
    vectors = np.frombuffer(data, "<f4", count=size, offset=start).reshape(rows, dimension).astype(np.float32)
    if not np.isfinite(vectors).all():
        raise DecodeError(f"{file} holds entries that are no finite numbers")
    return vectors


def _documents(data: bytes) -> list[Saved]:
    """Give the saved documents in the order of the rows. Raises ``DecodeError`` and what wrong types raise."""
    store, rows = _Reader().value(data)
    if not isinstance(store, _Named) or store.name != _DOCSTORE:
        raise DecodeError("it does not hold LangChain's InMemoryDocstore")
    if sorted(rows) != list(range(len(rows))):
        raise DecodeError("its rows are not numbered from 0 without gaps")
    kept = store.state["_dict"]
    return [_saved(str(rows[row]), kept[rows[row]]) for row in range(len(rows))]


def _saved(name: str, document: _Named) -> Saved:
    fields = document.state.get("__dict__", document.state)
    text, metadata = fields["page_content"], fields.get("metadata") or {}
    if document.name != _DOCUMENT or not isinstance(text, str) or not isinstance(metadata, dict):
        raise DecodeError(f"entry {name!r} is no document with a text")
    left = _MOST_VALUES
    waiting: list[Any] = [metadata]
    while waiting:
        value = waiting.pop()
        left -= 1
        if isinstance(value, _Named):
            raise DecodeError(f"the metadata of {name!r} holds a {value.name}; turn it into text in the old store")
        if left < len(waiting):
            raise DecodeError(f"the metadata of {name!r} has more than {_MOST_VALUES} values, or holds itself")
        if isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple | set | frozenset):
            waiting += value
    return Saved(name, text, metadata)


class _Reader:
    """Read one pickle as data: a stack machine with the opcodes that ``pickle.dump`` writes for plain objects."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def value(self, data: bytes) -> Any:
        """Give what the pickle stands for; ``_Named`` where it would be an object."""
        for opcode, argument, place in pickletools.genops(data):
            if opcode.name in _PASSED:
                continue
            if opcode.name in _CONSTANTS:
                self.stack.append(argument)
            elif opcode.name in _STEPS:
                _STEPS[opcode.name](self, argument)
            else:
                raise DecodeError(f"it holds the opcode {opcode.name} at byte {place}, which plain data does not need")
        return self.stack.pop()

    def marked(self) -> list[Any]:
        """Take what lies above the last mark."""
        start = self.marks.pop()
        found = self.stack[start:]
        del self.stack[start:]
        return found

    def taken(self, count: int) -> list[Any]:
        """Take the last ``count`` values."""
        found = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return found

    def name(self, module: str, name: str) -> None:
        """Put a class by name. Raises ``DecodeError`` naming one that is not allowed."""
        known = module.partition(".")[0] in _PACKAGES and name in (_DOCUMENT, _DOCSTORE)
        if not known and f"{module}.{name}" not in _DATES:
            raise DecodeError(
                f"it refers to {module}.{name}, which is none of Document, InMemoryDocstore and dates. Nothing ran; "
                "if you do not know why it is there, do not load this file by any program"
            )
        self.stack.append(_Named(name if known else f"{module}.{name}"))

    def made(self, _: Any) -> None:
        """Make an object of a class: a date, or what stands for a document."""
        cls, arguments = self.taken(2)
        if cls.name in _DATES:
            self.stack.append(_DATES[cls.name](*arguments))
        elif arguments:
            raise DecodeError(f"it makes a {cls.name} with arguments, which LangChain does not")
        else:
            self.stack.append(_Named(cls.name))

    def built(self, _: Any) -> None:
        """Give the object on top its state."""
        state = self.stack.pop()
        self.stack[-1].state.update(state)

    def put(self, place: int | None) -> None:
        """Remember the value on top."""
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def paired(self, values: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """Give keys with values."""
        return zip(values[::2], values[1::2], strict=True)


_PASSED = frozenset({"PROTO", "FRAME", "STOP"})
_CONSTANTS = frozenset(
    {
        *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"),
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
    }
)
_STEPS: dict[str, Callable[[_Reader, Any], Any]] = {
    "NONE": lambda reader, _: reader.stack.append(None),
    "NEWTRUE": lambda reader, _: reader.stack.append(True),
    "NEWFALSE": lambda reader, _: reader.stack.append(False),
    "EMPTY_DICT": lambda reader, _: reader.stack.append({}),
    "EMPTY_LIST": lambda reader, _: reader.stack.append([]),
    "EMPTY_SET": lambda reader, _: reader.stack.append(set()),
    "EMPTY_TUPLE": lambda reader, _: reader.stack.append(()),
    "MARK": lambda reader, _: reader.marks.append(len(reader.stack)),
    "TUPLE": lambda reader, _: reader.stack.append(tuple(reader.marked())),
    "TUPLE1": lambda reader, _: reader.stack.append(tuple(reader.taken(1))),
    "TUPLE2": lambda reader, _: reader.stack.append(tuple(reader.taken(2))),
    "TUPLE3": lambda reader, _: reader.stack.append(tuple(reader.taken(3))),
    "LIST": lambda reader, _: reader.stack.append(reader.marked()),
    "DICT": lambda reader, _: reader.stack.append(dict(reader.paired(reader.marked()))),
    "FROZENSET": lambda reader, _: reader.stack.append(frozenset(reader.marked())),
    "APPEND": lambda reader, _: (value := reader.stack.pop(), reader.stack[-1].append(value)),
    "APPENDS": lambda reader, _: (values := reader.marked(), reader.stack[-1].extend(values)),
    "ADDITEMS": lambda reader, _: (values := reader.marked(), reader.stack[-1].update(values)),
    "SETITEM": lambda reader, _: (pair := reader.taken(2), reader.stack[-1].update([pair])),
    "SETITEMS": lambda reader, _: (values := reader.marked(), reader.stack[-1].update(reader.paired(values))),
    "MEMOIZE": _Reader.put,
    "PUT": _Reader.put,
    "BINPUT": _Reader.put,
    "LONG_BINPUT": _Reader.put,
    "GET": lambda reader, place: reader.stack.append(reader.memo[place]),
    "BINGET": lambda reader, place: reader.stack.append(reader.memo[place]),
    "LONG_BINGET": lambda reader, place: reader.stack.append(reader.memo[place]),
    "GLOBAL": lambda reader, named: reader.name(*named.split(" ")),
    "STACK_GLOBAL": lambda reader, _: reader.name(*reader.taken(2)),
    "NEWOBJ": _Reader.made,
    "REDUCE": _Reader.made,
    "BUILD": _Reader.built,
}
