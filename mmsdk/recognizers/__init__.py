"""Recognizers: the text in pictures and recordings, with its place. One module an engine.

``recognize`` adds what was read and heard to documents. Which engine does the work, and how, is not
its business.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import TypeVar, cast

from mmsdk import registry
from mmsdk.errors import MissingDependencyError, MmsdkError, WeightsError
from mmsdk.protocols import TextReader, Transcriber
from mmsdk.settings import Settings
from mmsdk.types import Audio, Box, Document, Failure, Image, Locator, Part, Transcript
from mmsdk.weights import model_name

Medium = TypeVar("Medium", Image, Audio)
Found = TypeVar("Found")


def reader(settings: Settings) -> TextReader:
    """Give the text reader of the settings, one object a process. Its models load on first use."""
    return cast(TextReader, _shared(model_name("ocr", settings), settings.model_dump_json()))


def transcriber(settings: Settings) -> Transcriber:
    """Give the transcriber of the settings, one object a process. Its models load on first use."""
    return cast(Transcriber, _shared(model_name("speech", settings), settings.model_dump_json()))


@cache
def _shared(name: str, settings: str) -> object:
    chosen = Settings.model_validate_json(settings)
    return registry.create("recognizers", name, pins=chosen.pins, settings=chosen)


def recognize(
    documents: Sequence[Document], *, reader: TextReader, transcriber: Transcriber
) -> tuple[list[Document], list[Failure]]:
    """Read the pictures and hear the recordings of all documents in one batch each.

    Text of a picture comes as parts of kind ``ocr`` behind it, with a box in pixels, or in points when
    the picture is a scanned page; speech as parts of kind ``transcript`` with seconds and, as metadata
    of the document, its ``language``. An item that fails is named in the failures, and the rest goes
    on. Raises ``WeightsError`` and ``MissingDependencyError``, which would befall every item.
    """
    failures: list[Failure] = []
    images = {place: part.content for place, part in _parts(documents) if isinstance(part.content, Image)}
    recordings = {place: part.content for place, part in _parts(documents) if isinstance(part.content, Audio)}
    lines = _isolated(reader.read, images, documents, failures)
    spoken = _isolated(transcriber.transcribe, recordings, documents, failures)
    read = [_with_text(document, index, lines, spoken) for index, document in enumerate(documents)]
    return read, failures


Place = tuple[int, int]
"""Which document, and which part of it."""


def _parts(documents: Sequence[Document]) -> list[tuple[Place, Part]]:
    return [((i, j), part) for i, document in enumerate(documents) for j, part in enumerate(document.parts)]


def _isolated(
    recognizer: Callable[[Sequence[Medium]], list[Found]],
    items: dict[Place, Medium],
    documents: Sequence[Document],
    failures: list[Failure],
) -> dict[Place, Found]:
    """Recognise all items at once; when that fails, one by one, and note those that fail alone."""
    if not items:
        return {}
    try:
        return dict(zip(items, recognizer(list(items.values())), strict=True))
    except (WeightsError, MissingDependencyError):
        raise
    except Exception as batch_error:  # noqa: BLE001  an engine may raise anything; it is reported below
        if len(items) == 1:
            (place,) = items
            failures.append(_failure(documents[place[0]], place, batch_error))
            return {}
    found: dict[Place, Found] = {}
    for place, item in items.items():
        found.update(_isolated(recognizer, {place: item}, documents, failures))
    return found


def _failure(document: Document, place: Place, error: Exception) -> Failure:
    code = error.code if isinstance(error, MmsdkError) else "recognition"
    where = document.parts[place[1]].locator
    return Failure(document.source, "recognize", code, f"{where}: {error or type(error).__name__}")


def _with_text(
    document: Document, index: int, lines: dict[Place, list[Part]], spoken: dict[Place, Transcript]
) -> Document:
    parts: list[Part] = []
    languages: list[str] = []
    for j, part in enumerate(document.parts):
        parts.append(part)
        if (index, j) in lines:
            parts.extend(_placed(part, lines[index, j]))
        if (index, j) in spoken:
            transcript = spoken[index, j]
            parts.extend(_heard(transcript))
            languages.append(transcript.language)
    if len(parts) == len(document.parts):
        return document
    metadata = dict(document.metadata)
    if any(languages):
        metadata.setdefault("language", next(language for language in languages if language))
    return replace(document, parts=tuple(parts), metadata=metadata)


def _placed(picture: Part, lines: list[Part]) -> list[Part]:
    """Move boxes from pixels to points when the picture is a page; its lines then tile the text of the page."""
    sheet = picture.locator
    if sheet.kind == "image" and sheet.number is not None:  # a page of a TIFF
        return [replace(line, locator=replace(line.locator, number=sheet.number)) for line in lines]
    if picture.kind != "page" or sheet.box is None or not isinstance(picture.content, Image):
        return lines
    height, width = picture.content.pixels.shape[:2]
    left, top, right, bottom = sheet.box
    across, down = (right - left) / width, (bottom - top) / height
    placed, start = [], 0
    for line in lines:
        content, box = line.content, line.locator.box
        if not isinstance(content, str) or box is None:
            continue
        points: Box = (
            left + box[0] * across,
            top + box[1] * down,
            left + box[2] * across,
            top + box[3] * down,
        )
        stop = start + len(content)
        placed.append(Part(content, Locator("page", start, stop, sheet.number, points), "ocr"))
        start = stop
    return placed


def _heard(transcript: Transcript) -> list[Part]:
    """Make parts of segments; joined they read as the engine wrote them, which puts no space between CJK."""
    texts = [segment.text.lstrip() for segment in transcript.segments]
    spaces = [" " if segment.text[:1].isspace() else "" for segment in transcript.segments[1:]]
    return [
        Part(text + space, Locator("seconds", segment.start, segment.stop), "transcript")
        for text, space, segment in zip(texts, [*spaces, ""][: len(texts)], transcript.segments, strict=True)
    ]
