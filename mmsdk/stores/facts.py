"""A narrow table of metadata values, so that a filter reads the rows that match and not every chunk.

``facts`` has a row for every string, number, boolean and null in the metadata of a chunk and in its
lists, by the path that a filter gives; triggers keep it. Strings count by their first 200 characters,
so what needs more, and what is no comparison with a value, is left to ``conditions``.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mmsdk.filters import RESERVED, All, Among, Any_, Node, Ordered, Scalar

_LENGTH = 200
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_ROWS = (
    "SELECT iif(typeof(t.key) = 'integer', t.path, t.fullkey), CASE t.type WHEN 'true' THEN x'01' WHEN 'false' "
    f"THEN x'00' WHEN 'null' THEN x'02' WHEN 'text' THEN substr(t.atom, 1, {_LENGTH}) ELSE t.atom END, "
    "{0}.number FROM {1}json_tree({0}.metadata) AS t WHERE t.type NOT IN ('object', 'array')"
)
_PUT = f"INSERT OR IGNORE INTO facts {_ROWS.format('new', '')};"
_DROP = f"DELETE FROM facts WHERE (path, value, chunk) IN ({_ROWS.format('old', '')});"
FILL = f"INSERT OR IGNORE INTO facts {_ROWS.format('chunks', 'chunks, ')}"
"""Fill the table from all chunks."""
TABLE = f"""
    CREATE TABLE facts (
        path TEXT NOT NULL,
        value ANY NOT NULL,
        chunk INTEGER NOT NULL,
        PRIMARY KEY (path, value, chunk)
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER facts_of_new AFTER INSERT ON chunks BEGIN {_PUT} END;
    CREATE TRIGGER facts_of_old AFTER DELETE ON chunks BEGIN {_DROP} END;
    CREATE TRIGGER facts_of_changed AFTER UPDATE OF metadata ON chunks BEGIN {_DROP} {_PUT} END;
    {FILL};
"""
_RANGES = {"text": ("value >= ''", "value < x''"), "number": ("1", "value < ''")}
"""SQLite orders numbers before strings before blobs, which booleans and null are here."""
_SIGNS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


@dataclass
class Facts:
    """Compile trees to queries for chunk numbers; parameters are appended to ``values`` in order.

    >>> facts = Facts()
    >>> print(facts.sql(Among(("year",), (2024,))), facts.values)
    SELECT chunk FROM facts WHERE path = ? AND value = ? ['$.year', 2024]
    """

    values: list[Any] = field(default_factory=list)

    def sql(self, node: Node) -> str | None:
        """Give the query, or ``None`` for what the table cannot answer alone."""
        if not answers(node):
            return None
        match node:
            case All(parts):
                return self.joined(parts, "INTERSECT")
            case Any_(parts):
                return self.joined(parts, "UNION")
            case Among(keys, values):
                return self._among(keys, values)
            case Ordered(keys, operator, bound):
                low, high = _RANGES["text" if isinstance(bound, str) else "number"]
                self.values += (_path(keys), bound)
                other = high if operator.startswith("$g") else low
                return f"SELECT chunk FROM facts WHERE path = ? AND value {_SIGNS[operator]} ? AND {other}"
        return None

    def joined(self, parts: Sequence[Node], word: str) -> str:
        """Give what all or any of the parts give."""
        return f" {word} ".join(f"SELECT chunk FROM ({self.sql(part)})" for part in parts)

    def _among(self, keys: tuple[str, ...], values: Sequence[Scalar]) -> str:
        flags = [f"x'0{int(value)}'" for value in values if isinstance(value, bool)]
        scalars = [value for value in values if not isinstance(value, bool)]
        start = "SELECT chunk FROM facts WHERE path = ? AND value"
        self.values.append(_path(keys))
        if len(scalars) == 1 and not flags:
            self.values.append(scalars[0])
            return f"{start} = ?"
        self.values.append(json.dumps(scalars, ensure_ascii=False))
        listed = "".join(f" UNION ALL SELECT {flag}" for flag in flags)
        return f"{start} IN (SELECT value FROM json_each(?){listed})"


def answers(node: Node) -> bool:
    """Say whether the table alone knows which chunks pass."""
    match node:
        case All(parts) | Any_(parts):
            return bool(parts) and all(answers(part) for part in parts)
        case Among(keys, values):
            return _own(keys) and None not in values and all(map(_short, values))
        case Ordered(keys, _, bound):
            return _own(keys) and _short(bound)
    return False


def _own(keys: tuple[str, ...]) -> bool:
    return not (len(keys) == 1 and keys[0] in RESERVED)


def _short(value: Scalar) -> bool:
    return not isinstance(value, str) or len(value) < _LENGTH


def _path(keys: Sequence[str]) -> str:
    """Give the path as SQLite's ``json_tree`` writes it."""
    return "$" + "".join(f".{key}" if _PLAIN.fullmatch(key) else f'."{key}"' for key in keys)
