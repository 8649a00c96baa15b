"""The tables of a local collection, and rows as the values they hold.

Nothing here opens, locks or searches.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmsdk.errors import InputError
from mmsdk.stores import facts
from mmsdk.stores.fulltext import TOKENIZER, indexed
from mmsdk.stores.pictures import packed, unpacked
from mmsdk.types import Audio, Chunk, Image, Locator, Vectors

APPLICATION_ID = 0x6D6D7364  # "mmsd"
WORDS = f"CREATE VIRTUAL TABLE words USING fts5 (body, content = '', contentless_delete = 1, tokenize = '{TOKENIZER}')"
MIGRATIONS = (
    f"""
    CREATE TABLE state (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO state VALUES ('revision', 0), ('encoders', '[]');
    CREATE TABLE documents (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        source TEXT NOT NULL,
        digest TEXT NOT NULL,
        metadata TEXT NOT NULL
    ) STRICT;
    CREATE INDEX documents_source ON documents (source);
    CREATE TABLE chunks (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        document INTEGER NOT NULL REFERENCES documents,
        modality TEXT NOT NULL,
        locator TEXT NOT NULL,
        text TEXT NOT NULL,
        content TEXT,
        picture BLOB,
        metadata TEXT NOT NULL
    ) STRICT;
    CREATE INDEX chunks_document ON chunks (document);
    CREATE TABLE removals (revision INTEGER NOT NULL, chunk INTEGER NOT NULL) STRICT;
    CREATE INDEX removals_revision ON removals (revision);
    CREATE TABLE spaces (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        dimension INTEGER NOT NULL,
        current INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE indexes (
        space INTEGER PRIMARY KEY REFERENCES spaces,
        file TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        revision INTEGER NOT NULL,
        last INTEGER NOT NULL,
        rows INTEGER NOT NULL
    ) STRICT;
    {WORDS};
    """,
    facts.TABLE,
)
"""A shelf of a space has its vectors in a table ``vectors_<number>``; ``removals`` lets an index in memory follow."""

CHUNK = (
    "SELECT c.id, d.id, c.content, c.picture, c.text, c.modality, c.locator, c.metadata, d.source "
    "FROM chunks AS c JOIN documents AS d ON d.number = c.document"
)
RESERVED = {"source": "d.source", "modality": "c.modality", "document_id": "d.id", "id": "c.id"}


def chunk_row(chunk: Chunk) -> tuple[Any, ...]:
    """Give id, modality, locator, text, content, picture and metadata. Raises ``InputError``."""
    content = picture = None
    if isinstance(chunk.content, Image):
        picture = packed(chunk.content)
    elif isinstance(chunk.content, Audio):
        raise InputError(f"chunk {chunk.id} of {chunk.source}: recordings are stored as their transcript")
    elif chunk.content != chunk.text:
        content = chunk.content
    for text in (chunk.text, content or ""):
        _check_text(text, chunk)
    return (
        chunk.id,
        chunk.modality,
        json.dumps(chunk.locator.to_json()),
        chunk.text,
        content,
        picture,
        dumped(chunk.metadata),
    )


def chunk_of(row: Sequence[Any]) -> Chunk:
    """Read a row of ``CHUNK``."""
    name, document, content, picture, text, modality, locator, metadata, source = row
    shown = unpacked(picture) if picture is not None else text if content is None else content
    return Chunk(
        name, document, shown, text, modality, Locator.from_json(json.loads(locator)), json.loads(metadata), source
    )


def searchable(chunk: Chunk) -> str:
    """Give what full text sees of a chunk: its content with the headings above it."""
    return indexed(chunk.content if isinstance(chunk.content, str) else chunk.text)


def dumped(metadata: Any) -> str:
    """Write metadata as JSON. Raises ``InputError`` for what is not JSON."""
    try:
        return json.dumps(dict(metadata), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"metadata is not JSON: {error}") from error


def vectors_of(blobs: Sequence[bytes], dimension: int) -> Vectors:
    """Join stored vectors; float32 ``[len(blobs), dimension]``."""
    return np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), dimension).astype(np.float32, copy=False)


def _check_text(text: str, chunk: Chunk) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"the text of {chunk.source} has a lone surrogate at character {error.start}") from error
