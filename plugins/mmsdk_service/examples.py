"""Example phrases and test messages from CSV, JSONL or YAML files.

A CSV or JSONL file has one message a row, with the columns ``text`` and ``intent``; a YAML file maps each intent to a
list of phrases. Files are UTF-8, with or without a byte-order mark.
"""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmsdk.errors import InputError
from mmsdk_service.playbook import read_yaml

_TEXT, _LABEL = ("text", "message", "utterance", "phrase"), ("intent", "label", "category")


def read_examples(file: str | Path) -> tuple[list[str], list[str]]:
    """Give texts and labels. Raises ``InputError`` naming the row that is wrong."""
    if Path(file).suffix.casefold() in (".yaml", ".yml"):
        found = read_yaml(file)
        if not isinstance(found, Mapping) or not all(isinstance(phrases, list) for phrases in found.values()):
            raise InputError(f"{file} must map each intent to a list of phrases")
        pairs = [(str(phrase), str(intent)) for intent, phrases in found.items() for phrase in phrases]
    else:
        pairs = [(row["text"], row["intent"]) for row in read_rows(file, needed=("text", "intent"))]
    if not pairs:
        raise InputError(f"{file} has no examples")
    return [text for text, _ in pairs], [label for _, label in pairs]


def read_rows(file: str | Path, *, needed: tuple[str, ...]) -> list[dict[str, Any]]:
    """Give the rows of a CSV or JSONL file by column; ``message`` and ``label`` are read as ``text`` and ``intent``.

    Raises ``InputError`` for a file that cannot be read, a column that is missing, and an empty value that is needed.
    """
    path = Path(file)
    try:
        content = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read as UTF-8 text: {error}") from error
    rows = [_named(row) for row in (_jsonl(path, content) if path.suffix == ".jsonl" else _csv(path, content))]
    for number, row in enumerate(rows, 1):
        missing = [name for name in needed if not str(row.get(name) or "").strip()]
        if missing:
            raise InputError(f"row {number} of {file} has no {' and no '.join(missing)}; its columns are {list(row)}")
    return rows


def _csv(path: Path, content: str) -> list[dict[str, Any]]:
    if not content.strip():
        raise InputError(f"{path} is empty")
    try:
        return [dict(row) for row in csv.DictReader(io.StringIO(content, newline=""), strict=True) if any(row.values())]
    except csv.Error as error:
        raise InputError(f"{path} is no CSV file: {error}") from error


def _jsonl(path: Path, content: str) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"line {number} of {path} is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise InputError(f"line {number} of {path} is no JSON object")
        rows.append(row)
    return rows


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    named = {str(key).strip().casefold(): value for key, value in row.items() if key is not None}
    for name, others in (("text", _TEXT), ("intent", _LABEL)):
        named.setdefault(name, next((named[other] for other in others if other in named), None))
    return named
