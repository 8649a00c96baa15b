"""Find the sentence that answers a question, and say how likely it is that it does.

A logistic model: for English over the score of two models that read question and sentence together
(``encoders/answers.py``), and for every language over how near they are, whether what the question is about occurs
there, word for word or by a near synonym, and whether a named thing is missing. A sentence without the amount, time,
person or place that was asked for is ruled out. Weights and thresholds stand in ``answerability.json`` and were
fitted on invented documents (benchmarks/answerability). It judges wording, not truth; two sentences are never
combined, and numbers are not computed.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsdk import characters, kinds, lexicon
from mmsdk.chunking import sentences
from mmsdk.protocols import Encoder, PairScorer
from mmsdk.types import Chunk, Hit, Vectors

ENGLISH = (
    "cross",
    "missing_numbers",
    "missing_names",
    "context_cosine",
    "bare_cosine",
    "above",
    "cover",
    "cover_passage",
    "worst",
    "exact",
    "missing_names_here",
    "absent",
    "brief",
)
"""What the model weighs for English: the scorer's logit; numbers of the question that stand neither in the
sentence nor in its context, and named things that stand nowhere near; cosines of the sentence in its context and alone,
and how far it is above the mean of its rivals (not above the next: a fact that stands in two places is no worse); how
well the question's words are covered by the sentence and by the passage, the worst covered word, the share found word
for word, named things not in the sentence, the share of words found nowhere, and one over the number of words."""
CHINESE = (*characters.FEATURES, "missing_numbers")
"""What it weighs for Chinese, which the models do not read."""
SYNONYM = 0.9
"""How near two words are that the list of synonyms names together; the same word is 1."""
LETTERS = 0.8
"""How near a pair of CJK characters is to a text that has both of them, but not side by side."""
VETOES = ("kind_missing", "missing_specific", "denied")
"""Features that rule a sentence out: no price where one was asked for, another day or colour than the sentence that
asks names, an English sentence that the scorer clearly holds for no answer, however near its words are."""
DENIED = -2.0
"""Below which logit the scorer clearly holds a sentence for no answer."""
SILENCE = 2.0
"""Seconds between two passages of a recording that are read as one."""
BETTER = 0.5
"""By how much a logit must rise for the next sentence to be quoted too."""
CLOSEST = 12
"""How many of the sentences nearest to the question are looked at closely."""

_TITLE_END = re.compile(r"[.!。！;；]\s*[\"'”’)）]?$")
_COLUMN = re.compile(r"(?:^|; )([^:;]{1,60}): (?=[^;]*\d)")  # in a row of a table, a column with a figure
_ENDED = (".", "!", "…", "。", "！")
_BACK = re.compile(r"\b(?:then|that (?:day|time|month|colou?r)|ones?)\b|(?:那|这)(?:天|时|个月|种?颜色)", re.IGNORECASE)
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


@dataclass(frozen=True)
class Candidate:
    """Hold a sentence, its features by name, and the probability that it answers the question."""

    sentence: Sentence
    probability: float
    features: Mapping[str, float] = field(default_factory=dict)


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
            lead, before = text.strip("#*_ \t"), ""
        elif lexicon.content(text):
            yield Sentence(hit, start, stop, headings, lead, before)
            before = "" if chunk.text[stop : stop + 2] == "\n\n" else text


def _leads(text: str, after: str) -> bool:
    if text.startswith("#") or text.rstrip("*_").endswith(("?", "？", ":", "：")):
        return True
    short = len(text) <= 60 and len(text.split()) <= 7 and after in ("\n", "\r")
    return short and not (_TITLE_END.search(text) or _ITEM.match(text) or lexicon.numbers(text) or lexicon.is_cjk(text))


def rank(question: str, hits: Sequence[Hit], *, encoder: Encoder, scorer: PairScorer) -> list[Candidate]:
    """Give the sentences of ``hits`` that are nearest to the question, most probable answer first.

    An English message of several sentences is read twice, whole and only what asks, and the probabilities are averaged.
    ``encoder`` must be the text encoder that the weights were fitted with (``table()["encoder"]``).
    """
    pool = split(hits)
    found = _read(question, pool, encoder, scorer)
    asking = " ".join(_asking(question).split())
    if asking != " ".join(question.split()) and not lexicon.is_cjk(question) and lexicon.surface(asking):
        found = _averaged(found, _read(asking, pool, encoder, scorer))
    return sorted(found, key=lambda candidate: -candidate.probability)


def read_on(question: str, sentence: Sentence, hits: Sequence[Hit], *, scorer: PairScorer) -> Sentence | None:
    """Give the sentence after one that answers, if both together are clearly the better answer to the scorer.

    ``Is my phone insured?`` wants ``Purchases are insured.`` and ``Phones are excluded.`` None for Chinese, which the
    scorer does not read.
    """
    if lexicon.is_cjk(question):
        return None
    document = sentence.hit.chunk.document_id
    after = (one for one in split(hits) if one.before == sentence.text and one.hit.chunk.document_id == document)
    following = next(after, None)
    if following is None:
        return None
    alone, both = scorer.score([(question, sentence.passage), (question, f"{sentence.passage} {following.text}")])
    return following if both > alone + BETTER else None


def _averaged(whole: Sequence[Candidate], asking: Sequence[Candidate]) -> list[Candidate]:
    """Average two readings. What the asking part rules out by kind, days or colours stays out; doubt alone halves."""
    readings = [{id(candidate.sentence): candidate for candidate in found} for found in (whole, asking)]
    averaged = []
    for key, candidate in (readings[1] | readings[0]).items():
        judged = [found[key] for found in readings if key in found]
        is_out = any(judged[-1].features[name] > 0 for name in VETOES if name != "denied")
        averaged.append(replace(candidate, probability=0.0 if is_out else sum(one.probability for one in judged) / 2))
    return averaged


def _read(question: str, pool: Sequence[Sentence], encoder: Encoder, scorer: PairScorer) -> list[Candidate]:
    """Judge the sentences nearest to the question."""
    terms = lexicon.surface(question)
    if not pool or not terms:
        return []
    chinese = lexicon.is_cjk(question)
    found = _in_characters(question, pool) if chinese else _Close(question, pool, encoder, scorer).described(terms)
    table_, checked = table()["chinese" if chinese else "english"], _Checks(question, terms)
    candidates = []
    for sentence, described in found:
        features = described | checked.of(sentence)
        logit = table_["bias"] + sum(weight * features[name] for name, weight in table_["weights"].items())
        vetoed = any(features.get(name, 0) > 0 for name in VETOES)
        candidates.append(Candidate(sentence, 0.0 if vetoed else 1 / (1 + float(np.exp(-logit))), features))
    return candidates


@cache
def table() -> dict[str, Any]:
    """Give the fitted weights and thresholds, for English and Chinese questions."""
    read: dict[str, Any] = json.loads(files("mmsdk").joinpath("answerability.json").read_text("utf-8"))
    return read


class _Close:
    """Look closely at the sentences nearest to a question."""

    def __init__(self, question: str, pool: Sequence[Sentence], encoder: Encoder, scorer: PairScorer) -> None:
        self.question, self.encoder = question, encoder
        self.frequency: dict[str, int] = {}
        for sentence in pool:
            for term in lexicon.content(sentence.text):
                self.frequency[term] = self.frequency.get(term, 0) + 1
        self.size = len(pool)
        self.known = {term for s in pool for term in lexicon.surface(f"{s.text} {s.context}")}
        bare, context = self._cosines([s.text for s in pool]), self._cosines([s.statement for s in pool])
        order = np.argsort(-np.maximum(bare, context), kind="stable")[:CLOSEST]
        self.pool = [pool[position] for position in order]
        self.bare, self.context = bare[order], context[order]
        self.cross = scorer.score([(question, sentence.passage) for sentence in self.pool])

    def _cosines(self, texts: Sequence[str]) -> NDArray[np.float32]:
        unique = list(dict.fromkeys([self.question, *texts]))
        vectors = self.encoder.encode(unique)
        row = {text: vectors[position] @ vectors[0] for position, text in enumerate(unique)}
        return np.array([row[text] for text in texts], np.float32)

    def described(self, terms: Mapping[str, str]) -> Iterator[tuple[Sentence, dict[str, float]]]:
        near = _Synonyms(terms, [s.context + " " + s.hit.chunk.text for s in self.pool], self.encoder)
        rarity = np.array([np.log((self.size + 1) / (self.frequency.get(term, 0) + 0.5)) + 0.1 for term in terms])
        rarity = np.clip(rarity, 0.1, None)
        named = lexicon.names(self.question)
        nearest = np.maximum(self.bare, self.context)
        for position, sentence in enumerate(self.pool):
            here = lexicon.surface(f"{sentence.text}\n{sentence.context}")
            around = lexicon.surface(f"{sentence.hit.chunk.text}\n{sentence.context}")
            close, wide = near.to(here), near.to(around)
            rivals = np.delete(nearest, position)
            yield (
                sentence,
                {
                    "cross": float(self.cross[position]),
                    "denied": float(self.cross[position] < DENIED),
                    "context_cosine": float(self.context[position]),
                    "bare_cosine": float(self.bare[position]),
                    "above": float(nearest[position] - rivals.mean()) if len(rivals) else 0.0,
                    "cover": float(close @ rarity / rarity.sum()),
                    "cover_passage": float(wide @ rarity / rarity.sum()),
                    "worst": float(close.min()),
                    "exact": float(np.mean([term in here for term in terms])),
                    "missing_names_here": float(min(2, _missing(named, here))),
                    "absent": float(np.mean([term not in self.known for term in terms])),
                    "brief": 1 / len(terms),
                    "missing_names": float(_missing(named, around)),
                },
            )


def _in_characters(question: str, pool: Sequence[Sentence]) -> Iterator[tuple[Sentence, dict[str, float]]]:
    """Describe the sentences that share most with a Chinese question."""
    found = characters.described(question, [s.text for s in pool], [s.statement for s in pool])
    order = np.argsort([-one["letters"] - one["pairs"] for one in found], kind="stable")[:CLOSEST]
    yield from ((pool[position], found[position]) for position in order)


class _Checks:
    """Look for the kind of answer, the days and colours, and the numbers that a question names, in any language."""

    def __init__(self, question: str, terms: Mapping[str, str]) -> None:
        self.terms = terms
        self.kind, self.numbers = kinds.wanted(question), lexicon.numbers(question)
        self.specific = lexicon.specific(_asking(question), spans=False)

    def of(self, sentence: Sentence) -> dict[str, float]:
        """Give the vetoes, and how many of the question's numbers are missing."""
        statement = sentence.statement
        return {
            "kind_missing": float(self.kind is not None and not self._given(self.kind, sentence)),
            "missing_specific": float(len(self.specific - lexicon.specific(statement))),
            "missing_numbers": float(len(self.numbers - lexicon.numbers(statement))),
        }

    def _given(self, kind: kinds.Kind, sentence: Sentence) -> bool:
        """Tell whether a sentence can give an answer of a kind.

        A bare figure has its unit in a title now and then, and in a row of a table under a column that the question
        names.
        """
        if kind.given.search(sentence.text):
            return True
        columns = {term for match in _COLUMN.finditer(sentence.text) for term in lexicon.surface(match.group(1))}
        figure = any(letter.isdigit() for letter in sentence.text)
        return figure and bool(kind.given.search(sentence.context) or columns & self.terms.keys())


def _asking(message: str) -> str:
    """Leave out what is told around a question, unless the question points back to it.

    A day or a colour of the story need not stand in the answer: ``It came on Monday. May I send it back?``
    """
    parts = [message[start:stop] for start, stop in sentences(message)]
    if not any(part.endswith(("?", "？")) for part in parts):
        return message
    asking = " ".join(part for part in parts if not part.endswith(_ENDED))
    return message if _BACK.search(asking) else asking


def _missing(names: set[str], there: Mapping[str, str]) -> int:
    """Count names that do not occur, not even at the beginning of a longer word (``Mac`` in ``macOS``)."""
    meanings = lexicon.meanings(there)
    absent = [name for name in names if not any(term.startswith(name) for term in there)]
    return sum(not meanings & lexicon.meanings([name]) for name in absent)


class _Synonyms:
    """Say how near each term of a question comes to one of many other terms, in [0, 1]; the same term is 1."""

    def __init__(self, terms: Mapping[str, str], texts: Sequence[str], encoder: Encoder) -> None:
        self.terms = terms
        known = dict(terms)
        for text in texts:
            for term, word in lexicon.surface(text).items():
                known.setdefault(term, word)
        self.rows = {term: row for row, term in enumerate(known)}
        self.cosines: Vectors = np.zeros((len(terms), len(known)), np.float32)
        words = [(row, word) for row, word in enumerate(known.values()) if not lexicon.is_cjk(word)]
        if words:
            vectors = np.zeros((len(known), encoder.dimension), np.float32)
            vectors[[row for row, _ in words]] = encoder.encode([word for _, word in words])
            self.cosines = vectors[: len(terms)] @ vectors.T

    def to(self, others: Mapping[str, str]) -> NDArray[np.float64]:
        """Give for each question term its nearness to the nearest of ``others``."""
        columns = [self.rows[term] for term in others if term in self.rows]
        letters, meanings = set("".join(others)), lexicon.meanings(others)
        best = []
        for row, term in enumerate(self.terms):
            if term in others:
                best.append(1.0)
            elif meanings & lexicon.meanings([term]):
                best.append(SYNONYM)
            elif lexicon.is_cjk(term):
                best.append(LETTERS * float(np.mean([letter in letters for letter in term])))
            else:
                best.append(float(np.clip(self.cosines[row, columns].max(), 0, 1)) if columns else 0.0)
        return np.array(best)
