"""What an encoder, a scorer, a recognizer, an LLM, a retriever and a store must offer.

Nothing has to inherit from these protocols. ``mmsdk.testing`` has a suite for each that checks an
implementation; the values they exchange are in ``mmsdk.types``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mmsdk.types import (
    JSON,
    Audio,
    Chunk,
    Content,
    Delta,
    Document,
    Filter,
    Hit,
    Image,
    Message,
    Modality,
    Part,
    Query,
    Role,
    Transcript,
    Vectors,
)


@runtime_checkable
class Encoder(Protocol):
    """Turn contents into vectors of one space."""

    @property
    def space(self) -> str:
        """The name of the space; vectors are compared within one."""
        ...

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        ...

    @property
    def modalities(self) -> frozenset[Modality]:
        """What it takes."""
        ...

    @property
    def fingerprint(self) -> str:
        """What vectors depend on: model, revision, normalisation, preprocessing."""
        ...

    def encode(self, inputs: Sequence[Content], *, role: Role = "document") -> Vectors:
        """Encode ``inputs`` in order; float32 ``[len(inputs), dimension]``, rows of unit L2 norm."""
        ...


@runtime_checkable
class PairScorer(Protocol):
    """Score pairs of texts by reading both together."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Score pairs of a question and a text in order; float32 ``[len(pairs)]``, higher for a better match."""
        ...


@runtime_checkable
class TextReader(Protocol):
    """Read the text in pictures (OCR)."""

    def read(self, images: Sequence[Image]) -> list[list[Part]]:
        """Give the lines of each image as parts of kind ``ocr`` with an image box in pixels."""
        ...


@runtime_checkable
class Transcriber(Protocol):
    """Write down what is said in recordings."""

    def transcribe(self, recordings: Sequence[Audio]) -> list[Transcript]:
        """Give one transcript a recording, in order."""
        ...


@runtime_checkable
class LLM(Protocol):
    """Generate text from messages."""

    @property
    def context(self) -> int:
        """Tokens that prompt and reply may have together."""
        ...

    @property
    def modalities(self) -> frozenset[Modality]:
        """What messages may hold."""
        ...

    def generate(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int = 512,
        seed: int = 0,
        temperature: float = 0.0,
        schema: Mapping[str, Any] | None = None,
        stop: Sequence[str] = (),
    ) -> Iterator[Delta]:
        """Stream the reply; ``schema`` (JSON Schema) constrains it. Closing the iterator cancels generation."""
        ...


@runtime_checkable
class Retriever(Protocol):
    """Find what is near a query."""

    def retrieve(self, query: Query, k: int = 8, *, where: Filter | None = None) -> list[Hit]:
        """Give at most ``k`` hits, best first."""
        ...


@dataclass(frozen=True)
class Entry:
    """Hold what a store keeps of one document: the document (its parts are not kept), its chunks and their vectors.

    ``vectors`` has one row a chunk and space: space name to float32 ``[len(chunks), dimension]``; a row
    of NaN says that the chunk has no vector in that space.
    """

    document: Document
    chunks: tuple[Chunk, ...]
    vectors: Mapping[str, Vectors]


@runtime_checkable
class Store(Protocol):
    """Keep documents, chunks and vectors, and find them. All changes of one call happen together or not at all.

    A store may have ``snapshot()``, a context within which everything that a thread reads is of one state.
    """

    def upsert(self, entries: Sequence[Entry]) -> None:
        """Put documents in place of those with the same id; durable on return."""
        ...

    def delete(self, *, ids: Iterable[str] | None = None, where: Filter | None = None) -> int:
        """Delete documents by document id or the chunks a filter matches; give the number of chunks gone."""
        ...

    def get(self, ids: Sequence[str]) -> list[Chunk]:
        """Give the chunks with these ids, in order, without the missing ones."""
        ...

    def chunks(self, document_id: str) -> list[Chunk]:
        """Give the chunks of one document, in order."""
        ...

    def kinds(self, space: str) -> tuple[Modality, ...]:
        """Give the kinds of content (text, image) that a space keeps vectors of."""
        ...

    def documents(self, *, source: str | None = None) -> Mapping[str, str]:
        """Give document id to digest, for all documents or those of one source."""
        ...

    def update(self, document_id: str, metadata: Mapping[str, Any]) -> int:
        """Put these keys into the metadata of a document and its chunks; give the number of chunks changed."""
        ...

    def reindex(
        self, encoders: Sequence[Mapping[str, Any]], encode: Callable[[Sequence[Chunk]], Mapping[str, Vectors]]
    ) -> int:
        """Replace every vector by those of other encoders, at the last moment; give the number of chunks."""
        ...

    def search(
        self, space: str, vectors: Vectors, k: int, *, where: Filter | None = None, kind: Modality | None = None
    ) -> list[list[tuple[str, float]]]:
        """Give for each query row the ``k`` nearest (chunk id, cosine), best first; ``kind`` is that of the content."""
        ...

    def search_text(self, query: str, k: int, *, where: Filter | None = None) -> list[tuple[str, float]]:
        """Give the ``k`` best (chunk id, BM25 score, higher is better) by full text."""
        ...

    def vectors(self, space: str, ids: Sequence[str]) -> Vectors:
        """Give the vectors of chunks in a space, in order; a row of NaN where there is none."""
        ...

    def modalities(self, ids: Sequence[str]) -> Mapping[str, Modality]:
        """Give chunk id to modality, without the missing ones."""
        ...

    def note(self, name: str, value: JSON) -> None:
        """Keep a small fact about the collection, such as its calibration, beside the data; durable on return."""
        ...

    def noted(self, name: str) -> JSON:
        """Give what was noted under a name, ``None`` when nothing was."""
        ...

    def count(self, where: Filter | None = None) -> int:
        """Count chunks."""
        ...

    def info(self) -> dict[str, Any]:
        """Describe sizes, spaces and the index."""
        ...

    def verify(self) -> list[str]:
        """Name everything that is damaged; an empty list says that all is well."""
        ...

    def repair(self) -> dict[str, Any]:
        """Build anew what is derived; say what was wrong, what is lost and what is left."""
        ...

    def backup(self, path: str | Path) -> dict[str, Any]:
        """Copy everything as it is now to a new folder, while it is used; say what is in the copy."""
        ...

    def close(self) -> None:
        """Release files and locks; calling it twice is fine."""
        ...


class Closing:
    """Give a class with ``close`` the ``with`` statement."""

    def close(self) -> None:
        """Release what is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
