"""Find the sentence that answers a question, and say how likely it is that it does.

A logistic model: for English over the scores of two models that read question and sentence together
(``encoders/cross.py`` and ``reader.py``) and whether they agree, and for every language over how near both are,
whether what the question is about occurs there, word for word or by a near synonym, and whether a named thing is
missing. A sentence without the amount, time, person or place that was asked for is ruled out. Weights and thresholds
stand in ``answerability.json`` and were fitted on invented documents (benchmarks/answerability). It judges wording, not
truth; two sentences are never combined, and numbers are not computed.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsdk import characters, kinds, lexicon
from mmsdk.chunking import sentences
from mmsdk.protocols import Encoder, PairScorer
from mmsdk.statements import Sentence, split
from mmsdk.types import Hit, Vectors

ENGLISH = (
    "logit",
    "agreed",
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
    "unsaid",
)
"""What the model weighs for English: the mean of the scorers' logits; whether all of them hold this sentence for the
best one, as they err on different sentences; numbers of the question that stand neither in the
sentence nor in its context, and named things that stand nowhere near; cosines of the sentence in its context and alone,
and how far it is above the mean of its rivals (not above the next: a fact that stands in two places is no worse); how
well the question's words are covered by the sentence and by the passage, the worst covered word, the share found word
for word, named things not in the sentence, the share of words found nowhere, one over the number of words, and days and
colours of the question that the sentence does not say."""
CHINESE = (*characters.FEATURES, "missing_numbers", "unsaid")
"""What it weighs for Chinese, which the scorers do not read."""
SYNONYM = 0.9
"""How near two words are that the list of synonyms names together; the same word is 1."""
LETTERS = 0.8
"""How near a pair of CJK characters is to a text that has both of them, but not side by side."""
VETOES = ("kind_missing", "contradicted", "denied")
"""Features that rule a sentence out: no price where one was asked for, only other days, months or colours than the
question names, an English sentence that the scorers clearly hold for no answer, however near its words are."""
DENIED = -2.0
"""Below which mean logit the scorers clearly hold a sentence for no answer."""
BETTER = 0.5
"""By how much a logit must rise for the next sentence to be quoted too."""
NEAR, CLOSEST = 40, 8
"""How many of the sentences nearest to a question the first scorer reads, how many of its best the others do."""
LETTERED = 12
"""How many of the sentences that share most with a Chinese question are looked at closely."""

_COLUMN = re.compile(r"(?:^|; )([^:;]{1,60}): (?=[^;]*\d)")  # in a row of a table, a column with a figure
_YES_OR_NO = re.compile(
    r"^\W*(?:(?:and|but|so|or|hi|hello|hey)\W+)?(?:is|are|was|were|am|do|does|did|can|could|may|might|must|shall|should|"
    r"will|would|has|have)\b",
    re.IGNORECASE,
)
_ENDED = (".", "!", "…", "。", "！")
_BACK = re.compile(r"\b(?:then|that (?:day|time|month|colou?r)|ones?)\b|(?:那|这)(?:天|时|个月|种?颜色)", re.IGNORECASE)


@dataclass(frozen=True)
class Candidate:
    """Hold a sentence, its features by name, and the probability that it answers the question."""

    sentence: Sentence
    probability: float
    features: Mapping[str, float] = field(default_factory=dict)


def rank(question: str, hits: Sequence[Hit], *, encoder: Encoder, scorers: Sequence[PairScorer]) -> list[Candidate]:
    """Judge the sentences of ``hits`` that are likeliest to answer, most probable answer first.

    ``encoder`` and ``scorers``, of which the first is quick and chooses what the others read, must be those that the
    weights were fitted with (``table()``).
    """
    pool = split(hits)
    if not pool or not lexicon.surface(question):
        return []
    if lexicon.is_cjk(question):
        described = _in_characters(question, pool)
    else:
        described = _Close(question, pool, encoder, scorers).described()
    return sorted(_read(question, described), key=lambda candidate: -candidate.probability)


def _nearness(question: str, pool: Sequence[Sentence], encoder: Encoder) -> Vectors:
    """Give the cosines of a question to sentences alone and in their context; float32 ``[2, len(pool)]``."""
    texts = list(dict.fromkeys([question, *(s.line for s in pool), *(s.statement for s in pool)]))
    vectors = encoder.encode(texts)
    row = dict(zip(texts, vectors @ vectors[0], strict=True))
    return np.array([[row[s.line] for s in pool], [row[s.statement] for s in pool]], np.float32)


def read_on(
    question: str, sentence: Sentence, hits: Sequence[Hit], *, scorers: Sequence[PairScorer]
) -> Sentence | None:
    """Give the sentence after one that answers, if both together are clearly the better answer to the scorers.

    ``Is my phone insured?`` wants ``Purchases are insured.`` and ``Phones are excluded.`` None for Chinese, which the
    scorers do not read.
    """
    if lexicon.is_cjk(question):
        return None
    document = sentence.hit.chunk.document_id
    after = (one for one in split(hits) if one.before == sentence.text and one.hit.chunk.document_id == document)
    following = next(after, None)
    if following is None:
        return None
    pairs = [(question, sentence.passage), (question, f"{sentence.passage} {following.line}")]
    alone, both = np.mean([scorer.score(pairs) for scorer in scorers], axis=0)
    return following if both > alone + BETTER else None


def _read(question: str, described: Iterable[tuple[Sentence, dict[str, float]]]) -> list[Candidate]:
    """Weigh what is known of sentences."""
    table_ = table()["chinese" if lexicon.is_cjk(question) else "english"]
    checked = _Checks(question, lexicon.surface(question))
    candidates = []
    for sentence, known in described:
        features = known | checked.of(sentence)
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
    """Look closely at the sentences of a pool that the first scorer, of those nearest to a question, puts first."""

    def __init__(
        self, question: str, pool: Sequence[Sentence], encoder: Encoder, scorers: Sequence[PairScorer]
    ) -> None:
        self.question, self.encoder, self.size = question, encoder, len(pool)
        self.frequency = Counter(term for sentence in pool for term in lexicon.content(sentence.line))
        self.known = {term for s in pool for term in lexicon.surface(f"{s.line} {s.context}")}
        cosines = _nearness(question, pool, encoder)
        near = np.argsort(-cosines.max(axis=0), kind="stable")[:NEAR]
        first, *others = scorers
        scores = first.score([(question, pool[place].passage) for place in near])
        best = np.argsort(-scores, kind="stable")[:CLOSEST]
        self.pool, (self.bare, self.context) = [pool[place] for place in near[best]], cosines[:, near[best]]
        pairs = [(question, sentence.passage) for sentence in self.pool]
        self.opinions = np.array([scores[best], *(scorer.score(pairs) for scorer in others)])

    def described(self) -> Iterator[tuple[Sentence, dict[str, float]]]:
        terms = lexicon.surface(self.question)
        near = _Synonyms(terms, [s.context + " " + s.hit.chunk.text for s in self.pool], self.encoder)
        rarity = np.array([np.log((self.size + 1) / (self.frequency[term] + 0.5)) + 0.1 for term in terms])
        rarity = np.clip(rarity, 0.1, None)
        named = lexicon.names(self.question)
        nearest = np.maximum(self.bare, self.context)
        logits, firsts = self.opinions.mean(axis=0), set(self.opinions.argmax(axis=1))
        for position, sentence in enumerate(self.pool):
            here = lexicon.surface(f"{sentence.line}\n{sentence.context}")
            around = lexicon.surface(f"{sentence.hit.chunk.text}\n{sentence.context}")
            close, wide = near.to(here), near.to(around)
            rivals = np.delete(nearest, position)
            yield (
                sentence,
                {
                    "logit": float(logits[position]),
                    "agreed": float(firsts == {position}),
                    "denied": float(logits[position] < DENIED),
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
    found = characters.described(question, [s.line for s in pool], [s.statement for s in pool])
    order = np.argsort([-one["letters"] - one["pairs"] for one in found], kind="stable")[:LETTERED]
    yield from ((pool[position], found[position]) for position in order)


class _Checks:
    """Look for the kind of answer, the days and colours, and the numbers that a question names, in any language."""

    def __init__(self, question: str, terms: Mapping[str, str]) -> None:
        self.terms = terms
        self.kind, self.numbers = kinds.wanted(question), lexicon.numbers(question)
        asking = _asking(question)
        self.specific = lexicon.specific(asking, spans=False)
        self.lists = _YES_OR_NO.match(asking) is None  # "Open on Monday?" is answered by "Tuesday to Sunday"

    def of(self, sentence: Sentence) -> dict[str, float]:
        """Give the vetoes, and how many of the question's numbers are missing."""
        statement = sentence.statement
        said = lexicon.specific(statement)
        return {
            "kind_missing": float(self.kind is not None and not self._given(self.kind, sentence)),
            "contradicted": float(lexicon.contradicted(self.specific, said, lists=self.lists)),
            "unsaid": float(len(self.specific - said)),
            "missing_numbers": float(len(self.numbers - lexicon.numbers(statement))),
        }

    def _given(self, kind: kinds.Kind, sentence: Sentence) -> bool:
        """Tell whether a sentence can give an answer of a kind.

        A bare figure has its unit in a title now and then, and in a row of a table under a column that the question
        names.
        """
        if kind.given.search(sentence.line):
            return True
        columns = {term for match in _COLUMN.finditer(sentence.line) for term in lexicon.surface(match.group(1))}
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
