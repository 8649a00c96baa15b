"""Decide whether a passage supports a statement: numbers, names, negation, limits, words and likeness.

The check is one-sided: it may refuse what a reader would accept, because a refused statement is
replaced by a quotation, but what it accepts says nothing that the passage does not say. It compares
wording only; it does not know whether the passage is true.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mmsdk import lexicon
from mmsdk.protocols import Encoder
from mmsdk.statements import Sentence

LIKE = 0.6
"""Least cosine between a statement and the sentence that supports it."""
_PIECE = re.compile(r"[;；|\n]")
_COLUMN = re.compile(r"[^:：]{1,60}[:：](?=\s)")


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
    about = set(lexicon.content(f"{sentence.text}\n{sentence.context}"))
    for name, values, known in (
        ("number", lexicon.numbers(statement), lexicon.numbers(sentence.text)),
        ("name", lexicon.names(statement), about),
        ("specific", lexicon.specific(statement), lexicon.specific(sentence.text)),
        ("word", said, about),
    ):
        if values - known:
            return f"{name} {', '.join(sorted(values - known)[:5])} not in the passage"
    if statement.rstrip().endswith(("?", "？")):
        return "a question"
    if lexicon.negated(statement) != lexicon.negated(sentence.text):
        return "negation differs"
    if lexicon.relations(statement) != lexicon.relations(sentence.text):
        return "limits differ"
    if not _in_order(statement, sentence.text):
        return "the order of its words differs"
    return _misattributed(statement, said, sentence.text)


def _in_order(statement: str, passage: str) -> bool:
    """Tell whether the words that both have follow each other alike, so that nobody swaps buyer and seller."""
    there = lexicon.sequence(passage)
    known = set(there)
    rest = iter(there)
    return all(term in rest for term in lexicon.sequence(statement) if term in known)


def _misattributed(statement: str, said: set[str], passage: str) -> str:
    """Name a number that the statement took from its owner: 100 of ``a bed of 100 cm``, 40 of ``Child: 40``."""
    for figure in lexicon.numbers(statement):
        owners = [owner for piece in _PIECE.split(passage) for owner in _owners(piece, figure)]
        if owners and all(owner - said for owner in owners):
            return f"{figure} belongs to {', '.join(sorted(owners[0] - said))} in the passage"
    return ""


def _owners(piece: str, figure: str) -> Iterator[set[str]]:
    """Give the words that each place of a number belongs to: its neighbours, or the name of its column."""
    terms = lexicon.sequence(piece)
    column = _COLUMN.match(piece)
    for place, term in enumerate(terms):
        if term == figure:
            before = lexicon.sequence(column.group()) if column else terms[max(0, place - 1) : place]
            near = {*before, *terms[place + 1 : place + 2]}
            yield {word for word in near if not word[0].isdigit()}


def _cosine(statement: str, sentence: Sentence, encoder: Encoder) -> float:
    one, *others = encoder.encode([statement, sentence.text, f"{sentence.context}: {sentence.text}"])
    return max(float(one @ other) for other in others)
