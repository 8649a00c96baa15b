"""Text in pictures by RapidOCR (PP-OCR models on onnxruntime; they come in its wheel).

Reads Latin script, Chinese and Japanese. Knows nothing of documents and pages.
"""

import threading
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import onnxruntime
import rapidocr
from numpy.typing import NDArray
from rapidocr.utils.output import RapidOCROutput

from mmsdk.errors import DecodeError
from mmsdk.recognizers.layout import Line, reading_order
from mmsdk.settings import Settings
from mmsdk.types import Box, Image, Locator, Part

CONFIDENCE = 0.7
"""Lines below it are left out: mostly ornaments and scripts the model does not know."""

NARROWEST = 8
"""Largest ratio of the sides of what the engine sees."""


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
