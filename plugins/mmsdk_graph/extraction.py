"""Read documents: names and statements of every sentence, layer by layer.

English sentences are parsed by spaCy; a trained tagger and an LLM read sentences of any language. Pronouns and "the
company" are resolved only where the sentence before leaves one choice. It knows nothing of graphs or stores.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any, Protocol

from mmsdk.chunking import CJK, chunks, sentences
from mmsdk.entities import Gazetteer
from mmsdk.settings import Settings
from mmsdk.types import Document, Locator
from mmsdk_graph import parses, patterns
from mmsdk_graph.annotations import Sentence
from mmsdk_graph.parsed import Parsed
from mmsdk_graph.schema import Schema
from mmsdk_graph.statements import Name, Reading, Statement
from mmsdk_graph.values import amount, iso_date

VERSION = "4"
_SIZE = 2000
_MANY = 8  # names of a sentence; above it, co-occurrence says nothing
_IS_CJK = re.compile(f"[{CJK}]")
_PIECE = re.compile(rf"[{CJK}]|[^\W_]+(?:['’.&-][^\W_]+)*\.?|\S")
_GENERIC = frozenset(
    re.findall(r"\S+", "board committee council parliament government company group house court state")
)
_COMPANY = frozenset(
    re.findall(
        r"\S+",
        "agency airlines airways association bank brands capital chemicals company corp corporation electronics energy "
        "enterprises foods foundation gmbh group holdings inc industries institute insurance laboratories labs limited "
        "llc llp ltd materials media motors networks partners pharma pharmaceuticals plc press railways records "
        "robotics semiconductor software solutions steel studios systems technologies university ventures works",
    )
)
"""Last words of names that are not people, whatever the parser takes them for."""
_LEGAL = frozenset(re.findall(r"\S+", "ag corp gmbh inc incorporated limited llc llp ltd plc"))
"""Last words of a name that make it a company's."""


@dataclass(frozen=True)
class Passage:
    """Hold a sentence of a document with its chunk and its place."""

    text: str
    chunk: str
    locator: Locator
    modality: str = "text"


class Tags(Protocol):
    """Find entities and relations of tokenised sentences, as ``Tagger`` does."""

    def predict(self, sentences: Sequence[Sequence[str]]) -> list[Sentence]:
        """Give the sentences with what is found."""
        ...


class SentenceReader(Protocol):
    """Read sentences in another way, as the LLM layer does."""

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """Give one reading a sentence."""
        ...


def passages(document: Document) -> Iterator[Passage]:
    """Cut a document into sentences: text, transcripts, and text in pictures."""
    for chunk in chunks(document, size=_SIZE):
        for start, stop in sentences(chunk.text):
            text = re.sub(r"\s", " ", chunk.text[start:stop])
            yield Passage(text, chunk.id, chunk.locator.narrowed(start, stop), chunk.modality)


def tokens(text: str) -> list[tuple[int, int]]:
    """Give the (start, stop) of the tokens of a sentence for a tagger; a Chinese character is one."""
    found = []
    for match in _PIECE.finditer(text):
        start, stop = match.span()
        if match.group().endswith(".") and (stop == len(text.rstrip()) and match.group().count(".") == 1):
            found += [(start, stop - 1), (stop - 1, stop)]
        else:
            found.append((start, stop))
    return found


class Extractor:
    """Read sentences by every layer that there is.

    ``tagger`` and ``reader`` (an LLM) are layers beside spaCy and the patterns of the schema.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        tagger: Tags | None = None,
        reader: SentenceReader | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.schema, self.tagger, self.reader = schema, tagger, reader
        self.settings = settings or Settings.load()

    @cached_property
    def rules(self) -> tuple[patterns.Rule, ...]:
        """The patterns of the schema, read."""
        return tuple(patterns.parse_rule(n, text) for n, r in self.schema.relations.items() for text in r.patterns)

    @cached_property
    def _gazetteer(self) -> Gazetteer:
        known = self.schema.entities.items()
        return Gazetteer([(name, key) for key, entity in known for name in (key, *entity.aliases)])

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """Read the sentences of one document, in their order."""
        readings = self._parsed(texts)
        for extra in (self._tagged(texts), self.reader.read(texts) if self.reader else None):
            if extra is not None:
                readings = [_both(one, other) for one, other in zip(readings, extra, strict=True)]
        readings = _full_names(_one_type(readings))
        return [self._checked(reading) for reading in readings]

    def _parsed(self, texts: Sequence[str]) -> list[Reading]:
        nlp = parses.pipeline(self.settings.model_dump_json(), parser=True)
        english = [len(_IS_CJK.findall(text)) * 4 < len(text) for text in texts]
        docs = nlp.pipe([text if yes else "" for text, yes in zip(texts, english, strict=True)], batch_size=64)
        found, before = [], ()  # type: list[Reading], tuple[Name, ...]
        for text, doc in zip(texts, docs, strict=True):
            names = self._names(text, doc)
            parsed = Parsed(doc, names, before, schema=self.schema, rules=self.rules)
            found.append(Reading(tuple(names), tuple(parsed.statements())))
            before = parsed.left()
        return found

    def _names(self, text: str, doc: Any) -> list[Name]:
        """Give known entities and what spaCy finds beside them."""
        found = []
        for mention in self._gazetteer.find(text):
            known = self.schema.entities[mention.key].type
            found.append(Name(mention.start, mention.stop, mention.key, known, "gazetteer", 1.0))
        taken = [(name.start, name.stop) for name in found]
        for ent in doc.ents:
            kind = self.schema.spacy.get(_label(ent))
            start, stop = _trimmed(text, ent.start_char, ent.end_char)
            if kind is None or start >= stop or any(start < b and a < stop for a, b in taken):
                continue
            name = text[start:stop]
            value = iso_date(name) if ent.label_ == "DATE" else amount(name) if ent.label_ == "MONEY" else ""
            if ent.label_ in ("DATE", "MONEY") and not value:
                continue
            if any(c.isalnum() for c in name) and name.casefold() not in _GENERIC:
                found.append(Name(start, stop, value or name, kind, "spacy", 0.85, value))
        company = self.schema.spacy.get("ORG")
        for start, stop in _companies(doc) if company else ():
            if not any(start < name.stop and name.start < stop for name in found):
                found.append(Name(start, stop, text[start:stop], str(company), "suffix", 0.8))
        return sorted(found, key=lambda name: name.start)

    def _tagged(self, texts: Sequence[str]) -> list[Reading] | None:
        if self.tagger is None:
            return None
        spans = [tokens(text) for text in texts]
        rows = [[text[a:b] for a, b in cut] for text, cut in zip(texts, spans, strict=True)]
        read = iter(self.tagger.predict([row for row in rows if row]))
        return [
            self._from_tagger(text, cut, next(read)) if cut else Reading()
            for text, cut in zip(texts, spans, strict=True)
        ]

    def _from_tagger(self, text: str, cut: Sequence[tuple[int, int]], sentence: Sentence) -> Reading:
        names, unknown = [], []
        for entity in sentence.entities:
            start, stop = cut[entity.start][0], cut[entity.end - 1][1]
            kind = self.schema.type_of(entity.type)
            if kind is None:
                unknown.append(("type", entity.type))
            names.append(Name(start, stop, text[start:stop], kind or "", "tagger", entity.probability))
        statements = []
        for relation in sentence.relations:
            head, tail = names[relation.head], names[relation.tail]
            known = self.schema.relation_of(relation.type)
            if known is None:
                unknown.append(("relation", relation.type))
            elif head.type and tail.type:
                if known[1]:
                    head, tail = tail, head
                statements.append(Statement(head, known[0], tail, "trained", "tagger", relation.probability))
        return Reading(tuple(name for name in names if name.type), tuple(statements), tuple(unknown))

    def _checked(self, reading: Reading) -> Reading:
        """Keep what the schema allows, add co-occurrence, and put the rest on the review pile."""
        statements, unknown = [], list(reading.unknown)
        for one in reading.statements:
            if one.layer == "open" or self.schema.allows(one.relation, one.head.type, one.tail.type):
                statements.append(one)
            elif one.layer != "pattern":
                unknown.append(("join", f"{one.head.type} {one.relation} {one.tail.type}"))
        things = [name for name in reading.names if not name.value]
        distinct = list({(name.text.casefold(), name.type): name for name in things}.values())
        if len(distinct) <= _MANY:
            for head, tail in combinations(distinct, 2):
                statements.append(Statement(head, "co_occurs", tail, "cooccurrence", "sentence", 0.3))
        return Reading(reading.names, tuple(dict.fromkeys(statements)), tuple(unknown))


def _label(ent: Any) -> str:
    """Give spaCy's label, ``ORG`` for a "person" whose last word is one of companies."""
    words = ent.text.casefold().rstrip(".").split()
    is_company = ent.label_ == "PERSON" and len(words) > 1 and words[-1] in _COMPANY
    return "ORG" if is_company else str(ent.label_)


def _companies(doc: Any) -> Iterator[tuple[int, int]]:
    """Give the (start, stop) of names that end in a legal form, which the parser misses at times."""
    for last in doc:
        first = last
        while first.i and first.nbor(-1).pos_ == "PROPN" and first.nbor(-1).is_title:
            first = first.nbor(-1)
        if first is not last and last.lower_.rstrip(".") in _LEGAL and not last.is_lower:
            yield first.idx, last.idx + len(last)


def _trimmed(text: str, start: int, stop: int) -> tuple[int, int]:
    """Leave out an article before a name and a genitive behind it."""
    found = re.match(r"(?:the|a|an)\s+", text[start:stop], re.IGNORECASE)
    start += found.end() if found else 0
    found = re.search(r"(?:['’]s?|[\s.,;:]*[,;:])$", text[start:stop])
    return start, stop - (len(found.group()) if found else 0)


def _both(one: Reading, other: Reading) -> Reading:
    """Join two readings: where names overlap, the second reader's holds, and statements move to it."""
    taken = {
        name: next((o for o in other.names if o.start < name.stop and name.start < o.stop), None) for name in one.names
    }
    moved = {name: new if new is not None else name for name, new in taken.items()}
    names = sorted({*moved.values(), *other.names}, key=lambda name: (name.start, name.stop, name.extractor))
    statements = [replace(s, head=moved.get(s.head, s.head), tail=moved.get(s.tail, s.tail)) for s in one.statements]
    return Reading(tuple(names), (*statements, *other.statements), (*one.unknown, *other.unknown))


def _one_type(readings: Sequence[Reading]) -> list[Reading]:
    """Let a name of several words have one type in a document: spaCy takes people for companies now and then.

    The most frequent counts; as often one as the other, it is a person.
    """
    counts: dict[str, Counter[str]] = {}
    for reading in readings:
        for name in reading.names:
            if name.extractor == "spacy" and name.type in ("Person", "Organization") and " " in name.text:
                counts.setdefault(name.text.casefold(), Counter())[name.type] += 1
    types = {text: max(seen, key=lambda kind: (seen[kind], kind)) for text, seen in counts.items() if len(seen) > 1}

    def one(name: Name) -> Name:
        kind = types.get(name.text.casefold()) if name.extractor == "spacy" else None
        return replace(name, type=kind) if kind and name.type in ("Person", "Organization") else name

    return [_renamed(reading, one) for reading in readings] if types else list(readings)


def _renamed(reading: Reading, of: Callable[[Name], Name]) -> Reading:
    statements = [replace(s, head=of(s.head), tail=of(s.tail)) for s in reading.statements]
    return Reading(tuple(of(name) for name in reading.names), tuple(statements), reading.unknown)


def _full_names(readings: Sequence[Reading]) -> list[Reading]:
    """Let "Smith" stand for "Jane Smith" where a document names one such person only."""
    full: dict[str, set[str]] = {}
    for reading in readings:
        for name in reading.names:
            words = name.text.split()
            if name.type == "Person" and len(words) > 1:
                full.setdefault(words[-1].casefold(), set()).add(name.text)

    def whole(name: Name) -> Name:
        known = full.get(name.text.casefold(), set())
        return replace(name, text=next(iter(known))) if name.type == "Person" and len(known) == 1 else name

    return [_renamed(reading, whole) for reading in readings]
