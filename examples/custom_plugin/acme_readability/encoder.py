"""An encoder over character n-grams: no model, robust against spelling mistakes."""

import zlib
from collections.abc import Sequence

import numpy as np

from mmsdk import Settings
from mmsdk.errors import UnsupportedModalityError
from mmsdk.types import Content, Modality, Role, Vectors


class NgramEncoder:
    """Encode a text by its character n-grams; ``model`` is their length, 3 when none is named.

    >>> vectors = NgramEncoder("2").encode(["tent", "tents"])
    >>> bool(vectors[0] @ vectors[1] > 0.8)
    True
    """

    dimension = 1024
    modalities: frozenset[Modality] = frozenset({"text"})

    def __init__(self, model: str | None = None, *, settings: Settings | None = None) -> None:
        del settings
        self.length = int(model or 3)
        self.space = f"ngrams-{self.length}"
        self.fingerprint = f"{self.space}/{self.dimension}"

    def encode(self, inputs: Sequence[Content], *, role: Role = "document") -> Vectors:
        """Encode ``inputs`` in order; float32 ``[len(inputs), 1024]``, rows of unit L2 norm. Both roles are alike."""
        del role
        if isinstance(inputs, str):
            raise TypeError("encode takes a list of texts, not one text")
        vectors = np.zeros((len(inputs), self.dimension), np.float32)
        for row, text in zip(vectors, inputs, strict=True):
            if not isinstance(text, str):
                raise UnsupportedModalityError(f"{self.space} encodes text, not {text!r}")
            padded = f" {' '.join(text.lower().split())} ".ljust(self.length)
            for start in range(len(padded) - self.length + 1):
                row[zlib.crc32(padded[start : start + self.length].encode()) % self.dimension] += 1
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
