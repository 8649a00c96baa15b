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

    def of(self, numbers: Sequence[int], find: Callable[[Sequence[int]], Mapping[int, str]]) -> list[str]:
        """Give the id of each number; ``find`` tells those that are not known yet."""
        known = self._known
        named = list(map(known.get, numbers))
        missing = [number for number, name in zip(numbers, named, strict=True) if name is None]
        if missing:
            found = find(missing)
            if len(known) + len(found) > _NAMES:
                self._known = known = {}
            known.update(found)
            return [found[number] if name is None else name for number, name in zip(numbers, named, strict=True)]
        return named  # type: ignore[return-value]  # none is None

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
        found = [merged(parts, k) for parts in zip(*lists, strict=True)] if lists else []
        return [
            list(zip(self._named(numbers.tolist()), cosines.tolist(), strict=True)) for numbers, cosines in found
        ] or [[] for _ in vectors]

    def search_text(self, query: str, k: int, *, where: Filter | None = None) -> list[tuple[str, float]]:
        """Give the ``k`` best (chunk id, BM25 score, higher is better) by full text."""
        asked = expression(query)
        if not asked:
            return []
        condition = None if where is None else reading.condition(where)
        numbers, scores = reading.words(self.connection, asked, k, among=condition)
        return list(zip(self._named(numbers), scores, strict=True))

    def _named(self, numbers: Sequence[int]) -> list[str]:
        return self._names.of(numbers, partial(reading.names, self.connection))

    def _among(self, condition: reading.Condition) -> Numbers:
        """Give the numbers of the chunks that pass, found once a filter."""
        if condition not in self._passing:
            self._passing[condition] = reading.numbers(self.connection, condition)
        return self._passing[condition]


class Own(threading.local):
    """Hold the snapshot that a thread is within."""

    seen: Snapshot | None = None
