"""PDF: text blocks with page and box, embedded pictures, and pages without text as pictures for OCR.

Boxes are (left, top, right, bottom) in points from the top left corner of the page as it is shown,
turned and cropped. Characters are counted in the text of each page. Blocks keep the order of the
file's content, which is the reading order in what office and typesetting programs write.
"""

import ctypes
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pypdfium2
import pypdfium2.raw as pdfium

from mmsdk.errors import DecodeError
from mmsdk.loaders.parsed import Job, Parsed, Problem, Tiles, problem_of
from mmsdk.loaders.rows import row_text, split_header
from mmsdk.types import JSON, Box, Image, Locator, Part

DPI = 200.0
LEAST_DPI = 100.0
"""Below it OCR reads little; pages beyond ``limits.pixels`` at this resolution are left out and named."""
_POINTS = 72.0
_SMALLEST = 100  # pixels a side; smaller embedded pictures are ornaments
_SCALE = 64.0  # pdfium's device coordinates are whole numbers
_MARKS = {0x00: None, 0x02: "-", 0xFFFE: "-", 0xA0: " "}


@dataclass(frozen=True)
class _Line:
    """Hold a line: the box of its ink, the band (top, bottom) and size of its letters, its text cut at wide gaps."""

    text: str
    box: Box
    band: tuple[float, float]
    size: float
    cells: tuple[str, ...]


@dataclass
class _Page:
    """Hold what was found on one page; ``scanned`` pages are rendered."""

    number: int
    lines: list[_Line] = field(default_factory=list)
    pictures: list[Part] = field(default_factory=list)
    scanned: bool = False
    inches: float = 0.0


def load(data: bytes, job: Job) -> Parsed:
    """Read a PDF. Raises ``DecodeError`` for a damaged, an encrypted or too long one."""
    with closing(_opened(data)) as file:
        count = len(file)
        if count > job.limits.pages:
            raise DecodeError(f"the PDF has {count} pages, more than limits.pages = {job.limits.pages}")
        problems: list[Problem] = []
        budget = _Budget(job.limits.pixels)
        pages = [page for number in range(1, count + 1) if (page := _read(file, number, budget, problems=problems))]
        _render(file, pages, budget, problems=problems)
        metadata: dict[str, JSON] = {"pages": count, **_described(file)}
    body = _body_size(pages)
    parts = [part for page in pages for part in (*_blocks(page, body), *page.pictures)]
    return Parsed(tuple(parts), metadata, tuple(problems))


@dataclass
class _Budget:
    """Count the pixels that may still be taken out of the file."""

    left: int

    def take(self, pixels: int) -> bool:
        """Take them if there are so many."""
        if pixels > self.left:
            return False
        self.left -= pixels
        return True


def _opened(data: bytes) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if pdfium.FPDF_GetLastError() == pdfium.FPDF_ERR_PASSWORD or "password" in str(error).lower():
            raise DecodeError("the PDF is encrypted; save a copy without a password") from error
        raise DecodeError(f"the PDF is damaged: {error}") from error


def _described(file: pypdfium2.PdfDocument) -> dict[str, JSON]:
    said = {key.lower(): value.strip() for key, value in file.get_metadata_dict(skip_empty=True).items()}
    return {key: said[key] for key in ("title", "author", "subject") if said.get(key)}


def _read(file: pypdfium2.PdfDocument, number: int, budget: _Budget, *, problems: list[Problem]) -> _Page | None:
    """Read the text and pictures of one page; a damaged page is named and left out."""
    try:
        with closing(file[number - 1]) as page:
            to_points = _transform(page)
            width, height = page.get_size()
            found = _Page(number, _lines(page, to_points), inches=width * height / _POINTS**2)
            images = list(page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=2))
            boxes = [to_points(image.get_bounds()) for image in images]
            letters = sum(len(line.text.split()) for line in found.lines)
            covered = max((_area(box) for box in boxes), default=0.0) > 0.6 * width * height
            found.scanned = pdfium.FPDFPage_CountObjects(page) > 0 and (letters == 0 or (covered and letters < 10))
            if not found.scanned and not covered:
                found.pictures = list(_pictures(images, boxes, number, budget=budget, problems=problems))
            return found
    except (pypdfium2.PdfiumError, ValueError, OSError) as error:
        problems.append(problem_of(f"page {number}", DecodeError(f"the page is damaged: {error}")))
        return None


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def _around(boxes: list[Box]) -> Box:
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)


def _transform(page: pypdfium2.PdfPage) -> Any:
    """Give a function from a box in the file's coordinates to points from the top left of the page as shown."""
    width, height = page.get_size()
    size = (math.ceil(width * _SCALE), math.ceil(height * _SCALE))

    def shown(x: float, y: float) -> tuple[float, float]:
        left, top = ctypes.c_int(), ctypes.c_int()
        pdfium.FPDF_PageToDevice(page, 0, 0, *size, 0, x, y, left, top)
        return left.value / _SCALE, top.value / _SCALE

    def to_points(box: Sequence[float]) -> Box:
        left, bottom, right, top = box
        (x0, y0), (x1, y1) = shown(left, bottom), shown(right, top)
        x0, x1 = (round(min(max(x, 0.0), width), 2) for x in sorted((x0, x1)))
        y0, y1 = (round(min(max(y, 0.0), height), 2) for y in sorted((y0, y1)))
        return x0, y0, x1, y1

    return to_points


def _lines(page: pypdfium2.PdfPage, to_points: Any) -> list[_Line]:
    """Give the lines of a page as pdfium cuts them; what lies off the page is not seen and left out."""
    lines = []
    with closing(page.get_textpage()) as textpage:
        handle, unit_at = textpage.raw, pdfium.FPDFText_GetUnicode
        units = [unit_at(handle, index) for index in range(textpage.count_chars())]
        start = 0
        for stop, unit in enumerate([*units, 0x0A]):
            if unit in (0x0A, 0x0D):
                line = _line(textpage, units, start=start, stop=stop, to_points=to_points)
                lines += [line] if line else []
                start = stop + 1
    return lines


def _line(textpage: pypdfium2.PdfTextPage, units: list[int], *, start: int, stop: int, to_points: Any) -> _Line | None:
    while start < stop and (units[start] <= 0x20 or units[start] == 0x3000):
        start += 1
    while stop > start and units[stop - 1] in (0x20, 0xA0, 0x3000, 0):
        stop -= 1
    text = _text(units[start:stop])
    if not text.strip():
        return None
    rects = [textpage.get_rect(index) for index in range(textpage.count_rects(start, stop - start))]
    boxes = [to_points(rect) for rect in rects]
    if not any(_area(box) for box in boxes):
        return None
    band = to_points(textpage.get_charbox(start, loose=True))
    size = min(band[2] - band[0], band[3] - band[1]) if text[0] > "\u2e7f" else band[3] - band[1]
    return _Line(text, _around(boxes), (band[1], band[3]), size or 1.0, _cells(textpage, rects, text))


def _cells(textpage: pypdfium2.PdfTextPage, rects: list[Box], text: str) -> tuple[str, ...]:
    """Cut a line where there is room for two letters; it stays whole where the pieces do not give its text."""
    merged: list[list[float]] = []
    for left, bottom, right, top in rects:
        if merged and left - merged[-1][2] < 1.2 * (top - bottom):
            low, high = min(merged[-1][1], bottom), max(merged[-1][3], top)
            merged[-1][1:] = [low, max(merged[-1][2], right), high]
        else:
            merged.append([left, bottom, right, top])
    if len(merged) < 2:
        return (text,)
    cells = tuple(" ".join(textpage.get_text_bounded(*rect).split()) for rect in merged)
    return cells if "".join("".join(cells).split()) == "".join(text.split()) else (text,)


def _text(units: list[int]) -> str:
    """Join code units; surrogate pairs become their character, soft hyphens at a line's end a hyphen."""
    text = "".join(map(chr, units)).translate(_MARKS)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _pictures(
    images: list[Any], boxes: list[Box], number: int, *, budget: _Budget, problems: list[Problem]
) -> Iterator[Part]:
    for image, box in zip(images, boxes, strict=True):
        try:
            width, height = image.get_px_size()
            if min(width, height) < _SMALLEST or _area(box) < _POINTS**2 / 2:
                continue
            if not budget.take(width * height):
                problems.append(Problem(f"page {number}", "a picture exceeds what limits.pixels leaves for the file"))
                continue
            pixels = np.asarray(image.get_bitmap().to_pil().convert("RGB"), np.uint8)
        except (pypdfium2.PdfiumError, ValueError, OSError, NotImplementedError) as error:
            problems.append(problem_of(f"page {number}", DecodeError(f"a picture is damaged: {error}")))
            continue
        yield Part(Image(np.ascontiguousarray(pixels)), Locator("page", number=number, box=box), "picture")


def _render(file: pypdfium2.PdfDocument, pages: list[_Page], budget: _Budget, *, problems: list[Problem]) -> None:
    """Turn scanned pages into pictures, at 200 dpi or what ``limits.pixels`` leaves for all of them."""
    scanned = [page for page in pages if page.scanned]
    inches = sum(page.inches for page in scanned)
    dpi = min(DPI, max(LEAST_DPI, 0.99 * math.sqrt(budget.left / inches))) if inches else DPI
    for found in scanned:
        if not budget.take(math.ceil(found.inches * dpi**2)):
            reason = f"the page has no text and exceeds what limits.pixels leaves for the file at {dpi:.0f} dpi"
            problems.append(Problem(f"page {found.number}", reason))
            continue
        with closing(file[found.number - 1]) as page, closing(page.render(scale=dpi / _POINTS)) as bitmap:
            pixels = np.array(bitmap.to_pil().convert("RGB"), np.uint8)
            width, height = page.get_size()
        locator = Locator("page", number=found.number, box=(0.0, 0.0, round(width, 2), round(height, 2)))
        found.pictures = [Part(Image(pixels), locator, "page")]


def _body_size(pages: list[_Page]) -> float:
    """Give the size in which most of the text is set."""
    sizes = Counter[float]()
    for page in pages:
        for line in page.lines:
            sizes[round(line.size, 1)] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 0.0


def _blocks(page: _Page, body: float) -> tuple[Part, ...]:
    """Join lines to paragraphs and tables, and tile the text of the page with them."""
    tiles = Tiles("page", number=page.number)
    blocks = _grouped(page.lines)
    for block in blocks:
        last = block is blocks[-1]
        if len(block) > 2 and len(block[0].cells) > 1:
            _add_table(tiles, block, last=last)
            continue
        text = "\n".join(line.text for line in block) + ("" if last else "\n\n")
        heading = block[0].size > 1.15 * body and len(text) < 200
        tiles.add(text, "heading" if heading else "paragraph", box=_around([line.box for line in block]))
    return tiles.parts


def _add_table(tiles: Tiles, block: list[_Line], *, last: bool) -> None:
    """Write a table row by row; a row has the box of its line."""
    header, data = split_header([line.cells for line in block])
    lines = block[len(block) - len(data) :]
    for place, (cells, line) in enumerate(zip(data, lines, strict=True), 1):
        ending = "\n" if place < len(data) else "" if last else "\n\n"
        tiles.add(row_text(header, cells) + ending, "row", box=line.box)


def _grouped(lines: list[_Line]) -> list[list[_Line]]:
    """Gather the lines of each paragraph, and those of each table (as many cells in every line)."""
    blocks: list[list[_Line]] = []
    for line in lines:
        if blocks and _continues(blocks[-1][-1], line):
            blocks[-1].append(line)
        else:
            blocks.append([line])
    return blocks


def _continues(above: _Line, below: _Line) -> bool:
    """Tell whether a line goes on in the paragraph or table of the one above it."""
    gap = below.band[0] - above.band[1]
    overlap = min(above.box[2], below.box[2]) - max(above.box[0], below.box[0])
    alike = abs(above.size - below.size) <= 0.1 * max(above.size, below.size)
    tabular = len(above.cells) == len(below.cells) > 1
    near = -0.5 * above.size < gap < (2.0 if tabular else 0.7) * above.size
    return near and overlap > 0 and (tabular or (alike and len(above.cells) == len(below.cells)))
