"""Pictures: one part, decoded to RGB."""

import PIL.Image

from mmsdk.loaders.parsed import Job, Parsed
from mmsdk.media import decode_image, picture_format
from mmsdk.types import Locator, Part

PIL.Image.MAX_IMAGE_PIXELS = None  # decode_image holds limits.pixels; this runs in a worker process


def load(data: bytes, job: Job) -> Parsed:
    """Read a picture (of several frames the first)."""
    image = decode_image(data, pixels=job.limits.pixels)
    height, width = image.pixels.shape[:2]
    metadata = {"format": picture_format(data), "width": width, "height": height}
    return Parsed((Part(image, Locator("image"), "picture"),), metadata)
