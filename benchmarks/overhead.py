"""What ``Collection.search`` costs beside its parts: the encoder and a flat FAISS index, one question at a time.

    python -m benchmarks.overhead [--texts 20000] [--questions 200] [--rounds 3]

The texts and questions of ``benchmarks.peers`` (short). Three ways take turns, question by question, in one process:
``raw`` encodes and asks ``faiss.IndexFlatIP`` for the 10 nearest rows; ``vectors`` encodes, asks the collection's store
for the same 10 and reads their chunks; ``search`` is ``Collection.search``: full text and vectors fused, with traces.
Ratios are of medians, with a 95 % bootstrap interval over questions; ``new_of_raw`` is that of the first round, in
which full text meets most words for the first time.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.__main__ import short
from mmsdk.collection import Collection
from mmsdk.settings import Chunking, Settings

K = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    texts, questions = short(given.texts)
    with tempfile.TemporaryDirectory() as folder:
        whole = Settings(chunking=Chunking(size=20_000))  # a vector a text
        with Collection.open(Path(folder) / "c", create=True, settings=whole) as collection:
            collection.add_texts(list(texts.values()), list(texts))
            took = measured(ways(collection, list(texts)), questions[: given.questions], given.rounds)
    print(json.dumps(summary(took), indent=2))


def ways(collection: Collection, ids: list[str]) -> dict[str, Callable[[str], list[str]]]:
    """Give the three ways; each answers with ids of chunks or rows."""
    import faiss

    encoder, store = collection.encoders[0], collection.store
    names = [chunk.id for chunk in collection.get(ids)]
    rows = store.vectors(encoder.space, names)
    flat = faiss.IndexFlatIP(rows.shape[1])
    flat.add(rows)

    def raw(question: str) -> list[str]:
        found = flat.search(encoder.encode([question], role="query"), K)[1][0]
        return [names[place] for place in found.tolist()]

    def vectors(question: str) -> list[str]:
        found = store.search(encoder.space, encoder.encode([question], role="query"), K)[0]
        return [chunk.id for chunk in store.get([name for name, _ in found])]

    def search(question: str) -> list[str]:
        return [hit.chunk.id for hit in collection.search(question, k=K)]

    return {"raw": raw, "vectors": vectors, "search": search}


def measured(
    ways: dict[str, Callable[[str], list[str]]], questions: list[str], rounds: int
) -> dict[str, np.ndarray[Any, Any]]:
    """Give milliseconds [1 + rounds, questions] of each way; in the first, everything is new."""
    took: dict[str, list[list[float]]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for rows in took.values():
            rows.append([])
        for place, question in enumerate(questions):
            order = list(ways)[(place + turn) % len(ways) :] + list(ways)[: (place + turn) % len(ways)]
            for name in order:
                begun = time.perf_counter()
                ways[name](question)
                took[name][-1].append((time.perf_counter() - begun) * 1000)
    return {name: np.array(rows) for name, rows in took.items()}


def summary(took: dict[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
    """Give medians, p95 and the ratios to ``raw``; of the rounds after the first, a question's least time counts."""
    least = {name: rows[1:].min(axis=0) for name, rows in took.items()}
    new = {name: float(np.median(rows[0])) for name, rows in took.items()}
    random = np.random.default_rng(0)
    draws = random.integers(0, len(least["raw"]), (2000, len(least["raw"])))
    made: dict[str, Any] = {}
    for name, times in least.items():
        ratios = np.median(times[draws], axis=1) / np.median(least["raw"][draws], axis=1)
        made[name] = {
            "median_ms": round(float(np.median(times)), 3),
            "p95_ms": round(float(np.percentile(times, 95)), 3),
            "of_raw": round(float(np.median(times) / np.median(least["raw"])), 3),
            "interval": np.percentile(ratios, [2.5, 97.5]).round(3).tolist(),
            "new_of_raw": round(new[name] / new["raw"], 3),
        }
    return made


if __name__ == "__main__":
    main()
