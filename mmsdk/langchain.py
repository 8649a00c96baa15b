"""mmsdk for LangChain users: ``Embeddings``, ``VectorStore``, ``Retriever`` and plugin tasks as tools.

The other direction, a LangChain chat model as an LLM, is ``mmsdk.llms.langchain``. LangChain has one text
a document, so a vector store keeps each whole; pictures and recordings live in a ``Collection``, which
``Retriever`` takes.
"""

import hashlib
import tempfile
import uuid
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings as LangChainEmbeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import StructuredTool
from langchain_core.vectorstores import VectorStore as LangChainVectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance
from pydantic import BaseModel

from mmsdk.collection import Collection
from mmsdk.errors import UnsupportedModalityError
from mmsdk.protocols import Closing, Encoder
from mmsdk.protocols import Retriever as MmsdkRetriever
from mmsdk.settings import Settings
from mmsdk.types import Audio, Chunk, Content, Filter, Image, Modality, Role, Vectors

PROBE = "The quick brown fox jumps over the lazy dog. 敏捷的棕色狐狸。"


class Embeddings(LangChainEmbeddings):
    """Give an mmsdk encoder to LangChain.

    >>> from mmsdk.testing import HashingEncoder
    >>> len(Embeddings(HashingEncoder()).embed_query("tent")) == HashingEncoder().dimension
    True
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Encode texts that are searched in; one vector of unit norm a text."""
        return self._rows(texts, "document")

    def embed_query(self, text: str) -> list[float]:
        """Encode a text that is searched for; a vector of unit norm."""
        return self._rows([text], "query")[0]

    def embed_images(self, images: Sequence[Image]) -> list[list[float]]:
        """Encode pictures. Raises ``UnsupportedModalityError`` when the encoder takes none."""
        return self._rows(images, "document")

    def embed_audio(self, recordings: Sequence[Audio]) -> list[list[float]]:
        """Encode recordings. Raises ``UnsupportedModalityError`` when the encoder takes none."""
        return self._rows(recordings, "document")

    def _rows(self, contents: Sequence[Content], role: Role) -> list[list[float]]:
        rows: list[list[float]] = self.encoder.encode(contents, role=role).tolist()
        return rows


class FromLangChain:
    """Give LangChain embeddings to mmsdk as an ``Encoder``; the fingerprint is the vector of a fixed text."""

    modalities: frozenset[Modality] = frozenset({"text"})

    def __init__(self, embeddings: LangChainEmbeddings) -> None:
        self.embeddings = embeddings
        model = getattr(embeddings, "model", None) or getattr(embeddings, "model_name", "")
        self.space = f"langchain:{type(embeddings).__name__}:{model}".rstrip(":")

    @cached_property
    def _probe(self) -> list[float]:
        return self.embeddings.embed_query(PROBE)

    @cached_property
    def dimension(self) -> int:
        """The length of a vector."""
        return len(self._probe)

    @cached_property
    def fingerprint(self) -> str:
        """What tells these embeddings from others: their rounded vector of a fixed text."""
        return f"{self.space} {hashlib.sha256(repr(np.round(self._probe, 3).tolist()).encode()).hexdigest()[:16]}"

    def encode(self, inputs: Sequence[Content], *, role: Role = "document") -> Vectors:
        """Encode texts; float32 ``[len(inputs), dimension]``, rows of unit L2 norm."""
        texts = [text for text in inputs if isinstance(text, str)]
        if len(texts) < len(inputs):
            raise UnsupportedModalityError(f"{self.space} takes text only")
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        embed = self.embeddings.embed_documents
        rows = [self.embeddings.embed_query(text) for text in texts] if role == "query" else embed(texts)
        vectors = np.asarray(rows, np.float32)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors


class VectorStore(LangChainVectorStore, Closing):
    """Keep LangChain documents in an mmsdk collection, in a folder or, without ``path``, until it is closed.

    Searches are hybrid (vectors and full text). ``filter`` is an mmsdk ``where``. Scores are in [0, 1].

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
        self.encoder: Encoder = embedding.encoder if isinstance(embedding, Embeddings) else FromLangChain(embedding)
        self._folder = tempfile.TemporaryDirectory(prefix="mmsdk-") if path is None else None
        place = path if self._folder is None else Path(self._folder.name) / "collection"
        base = settings or Settings.load()
        whole = base.model_copy(update={"chunking": base.chunking.model_copy(update={"size": 1 << 30})})
        self.collection = Collection.open(str(place), True, (self.encoder,), settings=whole)

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
        store.add_texts(texts, metadatas, ids=ids)
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
        """Keep texts, each under its id; one of an id that is there is replaced. Gives the ids."""
        del options
        kept = list(texts)
        names = [name or uuid.uuid4().hex for name in ids or [None] * len(kept)]
        return self.collection.add_texts(kept, names, metadatas) if kept else []

    def add_documents(self, documents: list[Document], **options: Any) -> list[str]:
        """Keep documents under their ids, or ``ids``, or new ones. Gives the ids."""
        ids = options.pop("ids", None) or [document.id for document in documents]
        texts = [document.page_content for document in documents]
        return self.add_texts(texts, [document.metadata for document in documents], ids=ids)

    def delete(self, ids: list[str] | None = None, **options: Any) -> bool:
        """Delete documents by id, all without ``ids``; ids that are not there are passed over."""
        where = options.get("filter")
        if ids is None:
            self.collection.delete(where=where or {})
        elif ids:
            self.collection.delete(ids=ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Give the documents with these ids, in order, without the missing ones."""
        return [_document(chunk) for name in ids for chunk in self.collection.get(name)[:1]]

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
        return [(_document(hit.chunk), hit.score) for hit in self.collection.search(query, k, filter)]

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
        vector = np.asarray([embedding], np.float32)
        vector /= max(float(np.linalg.norm(vector)), 1e-12)
        (found,) = self.collection.store.search(self.encoder.space, vector, k, where=filter)
        return [_document(chunk) for chunk in self.collection.store.get([name for name, _ in found])]

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
        found = self.similarity_search(query, fetch_k, filter=filter, **options)
        if not found:
            return []
        vectors = self.encoder.encode([document.page_content for document in found])
        asked = self.encoder.encode([query], role="query")[0]
        chosen = maximal_marginal_relevance(asked, list(vectors), lambda_mult=lambda_mult, k=k)
        return [found[row] for row in chosen]

    def close(self) -> None:
        """Release the collection, and the folder if it was temporary; calling it twice is fine."""
        self.collection.close()
        if self._folder is not None:
            self._folder.cleanup()

    def _select_relevance_score_fn(self) -> Any:
        return float


class Retriever(BaseRetriever):
    """Give any mmsdk retriever, such as a ``Collection``, to LangChain; sources, places and scores are metadata.

    >>> from mmsdk.testing import HashingEncoder
    >>> with Collection.open(tempfile.mkdtemp(), create=True, encoders=[HashingEncoder()]) as shop:
    ...     ids = shop.add_texts(["A tent for two.", "Winter boots."])
    ...     [found.page_content for found in Retriever(retriever=shop, k=1).invoke("boots")]
    ['Winter boots.']
    """

    retriever: Any
    k: int = 4
    where: dict[str, Any] | None = None

    def __init__(self, retriever: MmsdkRetriever, **options: Any) -> None:
        super().__init__(retriever=retriever, **options)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        del run_manager
        hits = self.retriever.retrieve(query, k or self.k, where=self.where)
        return [
            _document(hit.chunk, source=hit.chunk.source, locator=hit.chunk.locator.to_json(), score=hit.score)
            for hit in hits
        ]


class _Task(Protocol):
    @property
    def request(self) -> type[BaseModel]: ...
    @property
    def help(self) -> str: ...


class _App(Protocol):
    @property
    def tasks(self) -> Mapping[str, _Task]: ...
    def run(self, name: str, request: Mapping[str, Any]) -> BaseModel: ...


def tools(app: _App) -> list[StructuredTool]:
    """Give one LangChain tool a plugin task; ``finance.score`` is called ``finance_score`` and gives JSON."""
    return [_tool(app, name, task) for name, task in app.tasks.items()]


def _tool(app: _App, name: str, task: _Task) -> StructuredTool:
    def run(**request: Any) -> Any:
        plain = {key: value.model_dump() if isinstance(value, BaseModel) else value for key, value in request.items()}
        return app.run(name, plain).model_dump(mode="json")

    label = name.replace(".", "_")
    return StructuredTool.from_function(
        run, name=label, description=task.help or name, args_schema=task.request, infer_schema=False
    )


def _document(chunk: Chunk, **more: Any) -> Document:
    return Document(id=chunk.document_id, page_content=chunk.text, metadata={**chunk.metadata, **more})
