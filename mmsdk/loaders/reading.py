"""Sources become documents: paths, folders, addresses and bytes, two at a time and in order.

This module knows no format: what a file holds is found out in a worker process.
"""

import hashlib
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from mmsdk.errors import DecodeError, FetchError, MmsdkError
from mmsdk.loaders.fetch import fetch, normalised
from mmsdk.loaders.folders import files, refusal
from mmsdk.loaders.workers import Crew
from mmsdk.settings import Settings
from mmsdk.types import Audio, Document, Failure, Image

Source: TypeAlias = str | os.PathLike[str] | bytes | Document
AT_ONCE = 2
"""Workers at the same time."""


@dataclass(frozen=True)
class _Item:
    """Hold one source that is not yet read. ``open`` gives its bytes and a file name."""

    source: str
    id: str
    open: Callable[[], tuple[bytes, str]]


@dataclass(frozen=True)
class _Outcome:
    """Hold what became of one source."""

    source: str
    document: Document | None = None
    skipped: str | None = None
    error: MmsdkError | None = None
    failures: tuple[Failure, ...] = ()


def read(
    sources: Source | Iterable[Source],
    *,
    settings: Settings | None = None,
    known: Mapping[str, str] | None = None,
    on_failure: Callable[[Failure], None] | None = None,
    on_skip: Callable[[str], None] | None = None,
) -> Iterator[Document]:
    """Read sources into documents, in order: files, folders (recursive), http(s) addresses, bytes, Documents.

    A source whose id is in ``known`` (document id to digest) with the same digest is not parsed;
    ``on_skip`` gets its id, also when the same file is met twice. What cannot be read goes to
    ``on_failure`` and the rest goes on; without ``on_failure`` it is raised as ``DecodeError``,
    ``UnsupportedMediaError`` or ``FetchError``. Pieces left out of a file that is otherwise read
    (a broken line of JSON lines, a damaged attachment) go to ``on_failure`` only, under the source
    ``file#piece``, and are in ``metadata["left_out"]``.

    >>> [document.text for document in read(b"Two words.")]
    ['Two words.']
    """
    settings = settings or Settings.load()
    seen: set[str] = set()
    for outcome in _in_order(_items(sources, settings), partial(_taken, known=known or {}), settings):
        if outcome.error is not None and on_failure is None:
            raise _named(outcome.error, outcome.source)
        for failure in outcome.failures:
            if on_failure is not None:
                on_failure(failure)
        key = outcome.skipped or (outcome.document.id if outcome.document else None)
        if outcome.document is not None and key not in seen:
            yield outcome.document
        elif key is not None and on_skip is not None:
            on_skip(key)
        if key is not None:
            seen.add(key)


def load(path: str | os.PathLike[str] | bytes) -> Image | Audio:
    """Read one picture or recording from a file, an http(s) address or bytes.

    Raises ``UnsupportedMediaError`` when it is neither, ``DecodeError`` when it is damaged and
    ``FetchError`` when its address cannot be fetched.

    >>> import io, PIL.Image
    >>> PIL.Image.new("RGB", (4, 3)).save(file := io.BytesIO(), "PNG")
    >>> load(file.getvalue())
    Image(4 x 3 pixels)
    """
    settings = Settings.load()
    item = _item(path, settings)
    if isinstance(item, _Outcome):
        raise _named(item.error or DecodeError("it cannot be read"), item.source)
    try:
        data, name = item.open()
        parts = Crew(settings.limits, dict(settings.pins)).parse(data, name, only=("image", "audio")).parts
    except MmsdkError as error:
        raise _named(error, item.source) from None
    for part in parts:
        if isinstance(part.content, Image | Audio):
            return part.content
    raise DecodeError(f"{item.source} holds neither a picture nor a recording")


def _named(error: MmsdkError, source: str) -> MmsdkError:
    """Put the source before the message of an error."""
    if source not in str(error):
        error.args = (f"{source}: {error}",)
    return error


def _in_order(
    items: Iterator[_Item | _Outcome], take: Callable[..., _Outcome], settings: Settings
) -> Iterator[_Outcome]:
    """Take items in parallel and give their outcomes in order; workers end with the iterator."""
    crew = Crew(settings.limits, dict(settings.pins))
    waiting: deque[Future[_Outcome]] = deque()
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="mmsdk-read") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(take, item, crew, settings=settings))
                if len(waiting) > AT_ONCE:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            crew.close()


def _taken(item: _Item | _Outcome, crew: Crew, *, settings: Settings, known: Mapping[str, str]) -> _Outcome:
    """Read, identify and parse one item."""
    if isinstance(item, _Outcome):
        same = item.document is not None and known.get(item.document.id) == item.document.digest
        return _Outcome(item.source, skipped=item.document.id) if same and item.document else item
    try:
        data, name = item.open()
        digest = hashlib.sha256(data).hexdigest()
        if known.get(item.id) == digest:
            return _Outcome(item.source, skipped=item.id)
        if len(data) > settings.limits.file_mb << 20:
            raise DecodeError(f"the file has {len(data)} bytes, more than limits.file_mb = {settings.limits.file_mb}")
        parsed = crew.parse(data, name)
    except MmsdkError as error:
        return _failed(item.source, error)
    metadata = {"name": name, **parsed.metadata} if name else dict(parsed.metadata)
    if parsed.problems:
        metadata["left_out"] = [f"{problem.where}: {problem.reason}" for problem in parsed.problems]
    failures = tuple(
        Failure(f"{item.source}#{problem.where}", "decode", problem.code, problem.reason) for problem in parsed.problems
    )
    document = Document(item.id, parsed.parts, item.source, digest, metadata)
    return _Outcome(item.source, document, failures=failures)


def _failed(source: str, error: MmsdkError) -> _Outcome:
    stage = "fetch" if isinstance(error, FetchError) else "decode"
    failure = Failure(source, "fetch" if stage == "fetch" else "decode", error.code, str(error))
    return _Outcome(source, error=error, failures=(failure,))


def _items(sources: Source | Iterable[Source], settings: Settings) -> Iterator[_Item | _Outcome]:
    if isinstance(sources, str | os.PathLike | bytes | Document):
        sources = (sources,)
    for source in sources:
        if not isinstance(source, str | os.PathLike | bytes | Document):
            raise TypeError(f"a source is a path, an address, bytes or a Document, not {type(source).__name__}")
        folder = _folder(source)
        if folder is None:
            yield _item(source, settings)
            continue
        for path, error in files(folder):
            yield _failed(_readable(path), error) if error else _of_path(path, settings)


def _folder(source: Source) -> Path | None:
    if isinstance(source, bytes | Document) or _is_address(source) or not os.fspath(source):
        return None
    try:
        return Path(source) if Path(source).is_dir() else None
    except (OSError, ValueError):
        return None


def _is_address(source: str | os.PathLike[str]) -> bool:
    return isinstance(source, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", source) is not None


def _item(source: Source, settings: Settings) -> _Item | _Outcome:
    if isinstance(source, Document):
        return _Outcome(source.source, source)
    if isinstance(source, bytes):
        digest = hashlib.sha256(source).hexdigest()
        return _Item(f"bytes:{digest[:12]}", _id("bytes", digest.encode()), lambda: (source, ""))
    if _is_address(source):
        return _of_address(str(source), settings)
    if not os.fspath(source):  # to pathlib it is the current folder
        return _failed("''", DecodeError("the path is empty"))
    path = Path(source)
    try:
        error = refusal(path)
    except (OSError, ValueError) as problem:
        error = DecodeError(f"{os.fspath(source)!r} is no path: {problem}")
    return _failed(_readable(path), error) if error else _of_path(path, settings)


def _of_address(url: str, settings: Settings) -> _Item | _Outcome:
    try:
        address = normalised(url)
    except FetchError as error:
        return _failed(url, error)

    def fetched() -> tuple[bytes, str]:
        answer = fetch(address, settings.fetch, offline=settings.offline)
        return answer.data, answer.name

    return _Item(address, _id("url", address.encode("utf-8", "replace")), fetched)


def _of_path(path: Path, settings: Settings) -> _Item:
    place = Path(os.path.realpath(path))
    most = settings.limits.file_mb << 20

    def opened() -> tuple[bytes, str]:
        try:
            with place.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size > most:
                    raise DecodeError(f"the file has {size} bytes, more than limits.file_mb = {most >> 20}")
                return file.read(most + 1), _readable(Path(path.name))
        except OSError as error:
            raise DecodeError(f"the file cannot be read: {error.strerror or error}") from error

    return _Item(_readable(place), _id("path", os.fsencode(place)), opened)


def _readable(path: Path) -> str:
    """Write a path as text; bytes of a name that are no UTF-8 become U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")


def _id(kind: str, name: bytes) -> str:
    return hashlib.sha256(kind.encode() + b"\n" + name).hexdigest()[:32]
