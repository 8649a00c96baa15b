"""Sources become entries of a store: read, recognise, mask, cut, encode, store, batch after batch.

While a batch is stored, the next one is encoded and the one after it is read, each in a thread: three batches
are in memory at most. A source that fails is reported and what the store had of it stays. It knows nothing of search.
"""

import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from mmsdk import filters, guard, loaders, recognizers, telemetry
from mmsdk.chunking import chunks
from mmsdk.errors import InputError, MissingDependencyError, MmsdkError, WeightsError
from mmsdk.pipeline import ahead
from mmsdk.protocols import Encoder, Entry, Store, TextReader, Transcriber
from mmsdk.settings import Settings
from mmsdk.types import AddReport, Audio, Chunk, Document, Failure, Image, Locator, Part, Vectors, modality_of

Progress = Callable[[str, int, int], None]
"""Called with a name, what is done and the total (0 when unknown)."""
OnError = Literal["report", "raise"]
Stage = Literal["decode", "encode", "store"]
_DOCUMENTS = 1024
_CHARACTERS = 500_000
_BYTES = 48_000_000
"""What a batch holds at most of documents, characters, and bytes of pixels and samples."""


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


@dataclass
class _Batch:
    """Hold documents on their way to the store, as ``entries`` once they are cut, and what became of the others."""

    documents: list[Document] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    skipped: int = 0
    masked: int = 0

    def fail(self, document: Document, stage: Stage, error: Exception) -> None:
        """Note that a document is not taken in."""
        code = error.code if isinstance(error, MmsdkError) else type(error).__name__
        self.failed.append(Failure(document.source, stage, code, str(error)))

    def skip(self, _: str) -> None:
        """Note that a document is there already."""
        self.skipped += 1


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
        known = self.recipe.known(self.store.documents())
        with closing(ahead(self._batches(sources, known), self._prepared, self._encoded)) as batches:
            for batch in batches:
                self._count(batch, on_error)
                with telemetry.timed(self.seconds, "store"):
                    self._store(batch, batch.entries)
                self._count(batch, on_error)
                self._tell()
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
        batch = _Batch(list(documents))
        self._cut(batch)
        self._count(batch, "raise")
        return batch.entries

    def _batches(self, sources: Any, known: Mapping[str, str]) -> Generator[_Batch]:
        """Read documents in batches; what else was met until a batch was full is noted in it."""
        batch = _Batch()
        documents = loaders.read(
            sources,
            settings=self.recipe.settings,
            known=known,
            on_failure=lambda failure: batch.failed.append(failure),
            on_skip=lambda name: batch.skip(name),
        )
        characters = size = 0
        for document in self._timed(documents):
            batch.documents.append(document)
            characters += sum(len(part.content) for part in document.parts if isinstance(part.content, str))
            size += sum(_bytes(part.content) for part in document.parts)
            if len(batch.documents) >= _DOCUMENTS or characters >= _CHARACTERS or size >= _BYTES:
                yield batch
                batch = _Batch()
                characters = size = 0
        if batch.documents or batch.failed or batch.skipped:
            yield batch

    def _timed(self, documents: Iterator[Document]) -> Iterator[Document]:
        while True:
            with telemetry.timed(self.seconds, "read"):
                document = next(documents, None)
            if document is None:
                return
            yield document

    def _prepared(self, batch: _Batch) -> _Batch:
        """Recognise and cut what was read."""
        if any(not isinstance(part.content, str) for document in batch.documents for part in document.parts):
            with telemetry.timed(self.seconds, "recognize"):
                batch.documents = self._recognized(batch)
        with telemetry.timed(self.seconds, "cut"):
            self._cut(batch)
        return batch

    def _recognized(self, batch: _Batch) -> list[Document]:
        settings = self.recipe.settings
        read, failures = recognizers.recognize(
            batch.documents,
            reader=_Late(settings, recognizers.reader),
            transcriber=_Late(settings, recognizers.transcriber),
        )
        batch.failed.extend(failures)
        return _without_lost(read, failures)

    def _cut(self, batch: _Batch) -> None:
        """Mask and cut the documents; the entries have no vectors yet."""
        cutting, mark = self.recipe.settings.chunking, self.recipe.mark
        for document in batch.documents:
            try:
                masked, count = guard.mask_document(document, self.recipe.kinds)
                metadata = filters.check_metadata({**masked.metadata, **self.recipe.metadata})
                described = replace(masked, metadata=metadata, digest=document.digest + mark)
                cut = tuple(chunks(described, size=cutting.size, overlap=cutting.overlap))
            except InputError as error:
                batch.fail(document, "decode", error)
                continue
            batch.masked += count
            batch.entries.append(Entry(described, cut, {}))
        batch.documents = []

    def _encoded(self, batch: _Batch) -> _Batch:
        if batch.entries:
            with telemetry.timed(self.seconds, "encode"):
                batch.entries = self._with_vectors(batch, batch.entries)
        return batch

    def _with_vectors(self, batch: _Batch, drafts: list[Entry]) -> list[Entry]:
        """Encode the chunks of all documents at once; when that fails, those of each half."""
        try:
            return encoded(drafts, self.encoders)
        except (WeightsError, MissingDependencyError):
            raise
        except (MmsdkError, ValueError, RuntimeError) as error:
            if len(drafts) <= 1:
                for draft in drafts:
                    batch.fail(draft.document, "encode", error)
                return []
        middle = len(drafts) // 2
        return self._with_vectors(batch, drafts[:middle]) + self._with_vectors(batch, drafts[middle:])

    def _store(self, batch: _Batch, entries: list[Entry]) -> None:
        """Store all documents in one transaction; when one cannot be stored, document by document."""
        try:
            if entries:
                self.store.upsert(entries)
        except InputError as error:
            if len(entries) > 1:
                for entry in entries:
                    self._store(batch, [entry])
                return
            batch.fail(entries[0].document, "store", error)
            return
        self.documents += len(entries)
        self._chunks += sum(len(entry.chunks) for entry in entries)
        self.has_spoken |= any(chunk.modality == "audio" for entry in entries for chunk in entry.chunks)

    def _count(self, batch: _Batch, on_error: OnError) -> None:
        """Count what became of a batch so far. Raises its first failure if that is wanted."""
        self._failed.extend(batch.failed)
        self._skipped += batch.skipped
        self._masked += batch.masked
        batch.failed, batch.skipped, batch.masked = [], 0, 0
        if on_error == "raise" and self._failed:
            failure = self._failed[0]
            raise _error_class(failure.code)(f"{failure.source} ({failure.stage}): {failure.reason}")

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress("documents", self.documents + self._skipped + len(self._failed), 0)


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
    if ids is not None:
        _check_ids(documents)
    return documents


def _check_ids(documents: Sequence[Document]) -> None:
    """Raise ``InputError`` for two that are not the same under one id, of which only one could be kept."""
    places: dict[str, int] = {}
    for place, document in enumerate(documents):
        before = places.setdefault(document.id, place)
        other = documents[before]
        if (document.digest, document.metadata) != (other.digest, other.metadata):
            raise InputError(f"ids[{before}] and ids[{place}] are both {document.id!r}, for two that are not the same")


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


def _bytes(content: str | Image | Audio) -> int:
    if isinstance(content, str):
        return 0
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
