"""Fit the scales that hold for the bundled encoders where a collection recorded none.

    python -m benchmarks.calibration

Gives the constants of ``mmsdk.fusion.SCALES``. From text to pictures and recordings they are fitted by
``mmsdk.calibration.from_pairs`` on a mixed development set: CISI's texts and judged questions; ``img_cifar10``, 15
pictures a class asked for by the name of the class; and, in place of recordings, of which there is no second set,
short answers of ``cs_dstc9_kb`` asked for by their questions. From pictures they are medians: unrelated and related
pictures score what unrelated and related texts do. No set that figures are reported on is used.
"""

import json
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import retrieval
from benchmarks.retrieval import DATA, cisi
from mmsdk import calibration, encoders
from mmsdk.collection import Collection
from mmsdk.fusion import Scales
from mmsdk.ingestion import encode
from mmsdk.loaders import load
from mmsdk.protocols import Entry
from mmsdk.search import CANDIDATES, Search
from mmsdk.settings import Settings
from mmsdk.types import Chunk, Document, Image, Locator

PER_CLASS = 15
PHRASES = ("{}", "a photo of a {}")
UNRELATED, RELATED = 0.206, 0.375
"""Median fused scores of CISI's texts; they were measured with all chunks as candidates."""


def main() -> None:
    pictures = classes()
    with tempfile.TemporaryDirectory() as folder, Collection.open(folder, True, settings=Settings()) as collection:
        task, answers = cisi(), faq()
        retrieval.put(collection, task)
        put(collection, pictures, answers)
        pairs = [(question, list(task.judged[query])) for query, question in task.queries.items()]
        pairs += [(question, [f"faq {number}"]) for number, (question, _) in enumerate(answers)]
        pairs += [
            (phrase.format(name), [f"{name} {number}" for number in range(PER_CLASS)])
            for name in pictures
            for phrase in PHRASES
        ]
        space = collection.encoders[0].space
        start: Scales = {(space, "text", "audio"): (0.0, 1.0), (space, "text", "image"): (-0.146, 0.654)}
        questions = labelled(collection, pairs)
        for (_, query, item), (low, high) in calibration.from_pairs(questions, start).items():
            print(f"{query}, {item}: ({low:.3f}, {high:.3f})")
        for name, (low, high) in picture_cosines(pictures).items():
            zero = low - UNRELATED * (high - low) / (RELATED - UNRELATED)
            one = zero + (high - low) / (RELATED - UNRELATED)
            print(f"{name}: unrelated {low:.3f}, related {high:.3f} (medians) -> ({zero:.3f}, {one:.3f})")


def classes() -> dict[str, list[Image]]:
    """Read pictures by class."""
    files: dict[str, list[Path]] = defaultdict(list)
    for file in sorted((DATA / "img_cifar10").glob("*.jpg")):
        files[file.stem.partition("_")[0]].append(file)
    return {
        name: [image for file in named[:PER_CLASS] if isinstance(image := load(file), Image)]
        for name, named in files.items()
    }


def faq() -> list[tuple[str, str]]:
    """Read a dozen questions with different answers of three places of every domain."""
    found: dict[str, str] = {}
    for places in json.loads((DATA / "cs_dstc9_kb" / "knowledge.json").read_text("utf-8")).values():
        for place in list(places.values())[:3]:
            for entry in list(place["docs"].values())[:12]:
                found.setdefault(entry["body"], entry["title"])
    return [(question, answer) for answer, question in found.items()]


def put(collection: Collection, pictures: dict[str, list[Image]], answers: list[tuple[str, str]]) -> None:
    """Store pictures, and answers as if they had been said."""
    chunks = [
        Chunk(f"{name} {number}", f"{name} {number}", image, "", "image", Locator("image"))
        for name, images in pictures.items()
        for number, image in enumerate(images)
    ]
    for number, (_, answer) in enumerate(answers):
        name = f"faq {number}"
        chunks.append(Chunk(name, name, answer, answer, "audio", Locator("seconds", 0.0, 1.0)))
    vectors = encode(chunks, collection.encoders)
    collection.store.upsert(
        [
            Entry(
                Document(chunk.id, (), chunk.id, chunk.id),
                (chunk,),
                {space: rows[row : row + 1] for space, rows in vectors.items()},
            )
            for row, chunk in enumerate(chunks)
        ]
    )


def labelled(collection: Collection, pairs: list[tuple[str, list[str]]]) -> list[calibration.Question]:
    """Ask the questions."""
    search = Search(collection.store, collection.encoders, settings=collection.settings)
    lists = search.rankings([[question] for question, _ in pairs], CANDIDATES, where=None)
    asked = []
    for rankings, (_, ids) in zip(lists, pairs, strict=True):
        names = list({name for ranking in rankings for name, _ in ranking.found})
        relevant = frozenset(chunk.id for chunk in collection.get(ids))
        asked.append(calibration.Question(rankings, dict(collection.store.modalities(names)), relevant))
    return asked


def picture_cosines(pictures: dict[str, list[Image]]) -> dict[str, tuple[float, float]]:
    """Give the median cosines of unrelated and related pairs."""
    text, picture, *_ = encoders.build(Settings())
    names = text.encode(list(pictures), role="query")
    shown = picture.encode([image for images in pictures.values() for image in images])
    owners = np.repeat(np.arange(len(pictures)), [len(images) for images in pictures.values()])
    same = np.arange(len(pictures))[:, None] == owners[None, :]
    alike = (owners[:, None] == owners[None, :]) & ~np.eye(len(owners), dtype=bool)
    return {"image, text": _medians(names @ shown.T, same), "image, image": _medians(shown @ shown.T, alike)}


def _medians(cosines: NDArray[np.float32], related: NDArray[np.bool_]) -> tuple[float, float]:
    return float(np.median(cosines[~related])), float(np.median(cosines[related]))


if __name__ == "__main__":
    main()
