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
_TYPES = {
    "text": "= 'text'",
    "number": "IN ('integer', 'real')",
    "null": "= 'null'",
    "true": "= 'true'",
    "false": "= 'false'",
}
_BOOLEANS = (("true", True), ("false", False))


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
                return f"NOT ifnull({self.sql(part)}, 0)"
            case Exists(keys):
                return "1" if self._own(keys) else f"{self._type(keys)} IS NOT NULL"
            case Among(keys, values):
                return self._among(keys, values)
            case Ordered(keys, operator, bound):
                kind = "text" if isinstance(bound, str) else "number"
                return self._any(keys, kind, f"{_SIGNS[operator]} ?", bound)

    def _joined(self, parts: Sequence[Node], word: str, empty: str) -> str:
        return "(" + word.join(self.sql(part) for part in parts) + ")" if parts else empty

    def _among(self, keys: tuple[str, ...], values: Sequence[Scalar]) -> str:
        found = []
        if None in values:
            if not self._own(keys):
                found.append(f"{self._type(keys)} IS NULL")
            found.append(self._any(keys, "null"))
        found += [self._any(keys, name) for name, flag in _BOOLEANS if any(value is flag for value in values)]
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        texts = [value for value in values if isinstance(value, str)]
        for kind, listed in (("number", numbers), ("text", texts)):
            if len(listed) == 1:
                found.append(self._any(keys, kind, "= ?", listed[0]))
            elif listed:
                packed = json.dumps(listed, ensure_ascii=False)
                found.append(self._any(keys, kind, "IN (SELECT value FROM json_each(?))", packed))
        return "(" + " OR ".join(found) + ")" if found else "0"

    def _any(self, keys: tuple[str, ...], kind: str, compared: str = "", *bound: Any) -> str:
        """Say that the scalar at the keys, or an element of the list there, is of a kind and compares."""
        path = _path(keys)
        test = f"AND {{}} {compared}" if compared else ""
        cases = []
        if self._own(keys) and kind == "text":
            cases.append(f"{self._type(keys)} IS NULL {test.format(self.reserved[keys[0]])}")
            self.values += bound
        cases.append(f"{self._type(keys)} {_TYPES[kind]}")
        if compared:
            cases[-1] += " " + test.format(f"json_extract({self.column}, ?)")
            self.values += (path, *bound)
        cases.append(
            f"{self._type(keys)} = 'array' AND EXISTS (SELECT 1 FROM json_each({self.column}, ?) AS item "
            f"WHERE item.type {_TYPES[kind]} {test.format('item.value')})"
        )
        self.values += (path, *bound)
        return "(" + " OR ".join(cases) + ")"

    def _type(self, keys: tuple[str, ...]) -> str:
        self.values.append(_path(keys))
        return f"json_type({self.column}, ?)"

    def _own(self, keys: tuple[str, ...]) -> bool:
        return len(keys) == 1 and keys[0] in self.reserved


def _path(keys: Sequence[str]) -> str:
    return "$" + "".join(f'."{key}"' for key in keys)
