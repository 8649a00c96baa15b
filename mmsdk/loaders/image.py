"""Pictures: one part, decoded to RGB; of a TIFF a part a page."""

import PIL.Image

from mmsdk.errors import DecodeError
from mmsdk.loaders.parsed import Job, Parsed, Problem, problem_of
from mmsdk.media import decode_image, page_numbers, picture_format
from mmsdk.types import Image, Locator, Part

PIL.Image.MAX_IMAGE_PIXELS = None  # decode_image holds limits.pixels; this runs in a worker process


def load(data: bytes, job: Job) -> Parsed:
    """Read a picture: the pages of a TIFF, of other pictures the first frame.

    A damaged page is named and left out, and so are the pages from where all have more than ``limits.pixels`` pixels.
    """
    first = decode_image(data, pixels=job.limits.pixels)
    try:
        frames = page_numbers(data)
        problems = []
    except DecodeError as error:
        frames, problems = [0], [problem_of("later pages", error)]
    many = len(frames) > 1
    parts = [_part(first, 1 if many else None)]
    left = job.limits.pixels - first.pixels[..., 0].size
    for number, frame in enumerate(frames[1:], 2):
        if left <= 0:
            reason = f"the pages before it have limits.pixels = {job.limits.pixels} pixels"
            problems.append(Problem(f"page {number} and later", reason))
            break
        try:
            page = decode_image(data, pixels=left, frame=frame)
        except DecodeError as error:
            problems.append(problem_of(f"page {number}", error))
            continue
        left -= page.pixels[..., 0].size
        parts.append(_part(page, number))
    height, width = first.pixels.shape[:2]
    metadata = {"format": picture_format(data), "width": width, "height": height}
    if many:
        metadata["pages"] = len(frames)
    return Parsed(tuple(parts), metadata, tuple(problems))


def _part(image: Image, number: int | None) -> Part:
    return Part(image, Locator("image", number=number), "picture")
