"""Decide whether a passage supports a statement: numbers, names, negation, limits, words and likeness.

The check is one-sided: it may refuse what a reader would accept, because a refused statement is
replaced by a quotation, but what it accepts says nothing that the passage does not say. It compares
wording only; it does not know whether the passage is true.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mmsdk import lexicon
from mmsdk.answerability import Sentence
from mmsdk.protocols import Encoder

LIKE = 0.6
"""Least cosine between a statement and the sentence that supports it."""
OVERLAP = 0.8
"""Least share of the content of a statement that must stand in the sentence that supports it."""


@dataclass(frozen=True)
class Verdict:
    """Say whether a statement is supported, by which sentence, and if not, why."""

    sentence: Sentence | None
    reason: str

    @property
    def supported(self) -> bool:
        """Whether a sentence supports the statement."""
        return self.sentence is not None


def judge(statement: str, passages: Sequence[Sentence], *, encoder: Encoder) -> Verdict:
    """Find the sentence of ``passages`` that supports a statement; the nearest in wording is tried first."""
    said = set(lexicon.content(statement))
    if not said or not passages:
        return Verdict(None, "says nothing that can be checked")
    shares = [_share(said, sentence) for sentence in passages]
    order = sorted(range(len(passages)), key=lambda row: -shares[row])
    reason = "no passage has these words"
    for row in order[:3]:
        sentence = passages[row]
        problem = _problem(statement, said, sentence)
        if not problem and statement not in sentence.text:
            likeness = _cosine(statement, sentence, encoder)
            problem = "" if likeness >= LIKE else f"likeness {likeness:.2f}"
        if not problem:
            return Verdict(sentence, "supported")
        reason = problem if row == order[0] else reason
    return Verdict(None, reason)


def _share(said: set[str], sentence: Sentence) -> float:
    return len(said & set(lexicon.content(sentence.text))) / len(said)


def _problem(statement: str, said: set[str], sentence: Sentence) -> str:
    """Name what keeps a sentence from supporting a statement, empty if nothing does."""
    there = set(lexicon.content(sentence.text))
    about = there | set(lexicon.content(sentence.context))
    for name, values, known in (
        ("number", lexicon.numbers(statement), lexicon.numbers(sentence.text)),
        ("name", lexicon.names(statement), about),
        ("limit", lexicon.relations(statement), lexicon.relations(sentence.text)),
        ("specific", lexicon.specific(statement), lexicon.specific(sentence.text)),
    ):
        if values - known:
            return f"{name} {', '.join(sorted(values - known))} not in the passage"
    if lexicon.negated(statement) != lexicon.negated(sentence.text):
        return "negation differs"
    if len(said & about) < OVERLAP * len(said) or len(said & there) < OVERLAP * len(said) - 1:
        return f"words not in the passage: {', '.join(sorted(said - about)[:5])}"
    return _misattributed(statement, sentence.text)


def _misattributed(statement: str, passage: str) -> str:
    """Name a number whose neighbour in the passage is not in the statement: 40 of ``the stove costs 40``."""
    said = set(lexicon.content(statement))
    for figure in lexicon.numbers(statement):
        neighbours = lexicon.neighbours(passage, figure)
        if neighbours and not neighbours & said:
            return f"{figure} belongs to {', '.join(sorted(neighbours))} in the passage"
    return ""


def _cosine(statement: str, sentence: Sentence, encoder: Encoder) -> float:
    one, *others = encoder.encode([statement, sentence.text, f"{sentence.context}: {sentence.text}"])
    return max(float(one @ other) for other in others)
