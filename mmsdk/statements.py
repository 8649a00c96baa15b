"""Cut what was found into sentences that can state something, each with what stands above it.

A question, a title or an introduction leads the sentences behind it and is none of them; a row of a table is one.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from mmsdk import lexicon
from mmsdk.chunking import sentences
from mmsdk.types import Chunk, Hit

SILENCE = 2.0
"""Seconds between two passages of a recording that are read as one."""

_TITLE_END = re.compile(r"[.!。！;；]\s*[\"'”’)）]?$")
_ROW = re.compile(r"[^:;\n]{1,60}: [^;\n]+; [^:;\n]{1,60}: ")
_SNAKE = re.compile(r"(?<=[^\W_])_(?=[^\W_])")
_RULE = re.compile(r"\s*\|(?:\s*:?-+:?\s*\|)+")
_ITEM = re.compile(r"^(?:[-*+•|>]|\d{1,3}[.)]\s)")


@dataclass(frozen=True)
class Sentence:
    """Hold a sentence of a hit: ``hit.chunk.text[start:stop]``, with what stands above it.

    ``lead`` is the question, title or introduction in front of it, ``headings`` the path of its section, ``before``
    the sentence before it, ``following`` the one after it where an answer needs both; ``columns`` are the names of the
    columns for a row of a markdown table.
    """

    hit: Hit
    start: int
    stop: int
    headings: str = ""
    lead: str = ""
    before: str = ""
    following: "Sentence | None" = None
    columns: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The sentence, verbatim."""
        return self.hit.chunk.text[self.start : self.stop]

    @property
    def line(self) -> str:
        """The sentence as models read it: in one line, and a row of a table with its columns' names in words.

        Lines that were read in a picture stay apart, as each is a label of its own.
        """
        cells = _cells(self.text) if self.columns else []
        if len(cells) == len(self.columns) > 0:
            return "; ".join(f"{name}: {cell}" for name, cell in zip(self.columns, cells, strict=True) if cell)
        line = self.text if self.hit.chunk.modality == "image" else " ".join(self.text.split())
        return _SNAKE.sub(" ", line) if _ROW.match(line) else line

    @property
    def context(self) -> str:
        """What it is about, by its place: file name, title, headings and lead."""
        chunk = self.hit.chunk
        name = "" if chunk.source.startswith("bytes:") else PurePath(chunk.source.rstrip("/")).stem
        title = chunk.metadata.get("title")
        parts = [
            part for part in (re.sub(r"[-_]+", " ", name), title, self.headings, self.lead) if isinstance(part, str)
        ]
        later = [" ".join(parts[place + 1 :]).casefold() for place in range(len(parts))]
        return " . ".join(part for part, rest in zip(parts, later, strict=True) if part and part.casefold() not in rest)

    @property
    def statement(self) -> str:
        """The sentence behind its context."""
        return f"{self.context}: {self.line}" if self.context else self.line

    @property
    def passage(self) -> str:
        """The sentence behind its context and the sentence before it, as the scorer reads it."""
        before = " ".join(self.before[-200:].split())
        context = " . ".join(part for part in (self.context, before) if part)
        return f"{context}: {self.line}" if context else self.line


def split(hits: Sequence[Hit]) -> list[Sentence]:
    """Give the sentences of hits that can state something; questions and titles only lead the next ones."""
    found: list[Sentence] = []
    seen: set[tuple[str, str]] = set()
    for hit in hits:
        for sentence in _of(hit, _end_of(hits, hit)):
            key = (hit.chunk.document_id, sentence.text)
            if key not in seen:
                seen.add(key)
                found.append(sentence)
    return found


def _end_of(hits: Sequence[Hit], hit: Hit) -> str:
    """Give the last sentence of the hit that ends where another begins, empty if none does."""
    text = next((other.chunk.text for other in hits if _adjoin(other.chunk, hit.chunk)), "")
    return next((text[start:stop] for start, stop in reversed(sentences(text))), "")


def _adjoin(one: Chunk, other: Chunk) -> bool:
    """Tell whether a passage goes on in another: nothing but a space is between them, or a moment of silence."""
    here, there = one.locator, other.locator
    if one.document_id != other.document_id or one.modality != other.modality:
        return False
    if here.kind == "row" or here.stop is None or there.start is None:
        return False
    same = (here.kind, here.number, here.sheet) == (there.kind, there.number, there.sheet)
    return same and 0 <= there.start - here.stop <= (SILENCE if here.kind == "seconds" else 1)


def _of(hit: Hit, before: str) -> Iterator[Sentence]:
    chunk = hit.chunk
    content = chunk.content if isinstance(chunk.content, str) else ""
    headings = content[: content.find(chunk.text)].strip() if chunk.text and chunk.text in content else ""
    if chunk.locator.kind == "row":
        yield Sentence(hit, 0, len(chunk.text), headings)
        return
    lead, columns = "", tuple[str, ...]()
    for start, stop in sentences(chunk.text):
        text = chunk.text[start:stop]
        if is_cells := text.startswith("|"):
            names = _cells(text) if _RULE.match(chunk.text, stop) else []
        else:
            names, columns = [], ()
        is_row = is_cells or bool(_ROW.match(text))
        if names:
            columns, before = tuple(names), ""
        elif _leads(text, chunk.text[stop : stop + 1]):
            lead, before = text.lstrip("#").strip("*_ \t"), ""
        elif lexicon.content(text):
            yield Sentence(hit, start, stop, headings, lead, "" if is_row else before, columns=columns)
            before = "" if is_row or chunk.text[stop : stop + 2] == "\n\n" else text


def _cells(row: str) -> list[str]:
    return [" ".join(cell.split()) for cell in row.strip().strip("|").split("|")]


def _leads(text: str, after: str) -> bool:
    if text.startswith("#") or text.rstrip("*_").endswith(("?", "？", ":", "：")):
        return True
    short = len(text) <= 60 and len(text.split()) <= 7 and after in ("\n", "\r")
    return short and not (_TITLE_END.search(text) or _ITEM.match(text) or lexicon.numbers(text) or lexicon.is_cjk(text))
