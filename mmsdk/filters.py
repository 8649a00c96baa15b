"""Filters: ``where`` as JSON becomes a checked tree, which runs in SQL or on a mapping.

    {"year": {"$gte": 2020}, "author.name": "Wu"}            both must hold
    {"$or": [{"tags": "tent"}, {"price": {"$lt": 50}}]}      tags may be a list: one element is enough

A dotted key goes into nested objects. A comparison holds for values of its own type only: 1 equals
1.0 but neither ``"1"`` nor ``true``; strings compare by code point, so ISO dates compare as dates.
A list holds what one of its elements holds (objects inside lists are not entered). ``null`` equals
null and a missing key; ``$ne`` and ``$nin`` are the opposites of ``$eq`` and ``$in``, so they hold
for missing keys. The reserved keys ``source``, ``modality``, ``document_id`` and ``id`` stand for the
chunk's own fields unless its metadata has a key of that name. Filters know nothing of stores.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmsdk.errors import InputError, InvalidFilterError

RESERVED = ("source", "modality", "document_id", "id")
OPERATORS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$not")
_ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": lambda value, bound: bool(value > bound),
    "$gte": lambda value, bound: bool(value >= bound),
    "$lt": lambda value, bound: bool(value < bound),
    "$lte": lambda value, bound: bool(value <= bound),
}
_DEPTH = 16
_CONDITIONS = 256
_LIST = 10_000
_STRING = 65_536
_INTEGER = 2**63

Scalar = None | bool | int | float | str


@dataclass(frozen=True, slots=True)
class All:
    """Hold when every part holds; without parts it always holds."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Any_:  # noqa: N801 - "Any" is typing's
    """Hold when one part holds."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """Hold when the part does not."""

    part: "Node"


@dataclass(frozen=True, slots=True)
class Exists:
    """Hold when there is a value, null included, at the keys."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Among:
    """Hold when the value at the keys, or one element of it, equals one of ``values``."""

    keys: tuple[str, ...]
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Ordered:
    """Hold when the value at the keys, or one element of it, compares as asked with ``bound``."""

    keys: tuple[str, ...]
    operator: str
    bound: int | float | str


Node = All | Any_ | Not | Exists | Among | Ordered


def parse(where: Mapping[str, Any] | None) -> Node:
    """Check a filter and give its tree. Raises ``InvalidFilterError`` naming the path of the wrong part.

    >>> parse({"year": {"$gte": 2020}})
    Ordered(keys=('year',), operator='$gte', bound=2020)
    """
    return _Parser().conditions({} if where is None else where, "where", 0)


def matches(node: Node, fields: Mapping[str, Any]) -> bool:
    """Say whether metadata (with the reserved keys among them) passes.

    >>> matches(parse({"tags": "tent", "year": {"$gte": 2020}}), {"tags": ["tent", "green"], "year": 2024})
    True
    """
    match node:
        case All(parts):
            return all(matches(part, fields) for part in parts)
        case Any_(parts):
            return any(matches(part, fields) for part in parts)
        case Not(part):
            return not matches(part, fields)
        case Exists(keys):
            return _at(fields, keys)[0]
        case Among(keys, values):
            found, value = _at(fields, keys)
            return any(_equal(item, other) for item in _items(found, value) for other in values)
        case Ordered(keys, operator, bound):
            found, value = _at(fields, keys)
            return any(_ordered(item, operator, bound) for item in _items(found, value))


def _at(fields: Mapping[str, Any], keys: Sequence[str]) -> tuple[bool, Any]:
    value: Any = fields
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return False, None
        value = value[key]
    return True, value


def _items(found: bool, value: Any) -> Sequence[Any]:
    if not found:
        return (None,)
    return value if isinstance(value, list | tuple) else (value,)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "other"


def _equal(value: Any, other: Scalar) -> bool:
    return _kind(value) == _kind(other) and bool(value == other)


def _ordered(value: Any, operator: str, bound: int | float | str) -> bool:
    return _kind(value) == _kind(bound) and _ORDERINGS[operator](value, bound)


class _Parser:
    """Turn JSON into a tree, counting conditions."""

    def __init__(self) -> None:
        self.count = 0

    def conditions(self, where: Any, path: str, depth: int) -> Node:
        if not isinstance(where, Mapping):
            raise InvalidFilterError(f"{path} must be an object such as {{'year': 2024}}, not {_shown(where)}")
        if depth > _DEPTH:
            raise InvalidFilterError(f"{path} is nested deeper than {_DEPTH}")
        parts = [self.condition(key, value, f"{path}.{_printed(key)}", depth=depth) for key, value in where.items()]
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def condition(self, key: Any, value: Any, path: str, *, depth: int) -> Node:
        self.count += 1
        if self.count > _CONDITIONS:
            raise InvalidFilterError(f"{path[:200]}: a filter may have at most {_CONDITIONS} conditions")
        if key in ("$and", "$or"):
            parts = tuple(
                self.conditions(part, f"{path}[{position}]", depth + 1)
                for position, part in enumerate(_list(value, path, least=1))
            )
            return All(parts) if key == "$and" else Any_(parts)
        if key == "$not":
            return Not(self.conditions(value, path, depth + 1))
        return self.field(_keys(key, path), value, path, depth=depth)

    def field(self, keys: tuple[str, ...], value: Any, path: str, *, depth: int) -> Node:
        if not isinstance(value, Mapping):
            return Among(keys, (_scalar(value, path),))
        if not value:
            raise InvalidFilterError(f"{path} is an empty object; give a value or one of {', '.join(OPERATORS)}")
        parts = [
            self.comparison(keys, name, operand, path=f"{path}.{_printed(name)}", depth=depth)
            for name, operand in value.items()
        ]
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def comparison(self, keys: tuple[str, ...], name: Any, operand: Any, *, path: str, depth: int) -> Node:
        self.count += 1
        if depth > _DEPTH:
            raise InvalidFilterError(f"{path[:200]} is nested deeper than {_DEPTH}")
        match name:
            case "$eq" | "$ne":
                among = Among(keys, (_scalar(operand, path),))
                return among if name == "$eq" else Not(among)
            case "$in" | "$nin":
                among = Among(keys, _scalars(operand, path))
                return among if name == "$in" else Not(among)
            case "$gt" | "$gte" | "$lt" | "$lte":
                return Ordered(keys, name, _bound(operand, path))
            case "$exists":
                if not isinstance(operand, bool):
                    raise InvalidFilterError(f"{path} takes true or false, not {_shown(operand)}")
                return Exists(keys) if operand else Not(Exists(keys))
            case "$not":
                if not isinstance(operand, Mapping):
                    raise InvalidFilterError(f"{path} takes an object such as {{'$gt': 5}}, not {_shown(operand)}")
                return Not(self.field(keys, operand, path, depth=depth + 1))
        hint = "" if str(name).startswith("$") else f"; for a nested key write '{'.'.join(keys)}.{_printed(name)}'"
        raise InvalidFilterError(f"{path}: unknown operator {_shown(name)}, there are {', '.join(OPERATORS)}{hint}")


def _keys(key: Any, path: str) -> tuple[str, ...]:
    if not isinstance(key, str) or not key or len(key) > 512:
        raise InvalidFilterError(f"{path[:200]}: a key is a string of 1 to 512 characters, not {_shown(key)}")
    if key.startswith("$"):
        raise InvalidFilterError(f"{path}: unknown operator {_shown(key)} here; there are $and, $or and $not")
    if any(letter in '"\\' or letter < " " or "\ud800" <= letter <= "\udfff" for letter in key):
        raise InvalidFilterError(f"{path}: a key with quotes, backslashes or control characters cannot be filtered by")
    return tuple(key.split("."))


def _list(value: Any, path: str, *, least: int = 0) -> Sequence[Any]:
    if not isinstance(value, list | tuple) or not least <= len(value) <= _LIST:
        raise InvalidFilterError(f"{path} takes a list of {least} to {_LIST} items, not {_shown(value)}")
    return value


def _scalars(value: Any, path: str) -> tuple[Scalar, ...]:
    return tuple(_scalar(item, f"{path}[{position}]") for position, item in enumerate(_list(value, path)))


def _scalar(value: Any, path: str) -> Scalar:
    if isinstance(value, list | tuple):
        raise InvalidFilterError(f"{path} takes a single value; for one of several write {{'$in': [...]}}")
    reason = _not_json(value)
    if reason is None and isinstance(value, str) and len(value) > _STRING:
        reason = f"is longer than {_STRING} characters"
    if reason is not None or _kind(value) == "other":
        raise InvalidFilterError(f"{path} {reason or 'must be a string, number, true, false or null'}: {_shown(value)}")
    scalar: Scalar = value
    return scalar


def _bound(value: Any, path: str) -> int | float | str:
    scalar = _scalar(value, path)
    if scalar is None or isinstance(scalar, bool):
        raise InvalidFilterError(f"{path} orders numbers or strings, not {_shown(value)}")
    return scalar


def _printed(key: Any) -> str:
    """Give a key as a message can hold it: a lone surrogate cannot be written as UTF-8."""
    return str(key).encode("utf-8", "backslashreplace").decode()


def _shown(value: Any) -> str:
    return repr(value)[:80]


def check_metadata(metadata: Any, name: str = "metadata") -> dict[str, Any]:
    """Give metadata as a plain dict. Raises ``InputError`` naming the key whose value is not JSON.

    Allowed are strings, finite numbers (integers of 64 bits), true, false, null, lists and objects.
    """
    if not isinstance(metadata, Mapping):
        raise InputError(f"{name} must be an object, not {_shown(metadata)}")
    return {key: _plain(value, f"{name}.{key}", 1) for key, value in _text_keys(metadata, name)}


def _plain(value: Any, path: str, depth: int) -> Any:
    if depth > 2 * _DEPTH:
        raise InputError(f"{path[:200]} is nested deeper than {2 * _DEPTH}")
    if isinstance(value, Mapping):
        return {key: _plain(item, f"{path}.{key}", depth + 1) for key, item in _text_keys(value, path)}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{position}]", depth + 1) for position, item in enumerate(value)]
    reason = _not_json(value)
    if reason is not None:
        raise InputError(f"{path[:200]} {reason}: {_shown(value)}")
    return value


def _text_keys(metadata: Mapping[Any, Any], path: str) -> list[tuple[str, Any]]:
    for key in metadata:
        reason = _not_json(key) if isinstance(key, str) else "has a key that is not a string"
        if reason is not None:
            raise InputError(f"{path[:200]} {reason}: {_shown(key)}")
    return list(metadata.items())


def _not_json(value: Any) -> str | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if -_INTEGER <= value < _INTEGER else "is an integer of more than 64 bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else "is not a finite number"
    if isinstance(value, str):
        if "\0" in value:
            return "has a NUL character"
        return "has a lone surrogate" if any("\ud800" <= letter <= "\udfff" for letter in value) else None
    return f"is a {type(value).__name__}, which JSON does not have"
