"""A checked filter tree becomes SQL over a JSON column; only fixed text is SQL, all else is bound.

It knows nothing of what the rows are: the caller names the JSON column and the columns behind the
reserved keys.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmsdk.filters import All, Among, Any_, Exists, Node, Not, Ordered, Scalar

_SIGNS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_TYPES = {str: "item.type = 'text'", float: "item.type IN ('integer', 'real')"}


@dataclass
class Conditions:
    """Compile trees; ``column`` holds JSON objects, ``reserved`` maps reserved keys to SQL expressions of ours.

    >>> conditions = Conditions("metadata", {})
    >>> print(conditions.sql(Exists(("year",))), conditions.values)
    json_type(metadata, ?) IS NOT NULL ['$."year"']
    """

    column: str
    reserved: Mapping[str, str]
    values: list[Any] = field(default_factory=list)

    def sql(self, node: Node) -> str:
        """Give the condition; its parameters are appended to ``values`` in order."""
        match node:
            case All(parts):
                return self._joined(parts, " AND ", "1")
            case Any_(parts):
                return self._joined(parts, " OR ", "0")
            case Not(part):
                return f"NOT ({self.sql(part)})"
            case Exists(keys):
                return "1" if self._own(keys) else f"json_type({self.column}, {self._bound(_path(keys))}) IS NOT NULL"
            case Among(keys, values):
                return self._among(keys, values)
            case Ordered(keys, operator, bound):
                kind = _TYPES[str if isinstance(bound, str) else float]
                before, after = self._items(keys)
                return f"{before} {kind} AND item.value {_SIGNS[operator]} {self._bound(bound)}{after}"

    def _joined(self, parts: Sequence[Node], word: str, empty: str) -> str:
        return "(" + word.join(self.sql(part) for part in parts) + ")" if parts else empty

    def _among(self, keys: tuple[str, ...], values: Sequence[Scalar]) -> str:
        found = []
        if None in values:
            if not self._own(keys):
                found.append(f"json_type({self.column}, {self._bound(_path(keys))}) IS NULL")
            found.append(self._any(keys, "item.type = 'null'"))
        found += [self._any(keys, f"item.type = '{name}'") for name, flag in _BOOLEANS if _has(values, flag)]
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        texts = [value for value in values if isinstance(value, str)]
        for kind, listed in ((_TYPES[float], numbers), (_TYPES[str], texts)):
            if listed:
                before, after = self._items(keys)
                packed = self._bound(json.dumps(listed, ensure_ascii=False))
                found.append(f"{before} {kind} AND item.value IN (SELECT value FROM json_each({packed})){after}")
        return "(" + " OR ".join(found) + ")" if found else "0"

    def _any(self, keys: tuple[str, ...], condition: str) -> str:
        before, after = self._items(keys)
        return f"{before} {condition}{after}"

    def _items(self, keys: tuple[str, ...]) -> tuple[str, str]:
        """Wrap a condition on ``item``: the scalar at the keys, or each element of the list there."""
        path = _path(keys)
        if self._own(keys):
            expression = self.reserved[keys[0]]
            own = f"CASE WHEN json_type({self.column}, {self._bound(path)}) IS NULL THEN "
            own += f"json_array({expression}) ELSE {self.column} END"
            steps = f"json_each({own}, CASE WHEN json_type({self.column}, {self._bound(path)}) IS NULL THEN '$' "
            steps += f"ELSE {self._bound(path)} END)"
        else:
            steps = f"json_each({self.column}, {self._bound(path)})"
        plain = f"ifnull(json_type({self.column}, {self._bound(path)}), '') <> 'object'"
        return f"EXISTS (SELECT 1 FROM {steps} AS item WHERE {plain} AND", ")"

    def _own(self, keys: tuple[str, ...]) -> bool:
        return len(keys) == 1 and keys[0] in self.reserved

    def _bound(self, value: Any) -> str:
        self.values.append(value)
        return "?"


_BOOLEANS = (("true", True), ("false", False))


def _has(values: Sequence[Scalar], flag: bool) -> bool:
    return any(value is flag for value in values)


def _path(keys: Sequence[str]) -> str:
    return "$" + "".join(f'."{key}"' for key in keys)
