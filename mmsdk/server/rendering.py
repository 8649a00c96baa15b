"""Draw a page or a picture with the cited box on it, in a process of its own with limits.

``python -m mmsdk.server.rendering KIND FILE NUMBER BOX`` writes a PNG to standard output. Files come from
strangers, so the server does not decode them itself.
"""

import io
import subprocess
import sys
from pathlib import Path

from mmsdk.errors import DecodeError
from mmsdk.settings import Limits
from mmsdk.types import Locator

_SCALE = 1.5
"""Pixels a point of a page: 108 DPI."""
_WIDEST = 1600
_COLOUR = (255, 176, 0)
_PAGE_POINTS = 5000


def render(file: Path, locator: Locator, limits: Limits) -> bytes:
    """Give a PNG of the page or picture that a locator points into, its box marked. Raises ``DecodeError``."""
    box = ",".join(f"{side:.2f}" for side in locator.box or ())
    command = [
        sys.executable,
        "-m",
        __name__,
        locator.kind,
        str(file),
        str(locator.number or 1),
        box,
        str(limits.memory_mb),
    ]
    try:
        done = subprocess.run(command, capture_output=True, timeout=limits.seconds, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise DecodeError(f"drawing took more than limits.seconds = {limits.seconds:g}") from error
    if done.returncode or not done.stdout.startswith(b"\x89PNG"):
        raise DecodeError("the page cannot be drawn: the file is damaged or of another kind")
    return done.stdout


def _draw(kind: str, file: Path, number: int, box: tuple[float, ...]) -> bytes:
    import PIL.Image
    import PIL.ImageDraw

    if kind == "page":
        import pypdfium2

        page = pypdfium2.PdfDocument(file)[number - 1]
        if max(page.get_size()) > _PAGE_POINTS:
            raise ValueError("the page is too large")
        picture, scale = page.render(scale=_SCALE).to_pil().convert("RGB"), _SCALE
    else:
        from mmsdk.media import decode_image

        picture, scale = PIL.Image.fromarray(decode_image(file.read_bytes()).pixels), 1.0
    ratio = min(1.0, _WIDEST / max(picture.size))
    picture = picture.resize((max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio))))
    if len(box) == 4:
        left, top, right, bottom = (side * scale * ratio for side in box)
        shade = PIL.Image.new("RGBA", picture.size, (0, 0, 0, 0))
        draw = PIL.ImageDraw.Draw(shade)
        draw.rectangle(
            (left - 3, top - 3, right + 3, bottom + 3), fill=(*_COLOUR, 56), outline=(*_COLOUR, 255), width=3
        )
        picture = PIL.Image.alpha_composite(picture.convert("RGBA"), shade).convert("RGB")
    picture.save(out := io.BytesIO(), "PNG")
    return out.getvalue()


def main(arguments: list[str]) -> int:
    """Draw what the arguments say."""
    import resource

    kind, file, number, box, megabytes = arguments
    resource.setrlimit(resource.RLIMIT_AS, (int(megabytes) << 20, int(megabytes) << 20))
    sides = tuple(float(side) for side in box.split(",")) if box else ()
    sys.stdout.buffer.write(_draw(kind, Path(file), int(number), sides))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
