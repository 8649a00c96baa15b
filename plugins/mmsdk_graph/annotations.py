"""Annotated sentences: tokens, entities as spans of tokens, relations between entities; read from JSON lines.

It does not know what the types mean, nor how anything is predicted.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsdk.errors import InputError


@dataclass(frozen=True, order=True)
class Entity:
    """Hold a span of tokens, ``end`` exclusive, and its type; ``probability`` is in [0, 1]."""

    start: int
    end: int
    type: str
    probability: float = 1.0

    @property
    def key(self) -> tuple[int, int, str]:
        """What two entities must share to be the same in the strict sense."""
        return (self.start, self.end, self.type)


@dataclass(frozen=True)
class Relation:
    """Hold a relation from one entity to another, by their places in ``Sentence.entities``."""

    type: str
    head: int
    tail: int
    probability: float = 1.0


@dataclass(frozen=True)
class Sentence:
    """Hold the tokens of a sentence with what stands in it."""

    tokens: tuple[str, ...]
    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Write it in the form that ``read`` reads; probabilities are added."""
        return {
            "tokens": list(self.tokens),
            "entities": [
                {"type": e.type, "start": e.start, "end": e.end, "probability": round(e.probability, 4)}
                for e in self.entities
            ],
            "relations": [
                {"type": r.type, "head": r.head, "tail": r.tail, "probability": round(r.probability, 4)}
                for r in self.relations
            ],
        }


def read(file: str | Path) -> list[Sentence]:
    """Read JSON lines ``{"tokens": [...], "entities": [{"type", "start", "end"}], "relations": [...]}``.

    Raises ``InputError`` that names the line and what is wrong with it; ``entities`` and ``relations`` may be absent.
    """
    path = Path(file)
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give a file of JSON lines") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    found = [_sentence(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise InputError(f'{path} has no sentences; it needs JSON lines such as {{"tokens": ["A"], "entities": []}}')
    return found


def _sentence(line: str, where: str) -> Sentence:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: this is no JSON ({error.msg} at character {error.pos}): {line[:80]!r}") from error
    if not isinstance(row, dict) or not isinstance(row.get("tokens"), list):
        raise InputError(f'{where}: expected an object with the list "tokens", found {line[:80]!r}')
    tokens = row["tokens"]
    if not tokens or not all(isinstance(token, str) and token.strip() for token in tokens):
        raise InputError(f'{where}: "tokens" must be a list of one or more non-empty strings')
    entities = [
        _entity(each, len(tokens), f"{where}, entity {n}") for n, each in enumerate(_list(row, "entities", where))
    ]
    relations = [
        _relation(each, len(entities), f"{where}, relation {n}")
        for n, each in enumerate(_list(row, "relations", where))
    ]
    return Sentence(tuple(tokens), tuple(entities), tuple(dict.fromkeys(relations)))


def _list(row: dict[str, Any], name: str, where: str) -> Sequence[Any]:
    value = row.get(name) or []
    if not isinstance(value, list):
        raise InputError(f'{where}: "{name}" must be a list, not {type(value).__name__}')
    return value


def _entity(value: Any, tokens: int, where: str) -> Entity:
    kind, start, end = _fields(value, where, "start", "end")
    if not 0 <= start < end <= tokens:
        raise InputError(f"{where}: start {start} and end {end} (exclusive) do not lie within {tokens} tokens")
    return Entity(start, end, kind)


def _relation(value: Any, entities: int, where: str) -> Relation:
    kind, head, tail = _fields(value, where, "head", "tail")
    if not (0 <= head < entities and 0 <= tail < entities):
        raise InputError(f"{where}: head {head} and tail {tail} must be indices of the {entities} entities, from 0")
    return Relation(kind, head, tail)


def _fields(value: Any, where: str, first: str, second: str) -> tuple[str, int, int]:
    if not isinstance(value, dict):
        raise InputError(f'{where}: expected {{"type", "{first}", "{second}"}}, found {value!r}')
    kind, one, two = value.get("type"), value.get(first), value.get(second)
    if not isinstance(kind, str) or not kind:
        raise InputError(f'{where}: "type" must be a non-empty string, not {kind!r}')
    if type(one) is not int or type(two) is not int:
        raise InputError(f'{where}: "{first}" and "{second}" must be integers, not {one!r} and {two!r}')
    return kind, one, two
