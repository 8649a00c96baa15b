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
_ITEM = re.compile(r"^(?:[-*+•|>]|\d{1,3}[.)]\s)")


@dataclass(frozen=True)
class Sentence:
    """Hold a sentence of a hit: ``hit.chunk.text[start:stop]``, with what stands above it.

    ``lead`` is the question, title or introduction in front of it, ``headings`` the path of its section, ``before``
    the sentence before it, ``following`` the one after it where an answer needs both.
    """

    hit: Hit
    start: int
    stop: int
    headings: str = ""
    lead: str = ""
    before: str = ""
    following: "Sentence | None" = None

    @property
    def text(self) -> str:
        """The sentence, verbatim."""
        return self.hit.chunk.text[self.start : self.stop]

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
        return f"{self.context}: {self.text}" if self.context else self.text

    @property
    def passage(self) -> str:
        """The sentence behind its context and the sentence before it, as the scorer reads it."""
        context = " . ".join(part for part in (self.context, self.before[-200:]) if part)
        return f"{context}: {self.text}" if context else self.text


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
    lead = ""
    for start, stop in sentences(chunk.text):
        text = chunk.text[start:stop]
        if _leads(text, chunk.text[stop : stop + 1]):
            lead, before = text.lstrip("#").strip("*_ \t"), ""
        elif lexicon.content(text):
            yield Sentence(hit, start, stop, headings, lead, before)
            before = "" if chunk.text[stop : stop + 2] == "\n\n" else text


def _leads(text: str, after: str) -> bool:
    if text.startswith("#") or text.rstrip("*_").endswith(("?", "？", ":", "：")):
        return True
    short = len(text) <= 60 and len(text.split()) <= 7 and after in ("\n", "\r")
    return short and not (_TITLE_END.search(text) or _ITEM.match(text) or lexicon.numbers(text) or lexicon.is_cjk(text))
