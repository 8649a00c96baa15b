"""The manifest of a local collection: its format and its encoders, as JSON beside the database.

SQLite has the encoders too, and its copy decides; the manifest is for people, for other versions of
mmsdk, and for whoever finds the folder.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw

from mmsdk.errors import CollectionError
from mmsdk.stores.files import write_durably

FORMAT = 1
NAME = "manifest.json"


def check_format(folder: Path) -> None:
    """Raise ``CollectionError`` when a newer mmsdk made the folder, or it is a file."""
    try:
        if folder.exists() and not folder.is_dir():
            raise CollectionError(f"{folder} is a file; a collection is a folder")
    except PermissionError as error:
        raise CollectionError(f"cannot look for a collection at {folder}: {error.strerror}") from error
    made = _read(folder).get("format", FORMAT)
    if not isinstance(made, int) or made > FORMAT:
        raise CollectionError(f"{folder} has format {made!r}, this mmsdk reads up to {FORMAT}; install a newer mmsdk")


def write(folder: Path, connection: apsw.Connection) -> None:
    """Write the manifest anew."""
    shape = {"format": FORMAT, "encoders": recorded(connection)}
    write_durably(folder / NAME, (json.dumps(shape, indent=1, ensure_ascii=False) + "\n").encode())


def damages(folder: Path, connection: apsw.Connection) -> list[str]:
    """Say what is wrong with the manifest."""
    shape = _read(folder)
    if not shape:
        return [f"{NAME} is missing or is not JSON"]
    if shape.get("encoders") != recorded(connection) or shape.get("format") != FORMAT:
        return [f"{NAME} does not say what truth.sqlite says"]
    return []


def recorded(connection: apsw.Connection) -> list[Mapping[str, Any]]:
    """Give the encoders that SQLite has."""
    row = connection.execute("SELECT value FROM state WHERE name = 'encoders'").fetchone()
    found: list[Mapping[str, Any]] = json.loads(str(row[0])) if row is not None else []
    return found


def described(folder: Path) -> list[Mapping[str, Any]]:
    """Give the encoders that the manifest has."""
    found = _read(folder).get("encoders", [])
    return found if isinstance(found, list) else []


def fingerprints(encoders: Sequence[Mapping[str, Any]]) -> str:
    """Give what must be equal for vectors to be comparable; the order of encoders does not matter."""
    kept = [{key: value for key, value in encoder.items() if key != "modalities"} for encoder in encoders]
    return json.dumps(sorted(json.dumps(encoder, sort_keys=True) for encoder in kept))


def mismatch(folder: Path, recorded: Sequence[Mapping[str, Any]], given: Sequence[Mapping[str, Any]]) -> str:
    """Word the error for other encoders."""

    def named(encoders: Sequence[Mapping[str, Any]]) -> str:
        return ", ".join(f"{encoder['space']} ({encoder['fingerprint']})" for encoder in encoders) or "none"

    return (
        f"{folder} was made with the encoders {named(recorded)}; given are {named(given)}. Open it with the former, "
        f"or encode everything again: Collection.open({str(folder)!r}, encoders=..., reindex=True)"
    )


def _read(folder: Path) -> dict[str, Any]:
    try:
        shape = json.loads((folder / NAME).read_bytes())
    except (OSError, ValueError):
        return {}
    return shape if isinstance(shape, dict) else {}
