"""Text in pictures by RapidOCR (PP-OCR models on onnxruntime; they come in its wheel).

Reads Latin script, Chinese and Japanese. Knows nothing of documents and pages.
"""

import threading
from collections.abc import Sequence
from functools import cached_property
from statistics import median

import numpy as np
import onnxruntime
import rapidocr
from numpy.typing import NDArray
from rapidocr.utils.output import RapidOCROutput

from mmsdk.errors import DecodeError
from mmsdk.settings import Settings
from mmsdk.types import Box, Image, Locator, Part

CONFIDENCE = 0.7
"""Lines below it are left out: mostly ornaments and scripts the model does not know."""

NARROWEST = 8
"""Largest ratio of the sides of what the engine sees."""

Line = tuple[Box, str]


class RapidOCR:
    """Read the lines of text in pictures, in reading order: columns from the left, lines from the top.

    Pieces of one line (the cells of a table row) are one part, and every part ends with a line feed.

    >>> import numpy as np
    >>> from mmsdk.settings import Settings
    >>> RapidOCR(settings=Settings()).read([Image(np.full((40, 60, 3), 255, np.uint8))])
    [[]]
    """

    def __init__(self, model: str | None = None, *, settings: Settings) -> None:
        if model is not None:
            raise ValueError(f"rapidocr brings its own models and takes none, not {model!r}")
        self.settings = settings
        self._running = threading.Lock()

    def read(self, images: Sequence[Image]) -> list[list[Part]]:
        """Give the lines of each image as parts of kind ``ocr`` with an image box in pixels.

        Raises ``DecodeError`` when the engine cannot work on an image.
        """
        return [[Part(text + "\n", Locator("image", box=box), "ocr") for box, text in self._lines(i)] for i in images]

    def _lines(self, image: Image) -> list[Line]:
        if not image.pixels.size:
            return []
        blue_first = np.ascontiguousarray(_widened(image.pixels)[:, :, ::-1])
        try:
            with self._running:
                found = self._engine(blue_first)
        except (RuntimeError, ValueError, MemoryError) as error:
            raise DecodeError(f"the text of {image} cannot be read: {error}") from error
        if not isinstance(found, RapidOCROutput) or found.boxes is None or found.txts is None or found.scores is None:
            return []
        height, width = image.pixels.shape[:2]
        rows = zip(found.boxes, found.txts, found.scores, strict=True)
        return reading_order(
            [(_box(corners, width, height), text.strip()) for corners, text, score in rows if score >= CONFIDENCE]
        )

    @cached_property
    def _engine(self) -> rapidocr.RapidOCR:
        wanted = self.settings.device == "auto" or self.settings.device.startswith("cuda")
        cuda = wanted and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        return rapidocr.RapidOCR(params={"Global.log_level": "critical", "EngineConfig.onnxruntime.use_cuda": cuda})


def _widened(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pad narrow strips at the right or bottom: the engine scales the short side up, whatever the long one becomes."""
    height, width = pixels.shape[:2]
    least = max(height, width) // NARROWEST
    missing = ((0, max(0, least - height)), (0, max(0, least - width)), (0, 0))
    return np.pad(pixels, missing, mode="edge")


def _box(corners: np.ndarray, width: int, height: int) -> Box:
    """Give the upright rectangle around four corners, inside the picture."""
    left, top = np.clip(corners.min(axis=0), 0, (width, height))
    right, bottom = np.clip(corners.max(axis=0), 0, (width, height))
    return (float(left), float(top), float(right), float(bottom))


def reading_order(lines: Sequence[Line]) -> list[Line]:
    """Order pieces of text as they are read, and join those of one line.

    Lines wider than most of the text that stand alone separate; between two of them, columns of text are read one
    after the other. A column has at least three lines that are clearly wider than high, so that the
    cells of a table stay in their rows.

    >>> reading_order([((60, 0, 90, 10), "9 EUR"), ((0, 1, 40, 11), "Tea"), ((0, 20, 40, 30), "Cups")])
    [((0, 0, 90, 11), 'Tea 9 EUR'), ((0, 20, 40, 30), 'Cups')]
    """
    kept = sorted((line for line in lines if line[1]), key=lambda line: (line[0][1] + line[0][3]) / 2)
    if not kept:
        return []
    extent = max(box[2] for box, _ in kept) - min(box[0] for box, _ in kept)
    ordered: list[Line] = []
    band: list[Line] = []
    for line in kept:
        wide = line[0][2] - line[0][0] > 0.6 * extent
        if wide and not any(_beside(line[0], other[0]) for other in kept):
            ordered += _band(band)
            ordered.append(line)
            band = []
        else:
            band.append(line)
    return ordered + _band(band)


def _band(lines: list[Line]) -> list[Line]:
    return [row for column in _columns(lines) for row in _rows(column)]


def _columns(lines: list[Line]) -> list[list[Line]]:
    """Split at vertical gaps that no line crosses, if what results are columns of text."""
    columns: list[list[Line]] = []
    right = float("-inf")
    for line in sorted(lines, key=lambda line: line[0][0]):
        if not columns or line[0][0] > right:
            columns.append([])
        columns[-1].append(line)
        right = max(right, line[0][2])
    if all(_is_column(column) for column in columns):
        return [sorted(column, key=lambda line: line[0][1] + line[0][3]) for column in columns]
    return [lines]


def _is_column(lines: list[Line]) -> bool:
    shapes = [(right - left) / max(bottom - top, 1.0) for (left, top, right, bottom), _ in lines]
    return len(lines) >= 3 and median(shapes) >= 8


def _rows(lines: list[Line]) -> list[Line]:
    """Join pieces that stand at one height, from the left."""
    rows: list[list[Line]] = []
    for line in lines:
        if rows and _beside(rows[-1][-1][0], line[0]):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [_joined(sorted(row, key=lambda line: line[0][0])) for row in rows]


def _beside(one: Box, other: Box) -> bool:
    shared = min(one[3], other[3]) - max(one[1], other[1])
    apart = other[0] >= one[2] or one[0] >= other[2]
    return apart and shared > 0.5 * min(one[3] - one[1], other[3] - other[1])


def _joined(row: list[Line]) -> Line:
    boxes = [box for box, _ in row]
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return (min(lefts), min(tops), max(rights), max(bottoms)), " ".join(text for _, text in row)
