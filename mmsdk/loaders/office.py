"""Word and PowerPoint files: text, tables, lists and pictures in the order in which they stand."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import docx
import pptx
from docx.oxml import parse_xml
from docx.oxml.ns import qn
from pptx.enum.shapes import MSO_SHAPE_TYPE

from mmsdk.errors import DecodeError, MmsdkError
from mmsdk.loaders import archive
from mmsdk.loaders.parsed import Job, Parsed, Problem, Tiles, problem_of
from mmsdk.loaders.rows import table_lines
from mmsdk.media import decode_image
from mmsdk.types import JSON, Locator, Part

_CONTAINERS = tuple(
    qn(name) for name in ("w:sdt", "w:sdtContent", "w:ins", "w:moveTo", "w:customXml", "w:smartTag", "w:body")
)
_NOTES = {qn("w:footnoteReference"): qn("w:footnote"), qn("w:endnoteReference"): qn("w:endnote")}
_BREAKS = {qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:tab"): "\t", qn("w:noBreakHyphen"): "-"}
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_SMALLEST = 48  # pixels a side; smaller pictures are bullets and ornaments


@dataclass
class _Pictures:
    """Gather the pictures of a file within ``limits.pixels``."""

    pixels: int
    parts: list[Part] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    count: int = 0

    def add(self, data: bytes, slide: int | None = None) -> None:
        """Decode one; what cannot be decoded is named."""
        self.count += 1
        try:
            image = decode_image(data, pixels=self.pixels)
        except MmsdkError as error:
            self.problems.append(problem_of(f"picture {self.count}", error))
            return
        height, width = image.pixels.shape[:2]
        if min(height, width) < _SMALLEST:
            return
        self.pixels -= height * width
        locator = Locator("slide", number=slide) if slide else Locator("image", number=self.count)
        self.parts.append(Part(image, locator, "picture"))


def load_docx(data: bytes, job: Job) -> Parsed:
    """Read a Word file: body in order, notes after the block they belong to, headers and footers at the end.

    Tracked deletions are left out.
    """
    archive.check(data, job.limits)
    document = docx.Document(io.BytesIO(data))
    styles = {style.style_id: str(style.name).lower() for style in document.styles}
    notes = _docx_notes(document.part)
    tiles, pictures = Tiles(), _Pictures(job.limits.pixels)
    for element in _in_body(document.element.body):
        if element.tag == qn("w:tbl"):
            for line in table_lines(_docx_rows(element)):
                tiles.add(line + "\n", "row")
        else:
            kind, text = _docx_kind(element, styles), _docx_text(element).strip()
            tiles.add(text + ("\n" if kind == "list" else "\n\n") if text else "", kind)
        for mark in element.iter(*_NOTES):
            tiles.add(notes.get((mark.tag, mark.get(qn("w:id"))), ""), "note")
        for blip in element.iter(qn("a:blip")):
            part = document.part.related_parts.get(blip.get(qn("r:embed")))
            if part is not None:
                pictures.add(part.blob)
    for kind, text in _docx_margins(document):
        tiles.add(text, kind)
    properties = document.core_properties
    return Parsed((*tiles.parts, *pictures.parts), _properties(properties), tuple(pictures.problems))


def _docx_notes(part: Any) -> dict[tuple[str, str], str]:
    """Give the text of footnotes and endnotes by what refers to them: tag and id."""
    found = {}
    for relation in part.rels.values():
        for reference, note in _NOTES.items():
            if relation.is_external or relation.reltype.rpartition("/")[2] != f"{note.rpartition('}')[2]}s":
                continue
            for element in parse_xml(relation.target_part.blob).iter(note):
                text = " ".join(_docx_text(element).split())
                if text and element.get(qn("w:type"), "normal") == "normal":
                    found[reference, element.get(qn("w:id"))] = text + "\n\n"
    return found


def _docx_margins(document: Any) -> Iterator[tuple[str, str]]:
    """Give what stands in headers and footers of all sections, each text once."""
    seen: set[str] = set()
    for section in document.sections:
        for name in (
            "header",
            "first_page_header",
            "even_page_header",
            "footer",
            "first_page_footer",
            "even_page_footer",
        ):
            margin = getattr(section, name)
            blocks = () if margin.is_linked_to_previous else _in_body(margin._element)
            for element in blocks:
                lines = (
                    table_lines(_docx_rows(element)) if element.tag == qn("w:tbl") else [_docx_text(element).strip()]
                )
                text = "\n".join(lines)
                if text and text not in seen:
                    seen.add(text)
                    yield name.rpartition("_")[2], text + "\n\n"


def _properties(properties: Any) -> dict[str, JSON]:
    said = {"title": properties.title, "author": properties.author}
    return {key: value for key, value in said.items() if value}


def _in_body(element: Any) -> Iterator[Any]:
    """Give paragraphs and tables in order, also those within content controls and tracked insertions."""
    for child in element:
        if child.tag in (qn("w:p"), qn("w:tbl")):
            yield child
        elif child.tag in _CONTAINERS:
            yield from _in_body(child)


def _docx_text(element: Any) -> str:
    """Give the text below an element; text boxes stand in it twice and are taken once."""
    if element.tag == qn("w:t"):
        return element.text or ""
    if element.tag in _BREAKS:
        return _BREAKS[element.tag]
    if element.tag in (_FALLBACK, qn("w:pPr"), qn("w:del"), qn("w:moveFrom")):
        return ""
    text = "".join(_docx_text(child) for child in element)
    return text + "\n" if element.tag == qn("w:p") and text else text


def _docx_kind(paragraph: Any, styles: dict[str, str]) -> str:
    properties = paragraph.find(qn("w:pPr"))
    if properties is None:
        return "paragraph"
    style = properties.find(qn("w:pStyle"))
    name = styles.get(style.get(qn("w:val")), "") if style is not None else ""
    if name.startswith(("heading", "title", "标题")) or properties.find(qn("w:outlineLvl")) is not None:
        return "heading"
    if properties.find(qn("w:numPr")) is not None or name.startswith("list"):
        return "list"
    return "code" if "code" in name or name == "html preformatted" else "paragraph"


def _docx_rows(table: Any) -> list[list[str]]:
    """Give the cells of a table; one merged downwards stands in every row, one merged sideways once."""
    rows: list[list[str]] = []
    for row in table.iter(qn("w:tr")):
        cells: list[str] = []
        for cell in row.iterchildren(qn("w:tc"), qn("w:sdt")):
            text = " ".join(_docx_text(cell).split())
            merge, span = cell.find(f"{qn('w:tcPr')}/{qn('w:vMerge')}"), cell.find(f"{qn('w:tcPr')}/{qn('w:gridSpan')}")
            if merge is not None and merge.get(qn("w:val")) != "restart" and rows and len(cells) < len(rows[-1]):
                text = rows[-1][len(cells)]
            wide = str(span.get(qn("w:val"))) if span is not None else "1"
            cells += [text] + [""] * (min(int(wide), 50) - 1 if wide.isdecimal() else 0)
        rows.append(cells)
    return rows


def load_pptx(data: bytes, job: Job) -> Parsed:
    """Read a PowerPoint file: each slide's title, text, tables, pictures and notes under its number."""
    archive.check(data, job.limits)
    presentation = pptx.Presentation(io.BytesIO(data))
    count = len(presentation.slides)
    if count > job.limits.pages:
        raise DecodeError(f"the file has {count} slides, more than limits.pages = {job.limits.pages}")
    pictures = _Pictures(job.limits.pixels)
    parts: list[Part] = []
    for number, slide in enumerate(presentation.slides, 1):
        tiles = Tiles("slide", number=number)
        title = slide.shapes.title
        for shape in _shapes(slide.shapes):
            is_title = title is not None and shape.shape_id == title.shape_id
            for kind, text in _shape_blocks(shape, is_title=is_title):
                tiles.add(text, kind)
            if shape.shape_type == MSO_SHAPE_TYPE.PICTURE and getattr(shape, "image", None) is not None:
                pictures.add(shape.image.blob, number)
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            notes = slide.notes_slide.notes_text_frame.text.strip()
            tiles.add(notes.replace("\v", "\n") + "\n" if notes else "")
        parts += [*tiles.parts, *pictures.parts]
        pictures.parts.clear()
    metadata = {"slides": count, **_properties(presentation.core_properties)}
    return Parsed(tuple(parts), metadata, tuple(pictures.problems))


def _shapes(shapes: Any) -> Iterator[Any]:
    """Give shapes in order, those within groups too."""
    for shape in shapes:
        if shape.shape_type == MSO_SHAPE_TYPE.GROUP:
            yield from _shapes(shape.shapes)
        else:
            yield shape


def _shape_blocks(shape: Any, *, is_title: bool) -> Iterator[tuple[str, str]]:
    if getattr(shape, "has_table", False) and shape.has_table:
        rows = [[" ".join(cell.text.split()) for cell in row.cells] for row in shape.table.rows]
        for line in table_lines(rows):
            yield "row", line + "\n"
    elif shape.has_text_frame:
        for paragraph in shape.text_frame.paragraphs:
            text = paragraph.text.replace("\v", "\n").strip()
            listed = shape.is_placeholder and not is_title
            if text:
                yield "heading" if is_title else "list" if listed else "paragraph", text + "\n"
