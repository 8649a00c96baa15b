"""A collection with an encoder of your own: whatever has these four attributes and ``encode`` is one.

This one hashes character trigrams, so it finds words that are written alike, misspelt ones too.
"""

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from mmsdk import Collection
from mmsdk.errors import UnsupportedModalityError
from mmsdk.types import Content, Modality, Role, Vectors


class Trigrams:
    """Count the character trigrams of a text, hashed into ``dimension`` places."""

    space = "trigrams"
    dimension = 1024
    modalities: frozenset[Modality] = frozenset({"text"})
    fingerprint = "trigrams-crc32-1024"

    def encode(self, inputs: Sequence[Content], *, role: Role = "document") -> Vectors:
        if isinstance(inputs, str):
            raise TypeError("encode takes a list of texts, not one text")
        vectors = np.zeros((len(inputs), self.dimension), np.float32)
        for vector, text in zip(vectors, inputs, strict=True):
            if not isinstance(text, str):
                raise UnsupportedModalityError(f"trigrams are of text, not of {text!r}")
            padded = f"  {text.lower()} "
            for start in range(len(padded) - 2):
                vector[crc32(padded[start : start + 3].encode()) % self.dimension] += 1
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


if __name__ == "__main__":
    with Collection.open("trigram-collection", create=True, encoders=[Trigrams()]) as collection:
        texts = ["Waterproof trousers", "Climbing rope, 60 metres", "Thermos flask"]
        collection.add_texts(texts, ids=["trousers", "rope", "flask"])
        for hit in collection.search("watreproof trowsers", k=1):
            print(f"{hit.score:.2f} {hit.chunk.text}")
