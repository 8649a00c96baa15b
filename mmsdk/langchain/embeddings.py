"""Encoders as LangChain embeddings, and LangChain embeddings as encoders."""

import hashlib
import os
from collections.abc import Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np
from langchain_core.embeddings import Embeddings as LangChainEmbeddings

from mmsdk import encoders, loaders
from mmsdk.errors import UnsupportedModalityError
from mmsdk.protocols import Encoder
from mmsdk.settings import Settings
from mmsdk.types import Audio, Content, Image, Modality, Role, Vectors
from mmsdk.weights import model_name

PROBE = "The quick brown fox jumps over the lazy dog. 敏捷的棕色狐狸。"
_Medium = TypeVar("_Medium", Image, Audio)


class Embeddings(LangChainEmbeddings):
    """Give an mmsdk encoder to LangChain: an object, a name such as ``open_clip:ViT-B-32``, or the settings' for text.

    >>> from mmsdk.testing import HashingEncoder
    >>> len(Embeddings(HashingEncoder()).embed_query("tent")) == HashingEncoder().dimension
    True
    """

    def __init__(self, encoder: Encoder | str | None = None, *, settings: Settings | None = None) -> None:
        if encoder is None or isinstance(encoder, str):
            chosen = settings or Settings.load()
            encoder = encoders.shared(encoder or model_name("text", chosen), chosen)
        self.encoder = encoder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Encode texts that are searched in; one vector of unit norm a text."""
        return self._rows(texts, "document")

    def embed_query(self, text: str) -> list[float]:
        """Encode a text that is searched for; a vector of unit norm."""
        return self._rows([text], "query")[0]

    def embed_images(self, images: Sequence[Image | str | os.PathLike[str]]) -> list[list[float]]:
        """Encode pictures, or the files or addresses of pictures; one vector of unit norm each.

        Raises ``UnsupportedModalityError`` when one is no picture or the encoder takes none.
        """
        return self._rows([_loaded(image, Image) for image in images], "document")

    def embed_audio(self, recordings: Sequence[Audio | str | os.PathLike[str]]) -> list[list[float]]:
        """Encode recordings, or the files or addresses of recordings; one vector of unit norm each.

        Raises ``UnsupportedModalityError`` when one is no recording or the encoder takes none.
        """
        return self._rows([_loaded(recording, Audio) for recording in recordings], "document")

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
        """Encode texts; float32 ``[len(inputs), dimension]``, rows of unit L2 norm.

        Raises ``UnsupportedModalityError`` for anything but text.
        """
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


def encoder_of(embedding: LangChainEmbeddings) -> Encoder:
    """Give LangChain embeddings as an encoder; those that wrap an mmsdk encoder give that."""
    return embedding.encoder if isinstance(embedding, Embeddings) else FromLangChain(embedding)


def _loaded(given: _Medium | str | os.PathLike[str], kind: type[_Medium]) -> _Medium:
    content = given if isinstance(given, Image | Audio) else loaders.load(given)
    if not isinstance(content, kind):
        raise UnsupportedModalityError(f"{given} is {content!r}, not one of {kind.__name__}")
    return content
