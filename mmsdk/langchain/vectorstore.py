"""A collection as a LangChain vector store: one document, one chunk, kept as it came."""

import shutil
import tempfile
import uuid
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings as LangChainEmbeddings
from langchain_core.vectorstores import VectorStore as LangChainVectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance
from pydantic_core import PydanticSerializationError, to_jsonable_python

from mmsdk import filters
from mmsdk.collection import Collection
from mmsdk.errors import EncoderMismatchError, InputError
from mmsdk.ingestion import text_document
from mmsdk.langchain import faiss_folder
from mmsdk.langchain.embeddings import encoder_of
from mmsdk.langchain.retriever import document
from mmsdk.protocols import Closing, Entry
from mmsdk.settings import Settings
from mmsdk.types import Chunk, Filter, Vectors

_UNIT = 1e-3
"""How far from 1 the norms of vectors may lie that count as unit vectors."""
_SAME = 0.99
"""Least cosine of a stored vector to that of the same text encoded now, for the same embeddings."""
_BATCH = 1024


class VectorStore(LangChainVectorStore, Closing):
    """Keep LangChain documents in an mmsdk collection, in a folder or, without ``path``, until it is closed or dropped.

    Searches by text are hybrid (vectors and full text), those by vector go by cosine alone. ``filter`` is an
    mmsdk ``where``. Scores are in [0, 1]. Texts come back as they were given; metadata as JSON has it: dates,
    paths and ids as text, tuples and sets as lists, NaN as null.

    >>> from mmsdk.langchain import Embeddings
    >>> from mmsdk.testing import HashingEncoder
    >>> store = VectorStore.from_texts(["A tent for two.", "Winter boots."], Embeddings(HashingEncoder()))
    >>> [found.page_content for found in store.similarity_search("boots", k=1)]
    ['Winter boots.']
    >>> store.close()
    """

    def __init__(
        self, embedding: LangChainEmbeddings, path: str | Path | None = None, *, settings: Settings | None = None
    ) -> None:
        self.embedding = embedding
        self.encoder = encoder_of(embedding)
        folder = tempfile.mkdtemp(prefix="mmsdk-") if path is None else None
        place = Path(folder) / "collection" if folder else path
        try:
            self.collection = Collection.open(str(place), True, (self.encoder,), settings=settings)
        except BaseException:
            _discard(None, folder)
            raise
        self._release = weakref.finalize(self, _discard, self.collection, folder)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: LangChainEmbeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **options: Any,
    ) -> Self:
        """Build a store of texts; ``options`` are those of the constructor."""
        store = cls(embedding, **options)
        try:
            store.add_texts(texts, metadatas, ids=ids)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def from_faiss(
        cls,
        folder: str | Path,
        embedding: LangChainEmbeddings,
        *,
        index_name: str = "index",
        normalize: bool = False,
        **options: Any,
    ) -> Self:
        """Build a store of what ``langchain_community``'s FAISS saved in a folder; vectors are taken over as they are.

        ``embedding`` is what made the folder; three texts are encoded again to check that. mmsdk compares by
        cosine, so vectors that are not of unit norm, whose order by L2 or inner product differs, need
        ``normalize=True``. Nothing is unpickled. Raises ``DecodeError`` naming what is no plain data,
        ``UnsupportedMediaError`` for an index that is not flat, ``EncoderMismatchError`` and ``InputError``.
        """
        saved, vectors = faiss_folder.read(folder, index_name)
        encoder = encoder_of(embedding)
        unit = _normalized(vectors, normalize)
        entries = [_entry(*one) for one in saved]
        _check_same(encoder.encode, [one.text for one in saved], unit)
        store = cls(embedding, **options)
        try:
            for start in range(0, len(entries), _BATCH):
                batch = range(start, min(start + _BATCH, len(entries)))
                store.collection.add_entries(
                    [replace(entries[row], vectors={encoder.space: unit[row : row + 1]}) for row in batch]
                )
        except BaseException:
            store.close()
            raise
        return store

    @property
    def embeddings(self) -> LangChainEmbeddings:
        """The embeddings it was built with."""
        return self.embedding

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **options: Any,
    ) -> list[str]:
        """Keep texts, each under its id or a new one, all or none; one of an id that is there is replaced.

        Of several with one id the last is kept, as if they came one after another.
        Gives the ids. Raises ``InputError`` for metadata that is not like JSON, and ``ValueError`` when the lists
        differ in length.
        """
        del options
        kept = list(texts)
        names = [name or uuid.uuid4().hex for name in ids or [None] * len(kept)]
        described = metadatas or [{} for _ in kept]
        for what, given in (("ids", names), ("metadatas", described)):
            if len(given) != len(kept):
                raise ValueError(f"{len(kept)} texts need {len(kept)} {what}, not {len(given)}")
        entries = {given[0]: _entry(*given) for given in zip(names, kept, described, strict=True)}
        if entries:
            self.collection.add_entries(list(entries.values()))
        return names

    def add_documents(self, documents: list[Document], **options: Any) -> list[str]:
        """Keep documents under their ids, or ``ids``, or new ones. Gives the ids."""
        ids = options.pop("ids", None) or [document.id for document in documents]
        texts = [document.page_content for document in documents]
        return self.add_texts(texts, [document.metadata for document in documents], ids=ids)

    def delete(self, ids: list[str] | None = None, **options: Any) -> bool:
        """Delete documents by id, those that ``filter`` matches, or all; ids that are not there are passed over."""
        where = options.get("filter")
        if ids is None:
            self.collection.delete(where=where or {})
        elif ids:
            self.collection.store.delete(ids=ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Give the documents with these ids, in order, without the missing ones."""
        found = {chunk.id: chunk for chunk in self.collection.store.get(ids)}
        return [document(found[name]) for name in ids if name in found]

    def similarity_search(
        self,
        query: str,
        k: int = 4,
        *,
        filter: Filter | None = None,  # noqa: A002
        **options: Any,
    ) -> list[Document]:
        """Give at most ``k`` documents, best first."""
        return [document for document, _ in self.similarity_search_with_score(query, k, filter=filter, **options)]

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        *,
        filter: Filter | None = None,  # noqa: A002
        **options: Any,
    ) -> list[tuple[Document, float]]:
        """Give at most ``k`` documents with scores in [0, 1], best first."""
        del options
        return [(document(hit.chunk), hit.score) for hit in self.collection.search(query, k, filter)]

    def similarity_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        *,
        filter: Filter | None = None,  # noqa: A002
        **options: Any,
    ) -> list[Document]:
        """Give at most ``k`` documents by cosine to a vector, best first."""
        del options
        return [document(chunk) for chunk in self._near(embedding, k, filter)]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Filter | None = None,  # noqa: A002
        **options: Any,
    ) -> list[Document]:
        """Give ``k`` of the ``fetch_k`` best documents that are unlike each other (Carbonell and Goldstein 1998)."""
        del options
        found = [hit.chunk for hit in self.collection.search(query, fetch_k, filter)]
        return self._unlike(self.encoder.encode([query], role="query")[0], found, k, lambda_mult=lambda_mult)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Filter | None = None,  # noqa: A002
        **options: Any,
    ) -> list[Document]:
        """Give ``k`` of the ``fetch_k`` documents nearest to a vector that are unlike each other."""
        del options
        found = self._near(embedding, fetch_k, filter)
        return self._unlike(np.asarray(embedding, np.float32), found, k, lambda_mult=lambda_mult)

    def close(self) -> None:
        """Release the collection, and the folder if it was temporary; calling it twice is fine."""
        self._release()

    def _near(self, embedding: Sequence[float], k: int, where: Filter | None) -> list[Chunk]:
        vector = np.asarray([embedding], np.float32)
        if vector.shape != (1, self.encoder.dimension):
            raise ValueError(f"vectors here have {self.encoder.dimension} components, not {vector.size}")
        vector /= max(float(np.linalg.norm(vector)), 1e-12)
        (found,) = self.collection.store.search(self.encoder.space, vector, k, where=where)
        return self.collection.store.get([name for name, _ in found])

    def _unlike(self, asked: Vectors, found: Sequence[Chunk], k: int, *, lambda_mult: float) -> list[Document]:
        if not found:
            return []
        vectors = self.collection.store.vectors(self.encoder.space, [chunk.id for chunk in found])
        chosen = maximal_marginal_relevance(asked, list(vectors), lambda_mult=lambda_mult, k=k)
        return [document(found[row]) for row in chosen]

    def _select_relevance_score_fn(self) -> Any:
        return float


def _entry(name: str, text: str, metadata: Mapping[str, Any]) -> Entry:
    """Make a document of one chunk under the same id, without vectors. Raises ``InputError`` naming the document."""
    if not isinstance(text, str):
        raise TypeError(f"the text of document {name!r} is a {type(text).__name__}, not a string")
    if not isinstance(name, str) or "\0" in name or not name:
        raise InputError(f"an id is a string without NUL that is not empty, not {name!r}")
    try:
        plain = to_jsonable_python(dict(metadata), inf_nan_mode="null", fallback=_plain)
    except (PydanticSerializationError, ValueError, TypeError) as error:
        raise InputError(f"the metadata of document {name!r} cannot be kept: {error}") from error
    checked = filters.check_metadata(plain, f"metadata of document {name!r}")
    source = checked.get("source")
    made = text_document(text, name, source=source if isinstance(source, str) else f"text:{name}", metadata=checked)
    (part,) = made.parts
    return Entry(made, (Chunk(name, name, text, text, "text", part.locator, checked, made.source),), {})


def _plain(value: Any) -> Any:
    """Give numbers and arrays of NumPy as Python's own. Raises ``TypeError`` for what is not like JSON."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r:.80} is nothing that JSON has")


def _normalized(vectors: Vectors, wanted: bool) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if len(norms) and not norms.min() > 0:
        raise InputError(f"row {int(norms.argmin())} of the index is a vector of zeros, which has no direction")
    if len(norms) and not wanted and np.abs(norms - 1).max() > _UNIT:
        raise InputError(
            f"the vectors of the index have norms from {norms.min():.4g} to {norms.max():.4g}. mmsdk compares by "
            "cosine, so hits would come in another order than by L2 or inner product; normalize=True accepts that"
        )
    return vectors / norms if len(norms) else vectors


def _check_same(encode: Any, texts: Sequence[str], vectors: Vectors) -> None:
    """Encode the first, middle and last text and compare. Raises ``EncoderMismatchError``."""
    for row in sorted({0, len(texts) // 2, len(texts) - 1} if texts else ()):
        (now,) = encode([texts[row]])
        if now.shape != vectors[row].shape:
            raise EncoderMismatchError(
                f"the embeddings given have {now.size} components, those of the index {vectors.shape[1]}; "
                "give the ones that the index was made with"
            )
        cosine = float(now @ vectors[row])
        if cosine < _SAME:
            raise EncoderMismatchError(
                f"the embeddings given put {texts[row][:40]!r} elsewhere (cosine {cosine:.3f} to row {row} of "
                "the index); give the ones that the index was made with"
            )


def _discard(collection: Collection | None, folder: str | None) -> None:
    """Close, and delete a temporary folder; knows no store, so that a dropped one is collected."""
    if collection is not None:
        collection.close()
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
