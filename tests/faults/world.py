"""A small collection whose content is a function of numbers, so that what must be in it can be computed.

Document ``d<n>`` in version ``v`` has two chunks that carry the version; their vectors follow from n, v and
the place. ``differences`` compares a collection with what it should hold, searches included.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmsdk.protocols import Entry
from mmsdk.settings import Indexing, Settings
from mmsdk.stores.local import LocalStore
from mmsdk.types import Chunk, Document, Locator, Vectors

DIMENSION = 16
ENCODERS = [{"space": "s", "dimension": DIMENSION, "fingerprint": "f", "modalities": ["text"]}]
PIECES = 2
Held = Mapping[int, int]
"""Document number to version."""


def opened(folder: Path, **options: Any) -> LocalStore:
    """Open a collection; its folder's name says whether FAISS keeps an index (built in the background) or not."""
    options = {"create": True, **options}
    if "faiss" in str(folder):
        options["settings"] = Settings(store=Indexing(index="Flat"))
    return LocalStore(folder, encoders=ENCODERS, **options)


def vector(number: int, version: int, place: int) -> Vectors:
    chance = np.random.default_rng([number, version, place])
    row = chance.standard_normal(DIMENSION).astype(np.float32)
    return np.asarray(row / np.linalg.norm(row), np.float32)


def entry(number: int, version: int) -> Entry:
    document = Document(f"d{number}", (), f"source {number}", f"v{version}", {"n": number, "version": version})
    chunks = tuple(
        Chunk(
            f"d{number}-{place}",
            document.id,
            text := f"passage {place} of document{number} in version{version}",
            text,
            "text",
            Locator("characters", 0, len(text)),
            document.metadata,
            document.source,
        )
        for place in range(PIECES)
    )
    return Entry(document, chunks, {"s": np.stack([vector(number, version, place) for place in range(PIECES)])})


def put(store: LocalStore, held: Held) -> None:
    store.upsert([entry(number, version) for number, version in held.items()])


def drop(store: LocalStore, numbers: Iterable[int]) -> None:
    store.delete(ids=[f"d{number}" for number in numbers])


def content(store: LocalStore) -> dict[int, int]:
    """Give what the collection says it holds; a document whose chunks disagree raises ``AssertionError``."""
    held = {}
    for name, digest in store.documents().items():
        chunks = store.chunks(name)
        versions = {int(str(chunk.metadata["version"])) for chunk in chunks} | {int(digest[1:])}
        assert len(versions) == 1, f"{name} mixes versions {sorted(versions)}"
        assert len(chunks) == PIECES, f"{name} has {len(chunks)} chunks"
        held[int(name[1:])] = int(digest[1:])
    return held


def differences(store: LocalStore, held: Held, queries: int = 5) -> list[str]:
    """Say where search results differ from brute force over ``held``."""
    names = [f"d{number}-{place}" for number in held for place in range(PIECES)]
    found = [] if store.count() == len(names) else [f"{store.count()} chunks, not {len(names)}"]
    if not held:
        return found
    rows = [vector(number, version, place) for number, version in held.items() for place in range(PIECES)]
    matrix = np.stack(rows).astype(np.float64)
    asked = np.random.default_rng(0).standard_normal((queries, DIMENSION)).astype(np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    k = min(10, len(names))
    for query, row in zip(asked, store.search("s", asked, k), strict=True):
        cosines = matrix @ query
        best = [names[place] for place in np.argsort(-cosines, kind="stable")[:k]]
        if [name for name, _ in row] != best:
            found.append(f"search gave {row}, brute force {best}")
    number = next(iter(held))
    if {name for name, _ in store.search_text(f"document{number}", 9)} != {f"d{number}-{p}" for p in range(PIECES)}:
        found.append(f"full text does not find document {number}")
    return found
