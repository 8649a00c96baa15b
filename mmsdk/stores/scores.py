"""What BM25 gives for single words, kept in memory: a question's score is the sum of its words'.

SQLite's FTS5 looks up the length of every passage it ranks, anew for every question, and common words match thousands.
Their scores stay the same until the collection changes. It knows nothing of SQL or of how text is cut into words.
"""

from collections.abc import Callable, Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from mmsdk.stores.indexes.exact import Numbers, ranked

Scored = tuple[Numbers, NDArray[np.float64]]
"""Numbers of chunks and their BM25, higher is better."""
_MOST = 1 << 22
"""Scores that are kept, of 16 bytes; what a word costs besides counts as some more."""
_WORD = 32


class Scores:
    """Remember the scores of words in one revision, whose largest number is ``last``; safe to share between threads.

    >>> kept = Scores(revision=1, last=4)
    >>> scores = {"tent": ([2, 4], [1.0, 1.0]), "heavy": ([4], [2.5])}
    >>> found = kept.best(["heavy", "tent"], 10, find=lambda word: tuple(map(np.array, scores[word])))
    >>> [part.tolist() for part in found]
    [[4, 2], [3.5, 1.0]]
    """

    def __init__(self, revision: int, last: int) -> None:
        self.revision = revision
        self._last = last
        self._known: dict[str, Scored] = {}
        self._count = 0
        self._keeping = Lock()

    def knows(self, words: Sequence[str]) -> bool:
        """Say whether all of these are kept."""
        return all(word in self._known for word in words)

    def best(
        self, words: Sequence[str], k: int, *, find: Callable[[str], Scored], among: Numbers | None = None
    ) -> Scored:
        """Give the ``k`` best of a question's words, best first, ties by number; ``find`` tells those not known yet."""
        scores = np.zeros(self._last + 1)
        for word in words:
            numbers, values = self._of(word, find)
            scores[numbers] += values
        numbers = np.flatnonzero(scores) if among is None else among[scores[among] > 0]
        return ranked(numbers, scores[numbers], k)

    def _of(self, word: str, find: Callable[[str], Scored]) -> Scored:
        found = self._known.get(word)
        if found is None:
            found = find(word)
            with self._keeping:
                self._keep(word, found)
        return found

    def _keep(self, word: str, found: Scored) -> None:
        if word in self._known or _size(word, found) > _MOST:
            return
        self._known[word] = found
        self._count += _size(word, found)
        while self._count > _MOST:
            oldest = next(iter(self._known))
            self._count -= _size(oldest, self._known.pop(oldest))


def _size(word: str, found: Scored) -> int:
    return len(found[0]) + _WORD + len(word) // 16
