"""Zero-shot classification by the bundled image encoder: pictures against class names, nothing trained.

    python benchmarks/zero_shot_images.py [--data ../shared/data] [--set img_clothing]

Protocol: each picture takes the class whose text vector is nearest; classes are the folder names as they
are, in "a photo of a {}", and as the mean over ten prompts. 95 % intervals by 10,000 bootstrap samples of pictures. The
encoder's recipe and the prompts were chosen on img_cifar10, so figures there are optimistic.
"""

import argparse
import csv
import os
from pathlib import Path

import numpy as np

import mmsdk
from mmsdk.encoders import build
from mmsdk.settings import Settings

PROMPTS = (
    "{}",
    "a photo of a {}",
    "a {}",
    "a picture of a {}",
    "a close-up photo of a {}",
    "an image showing a {}",
    "a photo of one {}",
    "a small photo of a {}",
    "this is a {}",
    "{} in a photo",
)
SHARED = os.environ.get("MMSDK_SHARED_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(SHARED))
    parser.add_argument("--set", default="img_clothing")
    arguments = parser.parse_args()
    folder = arguments.data / arguments.set
    with (folder / "labels.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    text, image, *_ = build(Settings.load())
    labels = sorted({row["label"] for row in rows})
    truth = np.array([labels.index(row["label"]) for row in rows])
    pictures = image.encode([mmsdk.load(folder / row["file"]) for row in rows])
    for name, prompts in (("name", PROMPTS[:1]), ("a photo of a", PROMPTS[1:2]), ("ten prompts", PROMPTS)):
        names = sum(text.encode([prompt.format(label) for label in labels], role="query") for prompt in prompts)
        names = names / np.linalg.norm(names, axis=1, keepdims=True)
        order = np.argsort(-(pictures @ names.T), axis=1)
        for k in (1, 3):
            right = (order[:, :k] == truth[:, None]).any(axis=1)
            low, high = interval(right)
            print(f"{arguments.set} {name:12} top-{k} {right.mean():.3f} [{low:.3f}, {high:.3f}] n={len(right)}")


def interval(right: np.ndarray, samples: int = 10_000) -> tuple[float, float]:
    drawn = np.random.default_rng(0).choice(right, size=(samples, len(right)))
    low, high = np.quantile(drawn.mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
