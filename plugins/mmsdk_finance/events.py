"""One event, many copies: which items tell the same story within a window of time.

A copy is found by equal words, by nearly equal words (MinHash of word pairs, Broder 1997, then their overlap) or by
meaning (cosine of vectors). Items with other figures, other names, an opposite direction or a negation more are
never one event, however near their words. Nothing here is stored.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mmsdk.chunking import CJK

Match = Literal["exact", "near", "meaning"]
_TOKEN = re.compile(rf"[{CJK}]|[^\W_]+(?:[.,'’%-][^\W_]+)*", re.UNICODE)
_MINOR = frozenset(
    re.findall(r"\w+", "a an the of to in on at by for and as is are was its it with from after that has have will")
)
_UP = re.compile(
    r"\b(?:up|rise[sn]?|rising|rose|gain\w*|jump\w*|surg\w+|soar\w*|climb\w*|rall(?:y|ies|ied)|beat[s]?|top[s]?|rais\w+|"
    r"upgrad\w+|higher|increas\w+|widen\w*|wins?|approv\w+|grow[sn]?|grew|record high)\b|[上涨升增]",
    re.IGNORECASE,
)
_DOWN = re.compile(
    r"\b(?:down|falls?|fell|falling|drop\w*|plung\w+|sink[s]?|slump\w*|tumbl\w+|slid\w*|miss(?:es|ed)?|cut[s]?|"
    r"downgrad\w+|lower\w*|decreas\w+|narrow\w*|los(?:es?|t)|reject\w+|shrink\w*|shrank|record low)\b|[下跌降减]",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"\b(?:not|no|never|denies|denied|without|fails?|cancel\w*|withdraw\w*|n[o']t)\b|[不未无否]", re.IGNORECASE
)
_HASHES, _ROWS = 64, 2
_PRIME = (1 << 61) - 1
_random = np.random.default_rng(20250106)
_FACTORS = _random.integers(1, 1 << 31, _HASHES, dtype=np.uint64)
_SHIFTS = _random.integers(0, 1 << 31, _HASHES, dtype=np.uint64)


@dataclass(frozen=True)
class Sketch:
    """Hold what two texts are compared by."""

    digest: str
    words: frozenset[str]
    figures: frozenset[str]
    tickers: frozenset[str]
    direction: int
    negated: bool
    bands: tuple[int, ...]


@dataclass
class Story:
    """Hold an event that is remembered: its number, its time in seconds since 1970, and how it was first told."""

    number: int
    at: float
    sketch: Sketch
    vector: NDArray[np.float32] | None = None


@dataclass
class Stories:
    """Remember the stories of the last ``window`` seconds and find the one that an item repeats.

    ``overlap`` is the least Jaccard similarity of words for a near copy, ``cosine`` the least for one in meaning.

    >>> stories = Stories()
    >>> stories.add(Story(1, 0.0, sketch("Calder cuts its outlook for 2025 after a weak quarter", ["CLD"])))
    >>> stories.match(sketch("UPDATE 1-Calder cuts outlook for 2025 after weak quarter", ["CLD"]), at=600.0)
    (1, 'near')
    """

    window: float = 72 * 3600.0
    overlap: float = 0.6
    cosine: float = 0.9
    _stories: dict[int, Story] = field(default_factory=dict)
    _index: dict[tuple[str, str | int], set[int]] = field(default_factory=lambda: defaultdict(set))
    _forgotten: float = float("-inf")

    def match(
        self, wanted: Sketch, at: float, *, vector: NDArray[np.float32] | None = None
    ) -> tuple[int, Match] | None:
        """Give the number of the story that an item repeats, and how that was seen, or None."""
        for number in sorted(self._at("exact", wanted.digest)):
            if self._near_in_time(number, at) and _compatible(wanted, self._stories[number].sketch):
                return number, "exact"
        found = [(_overlap(wanted, self._stories[n].sketch), -n) for n in self._candidates(wanted, at)]
        likeness, negative = max(found, default=(0.0, 0))
        if likeness >= self.overlap:
            return -negative, "near"
        return None if vector is None else self._same_meaning(wanted, at, vector)

    def add(self, story: Story) -> None:
        """Remember a story."""
        self._stories[story.number] = story
        for key in _keys(story.sketch):
            self._index[key].add(story.number)

    def forget(self, before: float) -> None:
        """Forget the stories before a time, seconds since 1970; put off until it has moved enough to matter."""
        if before - self._forgotten < self.window / 10:
            return
        self._forgotten = before
        for number in [number for number, story in self._stories.items() if story.at < before]:
            self.remove(number)

    def remove(self, number: int) -> None:
        """Forget one story; one that is not remembered is passed over."""
        story = self._stories.pop(number, None)
        for key in _keys(story.sketch) if story else ():
            self._index[key].discard(number)
            if not self._index[key]:
                del self._index[key]

    def __len__(self) -> int:
        return len(self._stories)

    def _near_in_time(self, number: int, at: float) -> bool:
        return abs(self._stories[number].at - at) <= self.window

    def _at(self, kind: str, value: str | int) -> set[int]:
        return self._index.get((kind, value), set())

    def _candidates(self, wanted: Sketch, at: float) -> list[int]:
        numbers = {number for band in wanted.bands for number in self._at("band", band)}
        return [
            number
            for number in numbers
            if self._near_in_time(number, at) and _compatible(wanted, self._stories[number].sketch)
        ]

    def _same_meaning(self, wanted: Sketch, at: float, vector: NDArray[np.float32]) -> tuple[int, Match] | None:
        numbers = {number for ticker in wanted.tickers for number in self._at("ticker", ticker)}
        known = {
            number: story.vector
            for number in sorted(numbers)
            if (story := self._stories[number]).vector is not None
            and self._near_in_time(number, at)
            and _compatible(wanted, story.sketch)
        }
        if not known:
            return None
        closeness = np.stack([row for row in known.values() if row is not None]) @ vector
        best = int(closeness.argmax())
        return (list(known)[best], "meaning") if closeness[best] >= self.cosine else None


def _keys(wanted: Sketch) -> Iterator[tuple[str, str | int]]:
    yield "exact", wanted.digest
    yield from (("band", band) for band in wanted.bands)
    yield from (("ticker", ticker) for ticker in wanted.tickers)


def sketch(text: str, tickers: Sequence[str] = ()) -> Sketch:
    """Give what a text is compared by; ``tickers`` are those it speaks of."""
    bare = re.sub(
        r"\$[A-Za-z]{1,6}\b|\([A-Z]+:\s?[A-Z.]+\)|https?://\S+|^(?:UPDATE \d+|BRIEF|RPT|REFILE)\s*[-:]\s*", " ", text
    )
    tokens = [token.casefold() for token in _TOKEN.findall(bare)]
    words = frozenset(token for token in tokens if token not in _MINOR)
    direction = bool(_UP.search(bare)) - bool(_DOWN.search(bare))
    return Sketch(
        digest=hashlib.sha256(" ".join(tokens).encode("utf-8", "replace")).hexdigest(),
        words=words,
        figures=frozenset(word for word in words if any(letter.isdigit() for letter in word)),
        tickers=frozenset(tickers),
        direction=direction,
        negated=bool(_NOT.search(bare)),
        bands=_bands(words),
    )


def _bands(words: frozenset[str]) -> tuple[int, ...]:
    """Give the bands of a MinHash signature of the words (Leskovec et al., Mining of Massive Datasets, 3.4)."""
    if not words:
        return ()
    hashes = np.array([_hash(word) for word in words], np.uint64)
    signature = ((hashes[:, None] * _FACTORS + _SHIFTS) % np.uint64(_PRIME)).min(axis=0)
    rows = signature.reshape(-1, _ROWS)
    return tuple(hash((place, *row)) for place, row in enumerate(rows.tolist()))


@lru_cache(maxsize=1 << 14)
def _hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=4).digest())


def _overlap(one: Sketch, other: Sketch) -> float:
    """Give the Jaccard similarity of words, or how much of the shorter is in the longer when that is long enough."""
    shared = len(one.words & other.words)
    shorter = min(len(one.words), len(other.words))
    whole = shared / len(one.words | other.words) if shorter else 0.0
    return max(whole, 0.75 * shared / shorter if shared >= 5 else 0.0)


def _compatible(one: Sketch, other: Sketch) -> bool:
    """Tell whether two texts can be about one event: names, figures, direction and negation do not contradict."""
    if one.tickers != other.tickers and not (one.tickers & other.tickers):
        return False
    if not (one.figures <= other.figures or other.figures <= one.figures):
        return False
    return one.negated == other.negated and one.direction * other.direction >= 0
