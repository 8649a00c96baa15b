"""``where`` over many items at once, with exactly the meaning it has in ``mmsdk.filters``.

Plain numbers are compared as arrays; of anything else each distinct value is asked once. Metadata does not change
after it was given.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsdk.filters import All, Among, Any_, Exists, Node, Not, Ordered, matches, parse
from mmsdk.types import Filter

Mask = NDArray[np.bool_]
_ABSENT = object()
_EXACT = 2**53
_COMPARE = {"$gt": np.greater, "$gte": np.greater_equal, "$lt": np.less, "$lte": np.less_equal}


class Table:
    """Hold metadata of items in rows and answer filters with a mask.

    >>> table = Table([{"price": 5, "tags": ["red"]}, {"price": 9}])
    >>> table.mask({"price": {"$lt": 6}}).tolist()
    [True, False]
    """

    def __init__(self, records: Sequence[Mapping[str, Any]]) -> None:
        self.records = records
        self._columns: dict[tuple[str, ...], _Column] = {}

    def mask(self, where: Filter | None) -> Mask:
        """Say which rows match; bool ``[rows]``. Raises ``InvalidFilterError``."""
        return self._mask(parse(where))

    def _mask(self, node: Node) -> Mask:
        match node:
            case All(parts):
                return np.asarray(np.all([np.ones(len(self.records), bool), *map(self._mask, parts)], axis=0))
            case Any_(parts):
                return np.asarray(np.any([np.zeros(len(self.records), bool), *map(self._mask, parts)], axis=0))
            case Not(part):
                return ~self._mask(part)
            case Exists(keys) | Among(keys, _) | Ordered(keys, _, _):
                if keys not in self._columns:
                    self._columns[keys] = _Column(keys, self.records)
                return self._columns[keys].mask(node)


class _Column:
    """Hold the values at one path: as numbers where all are, else the distinct ones with the place of each row's."""

    def __init__(self, keys: tuple[str, ...], records: Sequence[Mapping[str, Any]]) -> None:
        self.keys = keys
        values = [_at(record, keys) for record in records]
        self.numbers: NDArray[np.float64] | None = None
        if all(_number(value) for value in values):
            self.numbers = np.array([np.nan if value is _ABSENT else value for value in values], np.float64)
            return
        places: dict[str, int] = {}
        written = ["" if value is _ABSENT else json.dumps(value, sort_keys=True) for value in values]
        self.codes = np.array([places.setdefault(text, len(places)) for text in written], np.int64)
        self.distinct = [_nested(keys, json.loads(text)) if text else {} for text in places]

    def mask(self, node: Exists | Among | Ordered) -> Mask:
        if self.numbers is None:
            return np.array([matches(node, fields) for fields in self.distinct], bool)[self.codes]
        match node:
            case Exists():
                return ~np.isnan(self.numbers)
            case Among(_, values):
                found = np.isin(self.numbers, [v for v in values if _number(v) and v is not None])
                return found | np.isnan(self.numbers) if None in values else found
            case Ordered(_, operator, bound):
                if isinstance(bound, str):
                    return np.zeros(len(self.numbers), bool)
                with np.errstate(invalid="ignore"):
                    return np.asarray(_COMPARE[operator](self.numbers, bound))


def _at(record: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    value: Any = record
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return _ABSENT
        value = value[key]
    return value


def _number(value: Any) -> bool:
    """Say whether a value is absent or a number that float64 holds exactly."""
    if value is _ABSENT or isinstance(value, float):
        return True
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _EXACT


def _nested(keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    for key in reversed(keys):
        value = {key: value}
    found: dict[str, Any] = value
    return found
