"""Measure which product of a catalogue the agent names for a photo: shared/data/img_clothing, ten classes.

    python -m benchmarks.service_photos FOLDER

Half of each class's photos (by file name, seed 0) chooses, the other half measures. A catalogue holds one photo of each
class; photos that somebody took of the product are its photo cropped, turned, darker and compressed (wrong is any other
product); other garments are what the shop does not have: no name is right, the product of its class is said apart.
``FOLDER`` is a new folder for the collection.
"""

import argparse
import io
import os
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as Pillow
from PIL import ImageEnhance

from mmsdk import Collection, Image, evaluation, load

CATALOGUES = 40


@dataclass(frozen=True)
class Shot:
    """Hold a photo as asked with: what it shows, and its score with each photo of the collection."""

    name: str
    altered: bool
    scores: Mapping[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    folder = Path(os.environ.get("MMSDK_SHARED_DATA", "../shared/data")) / "img_clothing"
    photos = {path.name: path.parent.name for path in sorted(folder.glob("*/*")) if path.suffix in (".jpg", ".png")}
    with Collection.open(parser.parse_args().folder, create=True) as collection:
        collection.add([path for path in sorted(folder.glob("*/*")) if path.name in photos])
        shots = list(asked(collection, [folder / kind / name for name, kind in photos.items()]))
    halves = halved(photos)
    for name, half in zip(("choosing", "measuring"), halves, strict=True):
        own = [shot for shot in shots if shot.name in half]
        for same, ahead in ((0.85, 0.17), (0.9, 0.17), (0.9, 0.25), (0.9, 0.3), (0.95, 0.3), (2.0, 0.17), (2.0, 0.25)):
            print(f"{name} {same:.2f} {ahead:.2f}", *tallied(own, photos, half, same=same, ahead=ahead))


def asked(collection: Collection, paths: Sequence[Path]) -> Iterator[Shot]:
    """Ask with each photo as it is and altered."""
    for path in paths:
        for number, data in enumerate([path.read_bytes(), *altered(path)]):
            image = load(data)
            assert isinstance(image, Image)
            hits = collection.retrieve([image], len(paths))
            yield Shot(path.name, number > 0, {Path(hit.chunk.source).name: hit.score for hit in hits})


def altered(path: Path) -> Iterator[bytes]:
    """Give a photo as somebody else would take it: nearer and turned; darker; small, compressed and from the side."""
    with Pillow.open(path) as opened:
        image = opened.convert("RGB")
    width, height = image.size
    cut = image.crop((width // 8, height // 8, width * 7 // 8, height * 7 // 8))
    dark = ImageEnhance.Brightness(image.crop((0, height // 10, width * 9 // 10, height))).enhance(0.6)
    small = image.rotate(-12, fillcolor=(120, 110, 100)).resize((max(64, width // 3), max(64, height // 4)))
    for made, quality in ((cut.rotate(6, fillcolor=(200, 200, 200)), 70), (dark, 50), (small, 40)):
        written = io.BytesIO()
        made.save(written, "JPEG", quality=quality)
        yield written.getvalue()


def halved(photos: Mapping[str, str]) -> tuple[set[str], set[str]]:
    classes = defaultdict[str, list[str]](list)
    for name, kind in sorted(photos.items()):
        classes[kind].append(name)
    first: set[str] = set()
    for names in classes.values():
        random.Random(0).shuffle(names)
        first |= set(names[: len(names) // 2])
    return first, set(photos) - first


def tallied(
    shots: Sequence[Shot], photos: Mapping[str, str], half: set[str], *, same: float, ahead: float
) -> tuple[str, ...]:
    """Say the shares over catalogues: own photos altered (right, wrong), and others (named, of the right class)."""
    right, wrong, named, kin = [], [], [], []
    for seed in range(CATALOGUES):
        chosen = random.Random(seed)
        kinds = defaultdict[str, list[str]](list)
        for name in sorted(half):
            kinds[photos[name]].append(name)
        shelf = {chosen.choice(names) for names in kinds.values()}
        for shot in shots:
            best = sorted(((score, name) for name, score in shot.scores.items() if name in shelf), reverse=True)
            (top, name), (second, _) = best[0], best[1]
            is_said = top >= 0.5 and (top >= same or top - second >= ahead)
            if shot.name in shelf and shot.altered:
                right.append(float(is_said and name == shot.name))
                wrong.append(float(is_said and name != shot.name))
            elif shot.name not in shelf and not shot.altered:
                named.append(float(is_said))
                kin += [float(photos[name] == photos[shot.name])] if is_said else []
    return (
        f"own altered, of {len(right)}: right {evaluation.mean(right)}, wrong {evaluation.mean(wrong)};",
        f"others, of {len(named)}: named {evaluation.mean(named)}, of these its class {evaluation.mean(kin or [1.0])}",
    )


if __name__ == "__main__":
    main()
