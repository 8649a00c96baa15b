"""Say what a Chinese question shares with the sentences around it: characters, pairs of them, and the longest run.

The bundled models do not read Chinese, so this is wording only: no synonyms, no paraphrase. What few sentences have
counts more than what many have.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsdk.chunking import CJK

FEATURES = (
    "letters_here",
    "letters",
    "pairs_here",
    "pairs",
    "margin",
    "above",
    "worst",
    "nowhere",
    "pairs_nowhere",
    "longest",
    "brief",
    "length",
)
"""Shares of the question's characters and pairs found in the sentence alone and with its context, how far their sum is
above the best and the mean of the others, the rarest missing character, shares found in no sentence, the longest
common run, one over the number of characters asked, and the logarithm of the sentence's length."""
_LIGHT = frozenset("的了吗呢么啊吧是在有和与及或我你您他她它们这那个一请问能可以要会怎样什哪几多少为")
_RUN = re.compile(rf"[{CJK}]+|[A-Za-z]+|\d+(?:\.\d+)?")
_LETTER = re.compile(rf"[{CJK}]|[A-Za-z]+|\d+(?:\.\d+)?")
_LONGEST = 8


def described(question: str, texts: Sequence[str], statements: Sequence[str]) -> list[dict[str, float]]:
    """Give ``FEATURES`` of each sentence; ``texts`` are the sentences alone, ``statements`` behind their contexts."""
    letters = _shares(_letters(question) - _LIGHT, [_letters(t) for t in texts], [_letters(s) for s in statements])
    asked = {pair for pair in _pairs(question) if not _LIGHT.issuperset(pair)}
    pairs = _shares(asked, [_pairs(text) for text in texts], [_pairs(statement) for statement in statements])
    both, size = letters.there + pairs.there, max(1, len(_LETTER.findall(question)))
    found = []
    for row, (text, statement) in enumerate(zip(texts, statements, strict=True)):
        others = np.delete(both, row)
        values = [letters.here[row], letters.there[row], pairs.here[row], pairs.there[row]]
        values += [both[row] - others.max(), both[row] - others.mean()] if len(others) else [0.0, 0.0]
        values += [letters.worst[row], letters.nowhere, pairs.nowhere, _longest(question, statement) / size]
        values += [1 / max(1, letters.size), math.log1p(len(text))]
        found.append(dict(zip(FEATURES, map(float, values), strict=True)))
    return found


@dataclass(frozen=True)
class _Shares:
    here: NDArray[np.float64]
    there: NDArray[np.float64]
    worst: NDArray[np.float64]
    nowhere: float
    size: int


def _shares(asked: set[str], here: Sequence[set[str]], there: Sequence[set[str]]) -> _Shares:
    most = len(here) + 1
    rarity = {term: math.log(most / (sum(term in one for one in here) + 0.5)) for term in sorted(asked)}
    total = sum(rarity.values()) or 1.0

    def share(one: set[str]) -> float:
        return sum(value for term, value in rarity.items() if term in one) / total

    worst = [
        max((v for term, v in rarity.items() if term not in one), default=0.0) / math.log(2 * most) for one in there
    ]
    gone = [not any(term in one for one in here) for term in rarity]
    return _Shares(
        np.array([share(one) for one in here]),
        np.array([share(one) for one in there]),
        np.array(worst),
        float(np.mean(gone)) if gone else 0.0,
        len(asked),
    )


def _letters(text: str) -> set[str]:
    return set(_LETTER.findall(text.casefold()))


def _pairs(text: str) -> set[str]:
    found: set[str] = set()
    for run in _RUN.findall(text.casefold()):
        found.update({run} if run.isascii() else {run[place : place + 2] for place in range(len(run) - 1)})
    return found


def _longest(question: str, statement: str) -> int:
    """Give the length of the longest run of the question, of up to eight characters, that stands in a statement."""
    return next(
        (
            size
            for size in range(_LONGEST, 1, -1)
            if any(question[start : start + size] in statement for start in range(len(question) - size + 1))
        ),
        0,
    )
