"""One state of a collection and the searches that ask it, so that what they give fits together.

It knows nothing of how a transaction begins, of writers or of how an index is built.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import apsw

from mmsdk.stores import fulltext, reading
from mmsdk.stores.indexes.exact import Numbers, merged
from mmsdk.stores.published import View, revision_of
from mmsdk.stores.scores import Scored, Scores
from mmsdk.types import Filter, Modality, Vectors

_NAMES = 1 << 16
"""Names of chunks that are kept, some 10 MB."""
_FIRST = 8
"""So many questions of a state are ranked by SQLite: perhaps there are no more until it changes."""


class Memory:
    """Remember between snapshots the ids of chunks, which never change, and what words score; threads may share it."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._scores: Scores | None = None
        self._questions = 0

    def names(self, numbers: Sequence[int], find: Callable[[Sequence[int]], Mapping[int, str]]) -> list[str]:
        """Give the id of each number; ``find`` tells those that are not known yet."""
        known = self._names
        named = list(map(known.get, numbers))
        if None not in named:
            return named  # type: ignore[return-value]
        found = find([number for number, name in zip(numbers, named, strict=True) if name is None])
        if len(known) + len(found) > _NAMES:
            self._names = known = {}
        known.update(found)
        return [found[number] if name is None else name for number, name in zip(numbers, named, strict=True)]

    def scores(self, connection: apsw.Connection) -> Scores | None:
        """Give what words score in the state that is seen, once it was asked a few questions and is not an older one.

        SQLite ranks those faster than it tells all scores.
        """
        held, revision = self._scores, revision_of(connection)
        if held is None or held.revision < revision:
            self._scores, self._questions = Scores(revision, reading.last(connection)), 0
        elif held.revision == revision:
            self._questions += 1
            return held if self._questions > _FIRST else None
        return None

    def forget(self) -> None:
        """Forget everything: the numbers are given anew."""
        self._names, self._scores = {}, None


class Snapshot:
    """Search what ``connection`` sees within its transaction; ``views`` show the vectors as of it."""

    def __init__(self, connection: apsw.Connection, views: Sequence[View], memory: Memory) -> None:
        self.connection, self.views, self._memory = connection, views, memory
        self._passing: dict[reading.Condition, Numbers] = {}

    def search(
        self, space: str, vectors: Vectors, k: int, *, where: Filter | None = None, kind: Modality | None = None
    ) -> list[list[tuple[str, float]]]:
        """Give for each query row the ``k`` nearest (chunk id, cosine), best first; ``kind`` is that of the content."""
        shelves = reading.in_space([view.shelf for view in self.views], space)
        chosen = [v for v in self.views if len(v) and v.shelf in shelves and kind in (None, v.shelf.kind)]
        among = None if where is None else self._among(reading.condition(where))
        lists = [
            view.search(vectors, k, among=among, read=partial(reading.vectors_at, self.connection, view.shelf))
            for view in chosen
        ]
        if len(lists) != 1:
            lists = [[merged([found[row] for found in lists], k) for row in range(len(vectors))]]
        return [
            list(zip(self._named(numbers.tolist()), cosines.tolist(), strict=True)) for numbers, cosines in lists[0]
        ]

    def search_text(self, query: str, k: int, *, where: Filter | None = None) -> list[tuple[str, float]]:
        """Give the ``k`` best (chunk id, BM25 score, higher is better) by full text."""
        asked = fulltext.words(query, is_query=True)
        if not asked:
            return []
        condition = None if where is None else reading.condition(where)
        numbers, scores = self._scored(asked, k, condition)
        return list(zip(self._named(numbers.tolist()), scores.tolist(), strict=True))

    def _scored(self, words: Sequence[str], k: int, condition: reading.Condition | None) -> Scored:
        scores = self._memory.scores(self.connection)
        if scores is None or (condition is not None and not scores.knows(words)):  # a filter leaves little to rank
            return reading.words(self.connection, fulltext.expression(words), k, among=condition)
        among = None if condition is None else self._among(condition)
        return scores.best(words, k, find=self._found, among=among)

    def _found(self, word: str) -> Scored:
        return reading.scored(self.connection, fulltext.expression([word]))

    def _named(self, numbers: Sequence[int]) -> list[str]:
        return self._memory.names(numbers, partial(reading.names, self.connection))

    def _among(self, condition: reading.Condition) -> Numbers:
        """Give the numbers of the chunks that pass, found once a filter."""
        if condition not in self._passing:
            self._passing[condition] = reading.numbers(self.connection, condition)
        return self._passing[condition]


class Own(threading.local):
    """Hold the snapshot that a thread is within."""

    seen: Snapshot | None = None
