"""Plain text: paragraphs between blank lines, nothing lost."""

import re

from mmsdk.loaders.charset import decode_text
from mmsdk.loaders.parsed import Job, Parsed, Tiles

_PARAGRAPH = re.compile(r"\s*+.+?(?:\r\n?|\n)[ \t\u3000]*(?:\r\n?|\n)\s*|.+", re.DOTALL)


def load(data: bytes, _job: Job) -> Parsed:
    """Read text in any encoding; parts joined give the decoded text."""
    decoded = decode_text(data)
    tiles = Tiles()
    for found in _PARAGRAPH.finditer(decoded.text):
        tiles.add(found[0])
    return Parsed(tiles.parts, decoded.metadata)
