"""One state of a collection and the searches that ask it, so that what they give fits together.

It knows nothing of how a transaction begins, of writers or of how an index is built.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import apsw

from mmsdk.stores import reading
from mmsdk.stores.fulltext import expression
from mmsdk.stores.indexes.exact import Numbers, merged
from mmsdk.stores.published import View
from mmsdk.types import Filter, Modality, Vectors

_NAMES = 1 << 16
"""Names of chunks that are kept, some 10 MB."""


class Names:
    """Remember the ids of chunks by number, which never changes; safe to share between threads."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}

    def of(self, numbers: Sequence[int], find: Callable[[Sequence[int]], Mapping[int, str]]) -> dict[int, str]:
        """Give number to id; ``find`` tells those that are not known yet."""
        known = self._known
        named = dict(zip(numbers, map(known.get, numbers), strict=True))
        found = find([number for number, name in named.items() if name is None]) if None in named.values() else {}
        if len(known) + len(found) > _NAMES:
            self._known = known = {}
        known.update(found)
        return {number: found[number] if name is None else name for number, name in named.items()}

    def forget(self) -> None:
        """Forget everything: the numbers are given anew."""
        self._known = {}


class Snapshot:
    """Search what ``connection`` sees within its transaction; ``views`` show the vectors as of it."""

    def __init__(self, connection: apsw.Connection, views: Sequence[View], names: Names) -> None:
        self.connection, self.views, self._names = connection, views, names
        self._passing: dict[reading.Condition, Numbers] = {}

    def search(
        self, space: str, vectors: Vectors, k: int, *, where: Filter | None = None, kind: Modality | None = None
    ) -> list[list[tuple[str, float]]]:
        """Give for each query row the ``k`` nearest (chunk id, cosine), best first; ``kind`` is that of the content."""
        shelves = reading.in_space([view.shelf for view in self.views], space)
        chosen = [view for view in self.views if view.shelf in shelves and kind in (None, view.shelf.kind)]
        among = None if where is None else self._among(reading.condition(where))
        lists = [
            view.search(vectors, k, among=among, read=partial(reading.vectors_at, self.connection, view.shelf))
            for view in chosen
        ]
        found = [
            (numbers.tolist(), cosines.tolist())
            for numbers, cosines in ([merged(parts, k) for parts in zip(*lists, strict=True)] if lists else ())
        ] or [([], []) for _ in vectors]
        names = self._named([number for numbers, _ in found for number in numbers])
        return [
            [(names[number], cosine) for number, cosine in zip(numbers, cosines, strict=True)]
            for numbers, cosines in found
        ]

    def search_text(self, query: str, k: int, *, where: Filter | None = None) -> list[tuple[str, float]]:
        """Give the ``k`` best (chunk id, BM25 score, higher is better) by full text."""
        asked = expression(query)
        condition = None if where is None else reading.condition(where)
        rows = reading.words(self.connection, asked, k, among=condition) if asked else []
        names = self._named([number for number, _ in rows])
        return [(names[number], score) for number, score in rows]

    def _named(self, numbers: Sequence[int]) -> dict[int, str]:
        return self._names.of(numbers, partial(reading.names, self.connection))

    def _among(self, condition: reading.Condition) -> Numbers:
        """Give the numbers of the chunks that pass, found once a filter."""
        if condition not in self._passing:
            self._passing[condition] = reading.numbers(self.connection, condition)
        return self._passing[condition]


class Own(threading.local):
    """Hold the snapshot that a thread is within."""

    seen: Snapshot | None = None
