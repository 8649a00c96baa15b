"""A collection: encoders over a store, from sources to hits.

It decides what is encoded by what and how lists become one; how things are kept is the store's
business, and what an answer is, the assistant's.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

from mmsdk import calibration, filters, guard, registry, telemetry
from mmsdk import encoders as all_encoders
from mmsdk.errors import EncoderMismatchError, InputError
from mmsdk.ingestion import (
    Ingestion,
    OnError,
    Progress,
    Recipe,
    encode,
    encoded,
    shown,
    text_document,
    text_documents,
)
from mmsdk.protocols import Closing, Encoder, Entry, Retriever, Store
from mmsdk.search import PLAIN, Search
from mmsdk.selection import Selection
from mmsdk.settings import Settings
from mmsdk.types import (
    AddReport,
    Chunk,
    Content,
    Document,
    Filter,
    Hit,
    Modality,
    Query,
    modality_of,
)


class Collection(Closing):
    """Take in files of any modality and find what is near a text, a picture or a recording.

    >>> import tempfile
    >>> from mmsdk.testing import HashingEncoder
    >>> with Collection.open(tempfile.mkdtemp(), create=True, encoders=[HashingEncoder()]) as shop:
    ...     ids = shop.add_texts(["A tent for two.", "Boots for the winter."], metadata=[{"price": 200}, {"price": 90}])
    ...     [hit.chunk.text for hit in shop.search("tent", k=1, where={"price": {"$gt": 100}})]
    ['A tent for two.']
    """

    def __init__(self, store: Store, encoders: Sequence[Encoder], *, settings: Settings | None = None) -> None:
        self.store = store
        self.encoders = tuple(encoders)
        self.settings = settings or Settings.load()
        self._activity = telemetry.Activity("searches", "added", "deleted")
        self._added = 0

    @classmethod
    def open(
        cls,
        path: str | Path,
        create: bool = False,
        encoders: Encoder | Sequence[Encoder] | None = None,
        *,
        settings: Settings | None = None,
        read_only: bool = False,
        reindex: bool = False,
    ) -> Self:
        """Open the collection at a folder or store address; ``create`` makes one when there is none.

        ``encoders`` are the preset's when ``None``; with ``()`` an existing collection opens without any, for
        what needs none: info, verify, repair, delete. With ``reindex`` a collection made with other encoders
        is encoded again with these instead of raising ``EncoderMismatchError``. Raises
        ``CollectionNotFoundError``, ``CorruptionError``, ``LockedError``.
        """
        settings = settings or Settings.load()
        chosen = _chosen(encoders, settings)
        name, address = _store_of(path)
        make = registry.load("stores", name, pins=settings.pins)
        described = [_described(encoder) for encoder in chosen] or None
        try:
            store = make(address, settings=settings, encoders=described, create=create, read_only=read_only)
        except EncoderMismatchError:
            if not reindex:
                raise
            collection = cls(make(address, settings=settings), chosen, settings=settings)
            collection.reindex()
            return collection
        return cls(store, chosen, settings=settings)

    def add(
        self,
        sources: Any,
        metadata: Mapping[str, Any] | None = None,
        *,
        on_error: OnError = "report",
        mask: bool | str | Iterable[str] = False,
        progress: bool | Progress = False,
    ) -> AddReport:
        """Take in paths, folders, addresses, bytes and Documents (one or several); give what was done.

        Unchanged sources cost nothing; changed ones replace their chunks. ``metadata`` goes to every
        document. ``mask`` puts ``[EMAIL]`` and the like in place of personal data before anything is
        stored (true, or kinds of ``mmsdk.guard.KINDS``). A source that fails is in the report, or raised
        with ``on_error="raise"``; batches that are already stored stay.
        """
        if on_error not in ("report", "raise"):
            raise ValueError(f"on_error is 'report' or 'raise', not {on_error!r}")
        recipe = Recipe(filters.check_metadata(metadata or {}), guard.checked(mask), self.settings)
        with shown(progress) as tell, self._span("add") as span:
            ingestion = Ingestion(self.store, self.encoders, recipe=recipe, progress=tell)
            try:
                report = ingestion.run(sources, on_error=on_error)
            finally:
                self._activity.took(ingestion.seconds)
                self._activity.count(added=ingestion.documents)
            span.set(mmsdk__documents=report.documents, mmsdk__chunks=report.chunks)
            span.set(mmsdk__skipped=report.skipped, mmsdk__failed=len(report.failed))
        self._followed(report.chunks, ingestion.has_spoken)
        return report

    def add_texts(
        self,
        texts: Sequence[str],
        ids: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> list[str]:
        """Take in texts, each a document, all or none; give their document ids.

        Without ``ids`` a text is named by its content, so equal texts are one document, with the metadata of the
        last; with them, a text replaces the one of that id. ``metadata`` is one mapping for all or one a text; its
        ``source``, if a string, becomes the document's source. Raises ``InputError`` (also for one id of two texts that
        are not the same) and ``ValueError`` before anything is stored.
        """
        documents = text_documents(texts, ids, metadata)
        self._take(list({document.id: document for document in documents}.values()))
        return [document.id for document in documents]

    def update(self, id: str, metadata: Mapping[str, Any] | None = None, *, text: str | None = None) -> None:  # noqa: A002
        """Change a document, named by its id or that of one of its chunks.

        Keys of ``metadata`` are put into that of the document and its chunks, the others stay. A ``text``
        takes the place of everything the document held. Raises ``InputError`` for an unknown id.
        """
        checked = filters.check_metadata(metadata or {})
        found = self.get(id)
        if not found and id not in self.store.documents():
            raise InputError(f"the collection has no document or chunk {id!r}")
        name = found[0].document_id if found else id
        if text is not None:
            kept = {**(found[0].metadata if found else {}), **checked}
            source = found[0].source if found else f"text:{name}"
            self._take([text_document(text, name, source=source, metadata=kept)])
        elif checked:
            self.store.update(name, checked)

    def delete(
        self,
        id: str | Iterable[str] | None = None,  # noqa: A002
        *,
        ids: Iterable[str] | None = None,
        source: str | Iterable[str] | None = None,
        where: Filter | None = None,
    ) -> int:
        """Delete documents by id (a chunk's id deletes that chunk) or source, and the chunks a filter matches.

        Gives the number of chunks gone. Raises ``InvalidFilterError``, and ``ValueError`` when nothing is named.
        """
        if id is None and ids is None and source is None and where is None:
            raise ValueError("say what to delete: id, ids, source or where; where={} deletes everything")
        filters.parse(where)
        known = self.store.documents()
        names = [*_listed(id), *_listed(ids)]
        documents = [name for name in names if name in known]
        for place in _listed(source):
            documents += self.store.documents(source=place) or self.store.documents(source=str(Path(place).resolve()))
        pieces = [name for name in names if name not in known]
        conditions: list[Filter] = [{"id": {"$in": pieces}}] if pieces else []
        conditions += [where] if where is not None else []
        gone = self.store.delete(ids=documents, where={"$or": conditions} if conditions else None)
        self._activity.count(deleted=gone)
        return gone

    def search(
        self,
        query: Query,
        k: int = 8,
        where: Filter | None = None,
        *,
        diversity: float = 0.0,
        quota: Mapping[Modality, int] | None = None,
        collapse: float | None = None,
    ) -> list[Hit]:
        """Give at most ``k`` hits for a text, an ``Image``, an ``Audio``, or a list of those as one question.

        Scores are in [0, 1], best first; ``mmsdk.explain`` tells from ``Hit.trace`` how one came about. ``quota``
        maps modalities to how many of the hits they get at least, while the collection has so many. ``diversity``
        in [0, 1] weighs unlikeness to the hits before against the score, and decides the order. ``collapse`` leaves
        out what has that cosine or more to a better hit (texts with texts, pictures with pictures; 1.0: the same
        content); ``Hit.trace["collapsed"]`` lists it. Raises ``InvalidFilterError``, ``UnsupportedModalityError``
        and ``ValueError``.
        """
        return self.search_many([query], k, where, diversity=diversity, quota=quota, collapse=collapse)[0]

    def search_many(
        self,
        queries: Sequence[Query],
        k: int = 8,
        where: Filter | None = None,
        *,
        diversity: float = 0.0,
        quota: Mapping[Modality, int] | None = None,
        collapse: float | None = None,
    ) -> list[list[Hit]]:
        """Search for several questions at once, encoding them in one batch; one list of hits a question."""
        if isinstance(k, bool) or not isinstance(k, int) or not 0 < k < 2**31:
            raise ValueError(f"k must be a positive integer of 31 bits, not {k!r}")
        filters.parse(where)
        selection = Selection(diversity, quota or {}, collapse)
        questions = [_parts(query) for query in queries]
        search = self._search(selection)
        with self._span("retrieval", gen_ai__retrieval__top_k=k, mmsdk__queries=len(questions)) as span:
            found = search.run(questions, k, where=where)
            span.set(mmsdk__hits=sum(len(hits) for hits in found))
        self._activity.took(search.seconds)
        self._activity.count(searches=len(questions))
        return found

    def retrieve(self, query: Query, k: int = 8, *, where: Filter | None = None) -> list[Hit]:
        """Search; this makes a collection a ``Retriever``."""
        return self.search(query, k, where)

    def retriever(
        self, *, diversity: float = 0.0, quota: Mapping[Modality, int] | None = None, collapse: float | None = None
    ) -> Retriever:
        """Give a ``Retriever`` that searches with these options, for an ``Assistant`` or a ``Reranker``."""
        return _Choosing(self, diversity=diversity, quota=quota, collapse=collapse)

    def calibrate(self, pairs: Iterable[tuple[Content, str | Iterable[str]]] | None = None) -> list[dict[str, Any]]:
        """Measure what cosines mean in this collection, record it and give the scales recorded.

        ``pairs`` are questions, each with the id or ids of documents or chunks that are relevant: scales of pictures
        and recordings are fitted so that one list of all modalities is fair (50 questions a modality are plenty).
        Without pairs they are estimated from the rows, which needs 100 chunks of text; that happens on its own, once,
        for encoders other than the bundled. Raises ``InputError`` for an unknown id.
        """
        return calibration.calibrate(self._search(PLAIN), pairs)

    def get(self, ids: str | Sequence[str]) -> list[Chunk]:
        """Give the chunks with these ids, and all chunks of documents with these ids, in order."""
        found: list[Chunk] = []
        for name in _listed(ids):
            found += self.store.get([name]) or self.store.chunks(name)
        return found

    def count(self, where: Filter | None = None) -> int:
        """Count chunks, all or those that a filter matches."""
        return self.store.count(where)

    def __len__(self) -> int:
        return self.store.count()

    def info(self) -> dict[str, Any]:
        """Describe sizes, encoders, spaces, indexes, ``calibration``, and as ``activity`` what this object did so far.

        That is the number of ``searches``, of documents ``added`` and of chunks ``deleted``, and ``seconds`` by step.
        """
        return {
            **self.store.info(),
            "calibration": calibration.recorded(self.store),
            "activity": self._activity.to_json(),
        }

    def verify(self) -> list[str]:
        """Name everything that is damaged; an empty list says that all is well."""
        return self.store.verify()

    def repair(self) -> dict[str, Any]:
        """Build anew what is derived, and save what can be read of what was added.

        Says what was wrong (``problems``), what of the truth is lost (``lost``: acknowledged changes, and ids
        of documents, chunks and vectors; empty if nothing) and what is ``left``. The damaged database is kept.
        A collection too damaged to open with encoders opens with ``encoders=()``.
        """
        return self.store.repair()

    def backup(self, path: str | Path) -> dict[str, Any]:
        """Copy the collection as it is now to a new folder, while it is used; says what is in the copy.

        The copy is verified before it takes its name. Raises ``CollectionError`` and ``CorruptionError``.
        """
        return self.store.backup(path)

    @staticmethod
    def restore(backup: str | Path, path: str | Path, *, replace: bool = False) -> dict[str, Any]:
        """Make a collection at ``path`` from a backup, which is verified first; says what is in it.

        With ``replace`` a collection that is there is kept as ``<path>.replaced-<time>``; close it first, or
        open it again afterwards. Raises ``CollectionNotFoundError``, ``CorruptionError``, ``CollectionError``.
        """
        name, address = _store_of(path)
        made: dict[str, Any] = registry.load("stores", name).restore(backup, address, replace=replace)
        return made

    def reindex(self, encoders: Encoder | Sequence[Encoder] | None = None) -> int:
        """Encode everything again, with other encoders if given; give the number of chunks.

        Needs no source: passages and pictures are in the store. Searches go on with the old vectors until
        the last moment, and a crash before it leaves the collection as it was.
        """
        chosen = self.encoders if encoders is None else _chosen(encoders, self.settings)
        count = self.store.reindex([_described(encoder) for encoder in chosen], lambda cut: encode(cut, chosen))
        self.encoders = chosen
        calibration.forget(self.store)
        return count

    def add_entries(self, entries: Sequence[Entry]) -> None:
        """Take in documents that the caller has cut, all or none, and encode those that come without vectors.

        Each takes the place of the one with its id. For what is to be cut as usual there are ``add`` and ``add_texts``.
        """
        seconds: dict[str, float] = {}
        with self._span("add", mmsdk__documents=len(entries)):
            with telemetry.timed(seconds, "encode"):
                bare = [place for place, entry in enumerate(entries) if not entry.vectors]
                made = dict(zip(bare, encoded([entries[place] for place in bare], self.encoders), strict=True))
            with telemetry.timed(seconds, "store"):
                self.store.upsert([made.get(place, entry) for place, entry in enumerate(entries)])
        self._activity.took(seconds)
        self._activity.count(added=len(entries))
        chunks = [chunk for entry in entries for chunk in entry.chunks]
        self._followed(len(chunks), any(chunk.modality == "audio" for chunk in chunks))

    def _take(self, documents: Sequence[Document]) -> None:
        """Store texts that are as the caller wants them, in one transaction."""
        recipe = Recipe({}, (), self.settings)
        self.add_entries(Ingestion(self.store, self.encoders, recipe=recipe, progress=None).cut(documents))

    def _span(self, operation: str, **attributes: Any) -> AbstractContextManager[telemetry.Span]:
        place = str(getattr(self.store, "path", type(self.store).__name__))
        return telemetry.span(operation, Path(place).name, gen_ai__data_source__id=place, **attributes)

    def _search(self, selection: Selection) -> Search:
        return Search(self.store, self.encoders, settings=self.settings, selection=selection)

    def _followed(self, chunks: int, has_spoken: bool) -> None:
        self._added = calibration.follow(self._search(PLAIN), self._added + chunks, has_spoken=has_spoken)

    def close(self) -> None:
        """Release files and locks; calling it twice is fine."""
        self.store.close()


class _Choosing:
    """Search a collection with options."""

    def __init__(self, collection: Collection, **options: Any) -> None:
        self._collection, self._options = collection, options

    def retrieve(self, query: Query, k: int = 8, *, where: Filter | None = None) -> list[Hit]:
        return self._collection.search(query, k, where, **self._options)


def _chosen(encoders: Encoder | Sequence[Encoder] | None, settings: Settings) -> tuple[Encoder, ...]:
    if encoders is None:
        return all_encoders.build(settings)
    return tuple(encoders) if isinstance(encoders, Sequence) else (encoders,)


def _described(encoder: Encoder) -> dict[str, Any]:
    return {
        "space": encoder.space,
        "dimension": encoder.dimension,
        "fingerprint": encoder.fingerprint,
        "modalities": sorted(encoder.modalities),
    }


def _store_of(path: str | Path) -> tuple[str, str]:
    """Give the registry name of a store and the address it gets: ``local`` for folders, else the URL's scheme."""
    name, mark, _ = str(path).partition("://")
    return (name, str(path)) if mark else ("local", str(path))


def _parts(query: Query) -> list[Content]:
    parts = list(query) if isinstance(query, Sequence) and not isinstance(query, str) else [query]
    if not parts:
        raise ValueError("a question needs at least one part")
    for part in parts:
        modality_of(part)
    return parts


def _listed(value: str | Iterable[str] | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
