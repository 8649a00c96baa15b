"""What a word shows without an encoder: its shape, affixes, neighbours, and whether a lexicon knows the phrase.

Features are hashed to numbers by CRC-32 (Weinberger et al. 2009, https://arxiv.org/abs/0902.2206). Shapes and affixes
matter because the bundled encoder reads lower case.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from mmsdk_graph.annotations import Sentence

BUCKETS = 1 << 16
SHAPES = ("lower", "Title", "UPPER", "Mixed", "digits", "letters and digits", "marks", "other")
_LONGEST = 8  # words of a phrase of the lexicon
_KEPT = 1 << 14  # words and names whose numbers are kept


def shape(word: str) -> int:
    """Give the place of a word's shape in ``SHAPES``."""
    if not any(character.isalnum() for character in word):
        return 6
    if any(character.isdigit() for character in word):
        return 5 if any(character.isalpha() for character in word) else 4
    if word.islower():
        return 0
    if word.isupper():
        return 2 if len(word) > 1 else 1
    if word[0].isupper():
        return 1 if word[1:].islower() else 3
    return 3 if any(character.isupper() for character in word) else 7


class Lexicon:
    """Know the phrases that were entities of the sentences it was made from, and of which type.

    >>> from mmsdk_graph.annotations import Entity
    >>> lexicon = Lexicon.of([Sentence(("New", "York"), (Entity(0, 2, "Loc"),))] * 2)
    >>> lexicon.marks(("in", "New", "York"))
    [[], ['B-Loc'], ['I-Loc']]
    """

    def __init__(self, counts: dict[str, dict[str, int]]) -> None:
        self.counts = counts
        self._firsts = {phrase.split(" ", 1)[0] for phrase in counts}

    @classmethod
    def of(cls, sentences: Iterable[Sentence]) -> "Lexicon":
        """Count in how many sentences each phrase is an entity of each type."""
        counts: dict[str, Counter[str]] = {}
        for sentence in sentences:
            for phrase, kind in _phrases(sentence):
                counts.setdefault(phrase, Counter())[kind] += 1
        return cls({phrase: dict(kinds) for phrase, kinds in counts.items()})

    def marks(self, tokens: Sequence[str], own: Sentence | None = None) -> list[list[str]]:
        """Mark the words of known phrases; ``own`` is a sentence the lexicon was made from, whose share is left out."""
        less = _phrases(own) if own is not None else set()
        marks: list[list[str]] = [[] for _ in tokens]
        folded = [token.casefold() for token in tokens]
        for start in [n for n, word in enumerate(folded) if word.split(" ", 1)[0] in self._firsts]:
            for stop in range(start + 1, min(start + _LONGEST, len(tokens)) + 1):
                phrase = " ".join(folded[start:stop])
                for kind, count in self.counts.get(phrase, {}).items():
                    if count - ((phrase, kind) in less) > 0:
                        marks[start].append(f"B-{kind}")
                        for inside in range(start + 1, stop):
                            marks[inside].append(f"I-{kind}")
        return marks


def _phrases(sentence: Sentence) -> set[tuple[str, str]]:
    return {(" ".join(sentence.tokens[e.start : e.end]).casefold(), e.type) for e in sentence.entities}


def hashed(tokens: Sequence[str], marks: Sequence[Sequence[str]], signals: Sequence[str]) -> list[list[int]]:
    """Give the numbers, in [0, BUCKETS), of the features of each word; ``signals`` is what spaCy takes it for."""
    shapes = [_long_shape(token) for token in tokens]
    rows = []
    for place, word in enumerate(tokens):
        found = [*_own(word), *(_number(f"l={mark}") for mark in dict.fromkeys(marks[place]))]
        found.append(_number(f"n={signals[place]}"))
        for step in (-2, -1, 1, 2):
            near = place + step
            inside = 0 <= near < len(tokens)
            found.append(_near(tokens[near] if inside else "^", step))
            found.append(_number(f"n{step}={signals[near] if inside else '^'}"))
            if abs(step) == 1:
                found.append(_number(f"s{step}={shapes[near] if inside else '^'}/{shapes[place]}"))
        rows.append(found)
    return rows


@lru_cache(_KEPT)
def _own(word: str) -> tuple[int, ...]:
    low = word.casefold()
    names = [f"w={low}", f"W={word}", f"s={_long_shape(word)}"]
    names += [f"p{n}={word[:n]}" for n in (1, 2, 3)] + [f"x{n}={low[-n:]}" for n in (2, 3, 4)]
    return tuple(map(_number, names))


@lru_cache(_KEPT)
def _near(word: str, step: int) -> int:
    return _number(f"w{step}={word.casefold()}")


@lru_cache(_KEPT)
def _number(name: str) -> int:
    return zlib.crc32(name.encode()) % BUCKETS


@lru_cache(_KEPT)
def _long_shape(word: str) -> str:
    plain = re.sub(r"[^\W\d_]", lambda found: "X" if found.group().isupper() else "x", word)
    return re.sub(r"(.)\1+", r"\1\1", re.sub(r"\d", "d", plain))[:12]
