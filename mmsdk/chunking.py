"""Cut documents into chunks by their structure: Document -> Iterator[Chunk].

A chunk is a verbatim slice of its source text, never longer than ``size`` unless a single word is. It
starts at a heading, a block or a sentence, in this order of preference. Chunking knows nothing of
tokens or models: sizes are characters, of which a CJK character counts three because encoders spend
about that much more on it.
"""

import hashlib
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise

from mmsdk.types import Audio, Box, Chunk, Document, Image, Locator, Modality, Part

CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
_CJK = re.compile(f"[{CJK}]")
_LINE_STARTS = re.compile(
    r"\n(?=[ \t]*(?:[-*+•|>]|#{1,6} |\d{1,3}[.)]\s))|(?<=\n)(?=[ \t]*\n)|(?<=\n)(?=\S[^\n:：]{0,40}[:：] )"
)
_HEADING_LINE = re.compile(r"^(?:#{1,6} .*|(\*\*|__)(?:(?!\1)[^\n])+\1[ \t]*)(?:\n|\Z)", re.MULTILINE)
"""A heading of markdown, or a line that is bold as a whole, as the questions of an FAQ often are."""
_CLOSED = re.compile(r"(?:\*{1,3}|_{1,3})(?=\s|$)")

_ENDS = (".", "!", "?", "。", "！", "？", "…")
UTTERANCE = 80
"""From this width on, a chunk of a transcript ends where a sentence does."""
_MODALITIES: dict[str, Modality] = {"transcript": "audio", "ocr": "image"}


def sentences(text: str) -> list[tuple[int, int]]:
    """Give the (start, stop) of every sentence, Latin or CJK, without the white space around it.

    Sentence ends are sentencex's (Wikimedia); list items, table lines, markdown headings and bold lines are
    sentences of their own.

    >>> text = "It costs 3.50 EUR. Dr. Wu said: 好的。可以退货吗？"
    >>> [text[start:stop] for start, stop in sentences(text)]
    ['It costs 3.50 EUR.', 'Dr. Wu said: 好的。', '可以退货吗？']
    """
    from sentencex import segment

    cuts = {0, len(text)}
    for end in accumulate(len(piece) for piece in segment("en", text)):
        closed = _CLOSED.match(text, end)  # what is emphasised ends with its marks
        cuts.add(closed.end() if closed else end)
    cuts.update(match.end() for match in _LINE_STARTS.finditer(text))
    headings = [match.span() for match in _HEADING_LINE.finditer(text)]
    starts = [start for start, _ in headings]
    cuts = {cut for cut in cuts if not (place := bisect_left(starts, cut)) or cut >= headings[place - 1][1]}
    edges = sorted(cuts.union(*headings))
    spans = (_stripped(text, start, stop) for start, stop in pairwise(edges))
    return [(start, stop) for start, stop in spans if start < stop]


def chunks(document: Document, *, size: int = 1000, overlap: int = 0) -> Iterator[Chunk]:
    """Cut a document. ``size`` and ``overlap`` are characters (a CJK character counts three).

    ``Chunk.text`` equals the source text between its locator's ``start`` and ``stop``;
    ``Chunk.content`` puts the headings above it in front, so that a passage is found by its section.
    Rows are chunks of their own, pictures are chunks without text, recordings only have their
    transcript. A page that was read by OCR gives no picture chunk.

    >>> part = Part("Open daily. Closed on Sunday.", Locator("characters", 0, 29))
    >>> [chunk.text for chunk in chunks(Document("d", (part,), "a.txt", ""), size=20)]
    ['Open daily.', 'Closed on Sunday.']
    """
    if size <= 0 or not 0 <= overlap < size:
        raise ValueError(f"size must be positive and overlap in [0, size), not size={size}, overlap={overlap}")
    read_pages = {part.locator.number for part in document.parts if part.kind == "ocr"}
    title = document.metadata.get("title")
    headings: dict[int, str] = {0: title.strip()} if isinstance(title, str) and title.strip() else {}
    taken: dict[str, int] = {}
    for group in _groups(document.parts):
        first = group[0]
        if isinstance(first.content, Image):
            if first.kind == "page" and first.locator.number in read_pages:
                continue
            drafts: Iterable[_Draft] = [_Draft(first.content, "", "image", first.locator)]
        elif isinstance(first.content, Audio):
            continue
        else:
            drafts = _Packer(group, headings, size, overlap).drafts()
        for draft in drafts:
            yield _chunk(document, draft, taken)


@dataclass(frozen=True)
class _Draft:
    content: str | Image
    text: str
    modality: Modality
    locator: Locator


def _chunk(document: Document, draft: _Draft, taken: dict[str, int]) -> Chunk:
    """Name the chunk by its document and content, so that an unchanged passage keeps its id."""
    digest = draft.content.digest if isinstance(draft.content, Image) else draft.content
    name = hashlib.sha256(f"{document.id}\0{draft.modality}\0{digest}".encode("utf-8", "surrogatepass")).hexdigest()[
        :24
    ]
    taken[name] = taken.get(name, 0) + 1
    if taken[name] > 1:
        name = f"{name}-{taken[name]}"
    return Chunk(
        name, document.id, draft.content, draft.text, draft.modality, draft.locator, document.metadata, document.source
    )


def _groups(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Give runs of text parts that tile one text, and every other part alone."""

    def run(numbered: tuple[int, Part]) -> tuple[object, ...]:
        position, part = numbered
        if not isinstance(part.content, str) or part.locator.kind == "row":
            return (position,)
        modality = _MODALITIES.get(part.kind, "text")
        return ("run", modality, part.locator.kind, part.locator.number, part.locator.sheet)

    for _, numbered in groupby(enumerate(parts), key=run):
        yield [part for _, part in numbered]


@dataclass(frozen=True)
class _Block:
    start: int
    stop: int
    kind: str
    locator: Locator


class _Packer:
    """Pack the blocks of one text into drafts; ``headings`` (level to text) carries on from group to group."""

    def __init__(self, group: Sequence[Part], headings: dict[int, str], size: int, overlap: int) -> None:
        self.group, self.headings, self.size, self.overlap = group, headings, size, overlap
        contents = [part.content for part in group if isinstance(part.content, str)]
        self.text = "".join(contents)
        ends = list(accumulate(len(content) for content in contents))
        starts = [0, *ends[:-1]]
        self.base = int(group[0].locator.start or 0)
        self.blocks = [
            _Block(start, stop, part.kind, part.locator) for start, stop, part in zip(starts, ends, group, strict=True)
        ]
        self.widths: Sequence[int] = range(len(self.text) + 1)
        if not self.text.isascii():
            widths = array("q", (1,)) * len(self.text)
            for letter in _CJK.finditer(self.text):
                widths[letter.start()] = 3
            self.widths = array("q", (0, *accumulate(widths)))

    def drafts(self) -> Iterator[_Draft]:
        start = stop = 0
        only_headings = True
        path = self._path()
        for block in self.blocks:
            is_heading = block.kind == "heading"
            if is_heading:
                if not only_headings:
                    yield from self._draft(start, stop, path)
                    start, only_headings = block.start, True
                self._enter(block)
            for first, last in self._units(block):
                if stop > start and self._width(start, last) > self.size:
                    yield from self._draft(start, stop, path)
                    start = first if is_heading else self._overlapped(start, first, last)
                    path = self._path(before=start)
                if only_headings:
                    path = self._path(before=start)
                stop = last
                only_headings = only_headings and is_heading
                if block.locator.kind == "seconds" and self._is_said(start, stop):
                    yield from self._draft(start, stop, path)
                    start = stop
        yield from self._draft(start, stop, path)

    def _is_said(self, start: int, stop: int) -> bool:
        """Say whether enough was said for a chunk of speech, which is kept short so that its seconds are narrow."""
        return self._width(start, stop) >= UTTERANCE and self.text[start:stop].rstrip().endswith(_ENDS)

    def _width(self, start: int, stop: int) -> int:
        return self.widths[stop] - self.widths[start]

    def _units(self, block: _Block) -> Iterator[tuple[int, int]]:
        """Give the whole block if it fits, else its sentences, else pieces of them at white space."""
        if self._width(block.start, block.stop) <= self.size:
            yield block.start, block.stop
            return
        for start, stop in sentences(self.text[block.start : block.stop]):
            yield from self._pieces(block.start + start, block.start + stop)

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        while self._width(start, stop) > self.size:
            end = start + 1
            limit = self.widths[start] + self.size
            low, high = start + 1, stop
            while low <= high:
                middle = (low + high) // 2
                if self.widths[middle] <= limit:
                    end, low = middle, middle + 1
                else:
                    high = middle - 1
            space = max(self.text.rfind(mark, start + 1, end) for mark in " \n\t，、,;；")
            end = space + 1 if space > start + (end - start) // 2 else end
            yield start, end
            start = end
        yield start, stop

    def _overlapped(self, previous: int, first: int, last: int) -> int:
        """Move the start of the next chunk back to a sentence, by at most ``overlap`` and within ``size``."""
        if not self.overlap:
            return first
        for start, _ in sentences(self.text[previous:first]):
            begin = previous + start
            if begin > previous and self._width(begin, first) <= self.overlap and self._width(begin, last) <= self.size:
                return begin
        return first

    def _enter(self, block: _Block) -> None:
        title = self.text[block.start : block.stop].strip()
        marks = len(title) - len(title.lstrip("#"))
        level = marks if 0 < marks <= 6 else 1
        for deeper in [known for known in self.headings if known >= level]:
            del self.headings[deeper]
        self.headings[level] = title.lstrip("#").strip()

    def _path(self, before: int | None = None) -> str:
        """Join the headings above; with ``before``, without those that the chunk starting there shows itself."""
        if not self.headings:
            return ""
        names = [self.headings[level] for level in sorted(self.headings)]
        if before is not None:
            shown = {
                self.text[block.start : block.stop].strip().lstrip("#").strip()
                for block in self.blocks
                if block.kind == "heading" and block.start >= before
            }
            names = [name for name in names if name not in shown]
        return " > ".join(dict.fromkeys(names))

    def _draft(self, start: int, stop: int, path: str) -> Iterator[_Draft]:
        start, stop = _stripped(self.text, start, stop)
        if start == stop:
            return
        text = self.text[start:stop]
        yield _Draft(
            f"{path}\n\n{text}" if path else text,
            text,
            _MODALITIES.get(self.group[0].kind, "text"),
            self._locator(start, stop),
        )

    def _locator(self, start: int, stop: int) -> Locator:
        touched = [block.locator for block in self.blocks if block.start < stop and block.stop > start]
        first = touched[0]
        box = _union([locator.box for locator in touched if locator.box is not None])
        if first.kind == "seconds":
            return replace(first, stop=touched[-1].stop)
        if first.kind == "image":
            return replace(first, box=box, start=None, stop=None)
        return replace(first, box=box, start=self.base + start, stop=self.base + stop)


def _union(boxes: Sequence[Box]) -> Box | None:
    if not boxes:
        return None
    left, top, right, bottom = zip(*boxes, strict=True)
    return (min(left), min(top), max(right), max(bottom))


def _stripped(text: str, start: int, stop: int) -> tuple[int, int]:
    while start < stop and text[start].isspace():
        start += 1
    while stop > start and text[stop - 1].isspace():
        stop -= 1
    return start, stop
