"""Sources become entries of a store: read, recognise, mask, cut, encode, store, batch after batch.

At most one batch of documents is in memory. A source that fails is reported and what the store had
of it stays. It knows nothing of search.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from mmsdk import filters, guard, loaders, recognizers, telemetry
from mmsdk.chunking import chunks
from mmsdk.errors import InputError, MissingDependencyError, MmsdkError, WeightsError
from mmsdk.protocols import Encoder, Entry, Store, TextReader, Transcriber
from mmsdk.settings import Settings
from mmsdk.types import AddReport, Audio, Chunk, Document, Failure, Image, Locator, Part, Vectors, modality_of

Progress = Callable[[str, int, int], None]
"""Called with a name, what is done and the total (0 when unknown)."""
OnError = Literal["report", "raise"]
_DOCUMENTS = 64
_BYTES = 256_000_000


@dataclass(frozen=True)
class Recipe:
    """Say what is done to a document besides reading it; a document made by another recipe is made again."""

    metadata: Mapping[str, Any]
    kinds: tuple[str, ...]
    settings: Settings

    @property
    def mark(self) -> str:
        """What is put behind the digest of a document in the store."""
        cutting = self.settings.chunking
        shape = [dict(self.metadata), self.kinds, cutting.size, cutting.overlap]
        written = json.dumps(shape, sort_keys=True, ensure_ascii=False, default=str)
        return "." + hashlib.sha256(written.encode()).hexdigest()[:12]

    def known(self, stored: Mapping[str, str]) -> dict[str, str]:
        """Give document id to digest, of the documents that this recipe made."""
        mark = self.mark
        return {name: digest.removesuffix(mark) for name, digest in stored.items() if digest.endswith(mark)}


class Ingestion:
    """Take sources into a store. One object is one ``add``."""

    def __init__(self, store: Store, encoders: Sequence[Encoder], *, recipe: Recipe, progress: Progress | None) -> None:
        self.store, self.encoders, self.recipe = store, encoders, recipe
        self._progress = progress
        self.seconds: dict[str, float] = {}
        self._failed: list[Failure] = []
        self.documents = self._chunks = self._skipped = self._masked = 0
        self.has_spoken = False

    def run(self, sources: Any, *, on_error: OnError) -> AddReport:
        """Take in everything. With ``on_error="raise"`` the first failure is raised; batches before it stay."""
        before = _truncated(self.encoders)
        documents = loaders.read(
            sources,
            settings=self.recipe.settings,
            known=self.recipe.known(self.store.documents()),
            on_failure=self._failed.append,
            on_skip=self._skip,
        )
        batches = _batches(documents)
        while True:
            with telemetry.timed(self.seconds, "read"):
                batch = next(batches, None)
            if batch is None:
                break
            self._raise_first(on_error)
            self._take(batch)
            self._raise_first(on_error)
            self._tell()
        self._raise_first(on_error)
        return AddReport(
            documents=self.documents,
            chunks=self._chunks,
            skipped=self._skipped,
            failed=tuple(self._failed),
            truncated=_truncated(self.encoders) - before,
            masked=self._masked,
        )

    def cut(self, documents: Sequence[Document]) -> list[Entry]:
        """Give documents of text as entries without vectors. Raises what went wrong."""
        drafts = [draft for document in documents if (draft := self._cut(document)) is not None]
        self._raise_first("raise")
        return drafts

    def _take(self, documents: list[Document]) -> None:
        if any(not isinstance(part.content, str) for document in documents for part in document.parts):
            with telemetry.timed(self.seconds, "recognize"):
                documents = self._recognized(documents)
        with telemetry.timed(self.seconds, "cut"):
            drafts = [draft for document in documents if (draft := self._cut(document)) is not None]
        with telemetry.timed(self.seconds, "encode"):
            entries = self._encoded(drafts)
        with telemetry.timed(self.seconds, "store"):
            self._store(entries)

    def _recognized(self, documents: list[Document]) -> list[Document]:
        settings = self.recipe.settings
        read, failures = recognizers.recognize(
            documents, reader=_Late(settings, recognizers.reader), transcriber=_Late(settings, recognizers.transcriber)
        )
        self._failed.extend(failures)
        return _without_lost(read, failures)

    def _cut(self, document: Document) -> Entry | None:
        """Mask and cut a document; the result has no vectors yet."""
        try:
            masked, count = guard.mask_document(document, self.recipe.kinds)
            metadata = filters.check_metadata({**masked.metadata, **self.recipe.metadata})
            described = replace(masked, metadata=metadata, digest=document.digest + self.recipe.mark)
            cutting = self.recipe.settings.chunking
            cut = tuple(chunks(described, size=cutting.size, overlap=cutting.overlap))
        except InputError as error:
            self._fail(document, "decode", error)
            return None
        self._masked += count
        return Entry(described, cut, {})

    def _encoded(self, drafts: list[Entry]) -> list[Entry]:
        """Encode the chunks of all documents at once; when that fails, document by document."""
        try:
            return encoded(drafts, self.encoders)
        except (WeightsError, MissingDependencyError):
            raise
        except (MmsdkError, ValueError, RuntimeError) as error:
            if len(drafts) <= 1:
                for draft in drafts:
                    self._fail(draft.document, "encode", error)
                return []
        return [entry for draft in drafts for entry in self._encoded([draft])]

    def _store(self, entries: list[Entry]) -> None:
        """Store all documents in one transaction; when one cannot be stored, document by document."""
        try:
            if entries:
                self.store.upsert(entries)
        except InputError as error:
            if len(entries) > 1:
                for entry in entries:
                    self._store([entry])
                return
            self._fail(entries[0].document, "store", error)
            return
        self.documents += len(entries)
        self._chunks += sum(len(entry.chunks) for entry in entries)
        self.has_spoken |= any(chunk.modality == "audio" for entry in entries for chunk in entry.chunks)

    def _fail(self, document: Document, stage: Literal["decode", "encode", "store"], error: Exception) -> None:
        code = error.code if isinstance(error, MmsdkError) else type(error).__name__
        self._failed.append(Failure(document.source, stage, code, str(error)))

    def _skip(self, _: str) -> None:
        self._skipped += 1

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress("documents", self.documents + self._skipped + len(self._failed), 0)

    def _raise_first(self, on_error: OnError) -> None:
        if on_error == "raise" and self._failed:
            failure = self._failed[0]
            raise _error_class(failure.code)(f"{failure.source} ({failure.stage}): {failure.reason}")


def encoded(entries: Sequence[Entry], encoders: Sequence[Encoder]) -> list[Entry]:
    """Give entries with the vectors of their chunks, encoded in one go."""
    vectors = encode([chunk for entry in entries for chunk in entry.chunks], encoders)
    given, start = [], 0
    for entry in entries:
        stop = start + len(entry.chunks)
        given.append(replace(entry, vectors={space: rows[start:stop] for space, rows in vectors.items()}))
        start = stop
    return given


def encode(cut: Sequence[Chunk], encoders: Sequence[Encoder]) -> dict[str, Vectors]:
    """Give space name to float32 ``[len(cut), dimension]``; rows of NaN where no encoder of it takes the chunk."""
    vectors: dict[str, Vectors] = {}
    for encoder in encoders:
        rows = vectors.setdefault(encoder.space, np.full((len(cut), encoder.dimension), np.nan, np.float32))
        wanted = [
            place
            for place, chunk in enumerate(cut)
            if modality_of(chunk.content) in encoder.modalities and np.isnan(rows[place, 0])
        ]
        if wanted:
            rows[wanted] = telemetry.encode(encoder, [cut[place].content for place in wanted])
    return vectors


def text_documents(
    texts: Sequence[str],
    ids: Sequence[str] | None,
    metadata: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
) -> list[Document]:
    """Check what ``add_texts`` got and give a document for each."""
    if isinstance(texts, str):
        raise TypeError("add_texts takes a list of texts; put the one text in a list")
    described = [metadata or {}] * len(texts) if metadata is None or isinstance(metadata, Mapping) else list(metadata)
    for name, given in (("ids", ids), ("metadata mappings", described)):
        if given is not None and len(given) != len(texts):
            raise ValueError(f"{len(texts)} texts need {len(texts)} {name}, not {len(given)}")
    documents = []
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{place}] is a {type(text).__name__}, not a string")
        checked = filters.check_metadata(described[place], f"metadata[{place}]")
        name = _digest(text, f"texts[{place}]")[:32] if ids is None else _named(ids[place], place)
        source = checked.get("source")
        source = source if isinstance(source, str) else f"text:{name}"
        documents.append(text_document(text, name, source=source, metadata=checked))
    return documents


def _named(name: str, place: int) -> str:
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValueError(f"ids[{place}] must be a string that is not empty, not {name!r}")
    _digest(name, f"ids[{place}]")
    return name


def text_document(text: str, name: str, *, source: str, metadata: Mapping[str, Any]) -> Document:
    """Make a document of one text."""
    part = Part(text, Locator("characters", 0, len(text)))
    return Document(name, (part,), source, _digest(text, "the text"), metadata)


def _digest(text: str, name: str) -> str:
    try:
        return hashlib.sha256(text.encode()).hexdigest()
    except UnicodeEncodeError as error:
        raise InputError(f"{name} has a lone surrogate at character {error.start}") from error


@contextmanager
def shown(progress: bool | Progress) -> Iterator[Progress | None]:
    """Give what to call with progress: what was given, or a bar on standard error when it is true."""
    if progress is not True:
        yield progress or None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed} {task.description}"), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("documents", total=None)
        yield lambda name, done, total: bar.update(task, description=name, completed=done, total=total or None)


class _Late:
    """Make a recognizer when its first picture or recording comes."""

    def __init__(self, settings: Settings, make: Callable[[Settings], Any]) -> None:
        self._settings, self._make = settings, make

    def read(self, images: Sequence[Image]) -> Any:
        reader: TextReader = self._make(self._settings)
        return reader.read(images)

    def transcribe(self, recordings: Sequence[Audio]) -> Any:
        transcriber: Transcriber = self._make(self._settings)
        return transcriber.transcribe(recordings)


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += sum(_bytes(part.content) for part in document.parts)
        if len(batch) >= _DOCUMENTS or size >= _BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _bytes(content: str | Image | Audio) -> int:
    if isinstance(content, str):
        return 10 * len(content)
    return content.pixels.nbytes if isinstance(content, Image) else content.samples.nbytes


def _without_lost(documents: list[Document], failures: list[Failure]) -> list[Document]:
    """Leave out documents that failed and have no text or picture left to be found by."""
    failed = {failure.source for failure in failures}
    return [
        document
        for document in documents
        if document.source not in failed or any(not isinstance(part.content, Audio) for part in document.parts)
    ]


def _truncated(encoders: Sequence[Encoder]) -> int:
    counts = {id(encoder): int(getattr(encoder, "truncated", 0)) for encoder in encoders}
    return sum(counts.values())


def _error_class(code: str) -> type[MmsdkError]:
    waiting: list[type[MmsdkError]] = [MmsdkError]
    while waiting:
        known = waiting.pop()
        name = known.__name__.removesuffix("Error")
        if "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_") == code:
            return known
        waiting.extend(known.__subclasses__())
    return InputError
