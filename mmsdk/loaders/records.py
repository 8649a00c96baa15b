"""JSON and JSON lines: records become readable text, ``key: value; key.inner: value``."""

import json
from collections.abc import Iterator
from typing import Any

from mmsdk.errors import DecodeError
from mmsdk.loaders.charset import decode_text
from mmsdk.loaders.parsed import Job, Parsed, Problem, record
from mmsdk.types import Part


def load_json(data: bytes, _job: Job) -> Parsed:
    """Read JSON: a list gives one part a record; the lists of records in an object likewise, under their key."""
    decoded = decode_text(data)
    try:
        value = json.loads(decoded.text)
    except ValueError as error:
        raise DecodeError(f"the JSON is broken: {error}") from error
    return Parsed(tuple(_parts(value)), decoded.metadata)


def load_jsonl(data: bytes, _job: Job) -> Parsed:
    """Read JSON lines: one part a line, numbered by line. A broken line is left out and named."""
    decoded = decode_text(data)
    parts, problems = [], []
    for number, line in enumerate(decoded.text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            text = readable(json.loads(line))
        except (ValueError, RecursionError) as error:
            problems.append(Problem(f"line {number}", f"the JSON is broken: {error}"))
            continue
        if text:
            parts.append(record(number, text))
    return Parsed(tuple(parts), decoded.metadata, tuple(problems))


def _parts(value: Any) -> Iterator[Part]:
    if isinstance(value, list):
        yield from _records(value, None)
        return
    if not isinstance(value, dict):
        yield record(1, readable(value))
        return
    lists = {key: inner for key, inner in value.items() if isinstance(inner, list) and _of_objects(inner)}
    rest = readable({key: inner for key, inner in value.items() if key not in lists})
    if rest:
        yield record(1, rest)
    for key, inner in lists.items():
        yield from _records(inner, key)


def _of_objects(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(value, dict) for value in values)


def _records(values: list[Any], sheet: str | None) -> Iterator[Part]:
    for number, value in enumerate(values, 1):
        text = readable(value)
        if text:
            yield record(number, text, sheet)


def readable(value: Any) -> str:
    """Write a JSON value as text; nested keys are joined by points, lists of plain values by commas.

    >>> readable({"name": "Lamp", "size": {"height": 40}, "colours": ["red", "blue"]})
    'name: Lamp; size.height: 40; colours: red, blue'
    """
    return "; ".join(f"{path}: {text}" if path else text for path, text in _leaves(value, ""))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        for number, inner in enumerate(value, 1):
            yield from _leaves(inner, f"{path}.{number}" if path else str(number))
    else:
        text = ", ".join(map(_plain, value)) if isinstance(value, list) else _plain(value)
        if text.strip():
            yield path, text


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value)
