"""The data folder: collections by name, and what people uploaded, by content.

    DATA/<collection>/           as Collection keeps it; those made by ``mmsdk add`` are served too
    DATA/.mmsdk/keys.sqlite      keys and sessions
    DATA/.mmsdk/originals/<collection>/<sha-256>   uploaded files, to be opened at the place that is cited
    DATA/.mmsdk/incoming/        files on their way in

No name that a caller gives becomes a path before it is found to be the name of a collection.
"""

import hashlib
import re
import secrets
import shutil
import threading
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from mmsdk import loaders
from mmsdk.collection import Collection
from mmsdk.errors import CollectionNotFoundError, InputError
from mmsdk.ingestion import Progress
from mmsdk.runtime import Runtime
from mmsdk.types import AddReport, Document, Failure

_NAME = re.compile(r"[^\W_][\w.-]{0,63}")
_FAILURES = "server.failures"
_KEPT = 200
"""Failures of a collection that are remembered."""
_PIECE = 1 << 20


@dataclass(frozen=True)
class Upload:
    """Hold a file that came in: what its sender calls it, and where it lies."""

    name: str
    path: Path


class DataFolder:
    """Find, make and delete collections of a folder. Safe to share between threads."""

    def __init__(self, path: str | Path, runtime: Runtime) -> None:
        self.path = Path(path).resolve()
        self.runtime = runtime
        self.own = self.path / ".mmsdk"
        self._lock = threading.Lock()
        self.own.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("originals", "incoming"):
            (self.own / name).mkdir(mode=0o700, exist_ok=True)

    def names(self) -> list[str]:
        """Name the collections."""
        return sorted(path.name for path in self.path.iterdir() if _is_collection(path))

    def place(self, name: str) -> Path:
        """Give the folder of a collection. Raises ``CollectionNotFoundError`` for a name that none has."""
        if name not in self.names():
            raise CollectionNotFoundError(f"there is no collection {name!r}")
        return self.path / name

    def inside(self, given: Path) -> Path:
        """Find a path that a caller names, from the data folder on. Raises ``InputError`` for one that leads out.

        What begins with a dot is the server's own.
        """
        path = (self.path / given).resolve()
        steps = path.relative_to(self.path).parts if path.is_relative_to(self.path) else ()
        if not steps or any(step.startswith(".") for step in steps):
            raise InputError(
                f"{str(given)[:200]!r} is not in the data folder of the server: name a file or folder there, such as "
                "'monitor', or none for that of the settings"
            )
        return path

    def open(self, name: str) -> Collection:
        """Open a collection. Raises ``CollectionNotFoundError`` and what ``Collection.open`` raises."""
        return self.runtime.collection(self.place(name))

    def create(self, name: str) -> Collection:
        """Make a collection. Raises ``InputError`` for a name that cannot be one, and when it is there."""
        if not _NAME.fullmatch(name) or unicodedata.normalize("NFC", name) != name or ".." in name:
            raise InputError(
                f"{name[:80]!r} cannot be the name of a collection: take up to 64 letters, digits, '-', '_' and '.'"
            )
        with self._lock:
            if (self.path / name).exists():
                raise FileExistsError(name)
            return self.runtime.collection(self.path / name, create=True)

    def delete(self, name: str) -> None:
        """Delete a collection with everything that was uploaded for it."""
        place = self.place(name)
        with self._lock:
            self.runtime.forget(place)
            aside = self.own / "incoming" / f"deleted-{secrets.token_hex(8)}"
            place.rename(aside)
        shutil.rmtree(aside)
        shutil.rmtree(self.own / "originals" / name, ignore_errors=True)

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """Give a new folder that is gone afterwards."""
        place = self.own / "incoming" / secrets.token_hex(16)
        place.mkdir(mode=0o700)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def add(
        self, name: str, uploads: Sequence[Upload], *, progress: Progress | None = None, **options: Any
    ) -> AddReport:
        """Take uploads into a collection; a file replaces the one of the same name. Options are those of ``add``."""
        collection = self.open(name)
        failures: list[Failure] = []
        kept = self.own / "originals" / name
        kept.mkdir(mode=0o700, exist_ok=True)

        def documents() -> Iterator[Document]:
            for done, upload in enumerate(uploads):
                if progress is not None:
                    progress(upload.name, done, len(uploads))
                yield from self._read(upload, kept, failures)

        report = collection.add(documents(), **options)
        report = replace(report, failed=(*failures, *report.failed))
        self._remember(collection, report, [upload.name for upload in uploads])
        self.sweep(name)
        return report

    def _read(self, upload: Upload, kept: Path, failures: list[Failure]) -> Iterator[Document]:
        problems: list[Failure] = []
        for document in loaders.read(upload.path, settings=self.runtime.settings, on_failure=problems.append):
            target = kept / document.digest
            if not target.exists():
                shutil.copyfile(upload.path, target)
            yield uploaded(document, upload.name)
        failures += [_named(problem, upload) for problem in problems]

    def add_addresses(self, name: str, addresses: Sequence[str], **options: Any) -> AddReport:
        """Fetch addresses and take them in. Raises ``InputError`` for what is no http(s) address."""
        for address in addresses:
            if not re.match(r"https?://", address, re.IGNORECASE):
                raise InputError(f"{address[:200]!r} is no address: only http:// and https:// are fetched")
        collection = self.open(name)
        report = collection.add(list(addresses), **options)
        self._remember(collection, report, addresses)
        return report

    def failures(self, name: str) -> list[dict[str, Any]]:
        """Give what was not taken in lately, with reasons."""
        noted = self.open(name).store.noted(_FAILURES)
        return noted if isinstance(noted, list) else []

    def original(self, name: str, document_id: str) -> Path | None:
        """Give the uploaded file of a document, if it was uploaded here."""
        digest = self.open(name).store.documents().get(document_id, "").partition(".")[0]
        path = self.own / "originals" / name / digest
        return path if re.fullmatch(r"[0-9a-f]{64}", digest) and path.is_file() else None

    def sweep(self, name: str) -> None:
        """Delete uploaded files that no document needs any more."""
        digests = {digest.partition(".")[0] for digest in self.open(name).store.documents().values()}
        kept = self.own / "originals" / name
        for path in kept.iterdir() if kept.is_dir() else ():
            if path.name not in digests:
                path.unlink(missing_ok=True)

    def _remember(self, collection: Collection, report: AddReport, sources: Sequence[str]) -> None:
        before = collection.store.noted(_FAILURES)
        old = [one for one in before if one["source"] not in sources] if isinstance(before, list) else []
        now: list[Any] = [*old, *(dict(vars(failure)) for failure in report.failed)][-_KEPT:]
        if now != (before or []):
            collection.store.note(_FAILURES, now)


def save(stream: BinaryIO, place: Path, *, name: str, number: int) -> Upload:
    """Write an upload to a folder under a name of our own, with its sender's suffix."""
    shown = shown_name(name)
    suffix = PurePosixPath(shown).suffix
    path = place / f"{number}{suffix if re.fullmatch(r'[.][A-Za-z0-9]{1,10}', suffix) else ''}"
    with path.open("wb") as file:
        shutil.copyfileobj(stream, file, _PIECE)
    return Upload(shown, path)


def shown_name(name: str) -> str:
    """Give the last step of what a sender calls a file, without control characters."""
    step = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])
    clean = "".join(letter for letter in step if unicodedata.category(letter) not in ("Cc", "Cf", "Cs")).strip()
    return clean[:200] if clean.strip(". ") else "upload"


def uploaded(document: Document, name: str) -> Document:
    """Name a document after its upload instead of the place where that lies."""
    key = hashlib.sha256(b"upload\n" + name.encode("utf-8", "replace")).hexdigest()[:32]
    metadata: Mapping[str, Any] = {**document.metadata, "name": name}
    return replace(document, id=key, source=name, metadata=metadata)


def _named(failure: Failure, upload: Upload) -> Failure:
    place = str(upload.path)
    piece = failure.source.removeprefix(place) if failure.source.startswith(place) else ""
    return replace(failure, source=upload.name + piece, reason=failure.reason.replace(place, upload.name))


def _is_collection(path: Path) -> bool:
    return not path.name.startswith(".") and not path.is_symlink() and (path / "manifest.json").is_file()
