"""Pictures as small blobs, so that hits show them and reindexing needs no sources.

The longer side is at most 768 pixels. PNG where it is the smaller one (drawings, screenshots), JPEG
of quality 90 otherwise. Nothing here knows of databases.
"""

import io
from typing import Any

import numpy as np

from mmsdk.errors import CorruptionError
from mmsdk.types import Image

SIDE = 768


def packed(image: Image) -> bytes:
    """Give the picture as PNG or JPEG bytes."""
    from PIL import Image as pillow  # noqa: N813

    picture = pillow.fromarray(image.pixels)
    if max(picture.size) > SIDE:
        picture.thumbnail((SIDE, SIDE), pillow.Resampling.LANCZOS)
    return min(_saved(picture, "PNG"), _saved(picture, "JPEG", quality=90, subsampling=0), key=len)


def unpacked(blob: bytes) -> Image:
    """Read what ``packed`` gave. Raises ``CorruptionError``."""
    from PIL import Image as pillow  # noqa: N813
    from PIL import UnidentifiedImageError

    try:
        with pillow.open(io.BytesIO(blob), formats=["PNG", "JPEG"]) as picture:
            return Image(np.array(picture.convert("RGB")))
    except (OSError, SyntaxError, UnidentifiedImageError) as error:
        raise CorruptionError(f"a stored picture is damaged: {error}") from error


def _saved(picture: Any, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()
