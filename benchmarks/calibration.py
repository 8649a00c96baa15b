"""Measure the cosines that related and unrelated things have, by modality of query and content.

    python -m benchmarks.calibration

Gives the constants of ``mmsdk.fusion.SCALES``: a cosine between a text and a picture, or two pictures,
is mapped so that the median unrelated pair and the median related pair score what they score for a text
question and texts. Texts: CISI (judged pairs). Pictures: ``img_cifar10``, classes and their names. No set
that figures are reported on is used.
"""

import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval import DATA, cisi
from mmsdk import encoders
from mmsdk.collection import Collection
from mmsdk.loaders import load
from mmsdk.settings import Settings
from mmsdk.types import Image

PER_CLASS = 15


def main() -> None:
    unrelated, related = text_scores()
    print(f"text, text: fused score of unrelated {unrelated:.3f}, of related {related:.3f} (medians)")
    for pair, (low, high) in picture_cosines().items():
        zero = low - unrelated * (high - low) / (related - unrelated)
        one = zero + (high - low) / (related - unrelated)
        print(f"{pair}: cosine of unrelated {low:.3f}, of related {high:.3f} (medians) -> ({zero:.3f}, {one:.3f})")


def text_scores() -> tuple[float, float]:
    """Give the median fused score of CISI's candidates that are judged relevant, and of the others."""
    task = cisi()
    with tempfile.TemporaryDirectory() as folder, Collection.open(folder, True, settings=Settings()) as collection:
        collection.add_texts(list(task.texts.values()), ids=list(task.texts))
        found = collection.search_many(list(task.queries.values()), k=len(collection))
    related: list[float] = []
    unrelated: list[float] = []
    for query, hits in zip(task.queries, found, strict=True):
        for hit in hits:
            chosen = related if task.judged[query].get(hit.chunk.document_id) else unrelated
            chosen.append(hit.score)
    return float(np.median(unrelated)), float(np.median(related))


def picture_cosines() -> dict[str, tuple[float, float]]:
    """Give the median cosines of unrelated and related pairs."""
    files: dict[str, list[Path]] = defaultdict(list)
    for file in sorted((DATA / "img_cifar10").glob("*.jpg")):
        files[file.stem.partition("_")[0]].append(file)
    chosen = [(place, file) for place, named in enumerate(files.values()) for file in named[:PER_CLASS]]
    images = [image for _, file in chosen if isinstance(image := load(file), Image)]
    classes = np.array([place for place, _ in chosen])
    text, picture, *_ = encoders.build(Settings())
    names = text.encode(list(files), role="query")
    shown = picture.encode(images)
    across = names @ shown.T
    same = np.arange(len(files))[:, None] == classes[None, :]
    between = shown @ shown.T
    alike = (classes[:, None] == classes[None, :]) & ~np.eye(len(classes), dtype=bool)
    return {"text, image": _medians(across, same), "image, image": _medians(between, alike)}


def _medians(cosines: NDArray[np.float32], related: NDArray[np.bool_]) -> tuple[float, float]:
    return float(np.median(cosines[~related])), float(np.median(cosines[related]))


if __name__ == "__main__":
    main()
