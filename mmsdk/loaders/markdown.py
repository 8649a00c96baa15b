"""Markdown: its blocks by kind, as they stand in the file, nothing lost."""

import re

from markdown_it import MarkdownIt

from mmsdk.loaders.charset import decode_text
from mmsdk.loaders.parsed import Job, Parsed, Tiles
from mmsdk.types import JSON

_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
_KINDS = {
    "heading_open": "heading",
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "fence": "code",
    "code_block": "code",
    "table_open": "table",
}


def load(data: bytes, _job: Job) -> Parsed:
    """Read Markdown (CommonMark with tables); parts joined give the decoded text."""
    decoded = decode_text(data)
    lines = _LINE.findall(decoded.text)
    front = _front_matter(lines)
    blocks, title = _blocks("".join(lines[front:]), front)
    tiles = Tiles()
    tiles.add("".join(lines[: blocks[0][0]] if blocks else lines), "code" if front else "paragraph")
    for place, (start, kind) in enumerate(blocks):
        stop = blocks[place + 1][0] if place + 1 < len(blocks) else len(lines)
        tiles.add("".join(lines[start:stop]), kind)
    metadata: dict[str, JSON] = {**decoded.metadata, **({"title": title} if title else {})}
    return Parsed(tiles.parts, metadata)


def _front_matter(lines: list[str]) -> int:
    """Count the lines of a YAML or TOML head between ``---`` or ``+++``."""
    if not lines or lines[0].strip() not in ("---", "+++"):
        return 0
    return next((place + 1 for place, line in enumerate(lines[1:200], 1) if line.strip() == lines[0].strip()), 0)


def _blocks(text: str, offset: int) -> tuple[list[tuple[int, str]], str]:
    """Give the first line and kind of each top-level block, and the first heading."""
    blocks: list[tuple[int, str]] = []
    title = ""
    for token in MarkdownIt("commonmark", {"maxNesting": 20}).enable("table").parse(text):
        if token.type == "inline" and not title and blocks and blocks[-1][1] == "heading":
            title = token.content.strip()
        if token.level == 0 and token.nesting >= 0 and token.map:
            blocks.append((token.map[0] + offset, _KINDS.get(token.type, "paragraph")))
    return blocks, title
