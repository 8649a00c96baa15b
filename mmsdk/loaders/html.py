"""HTML: the text a reader sees, block by block; scripts, styles, menus and hidden elements are left out.

Characters are counted in the text that comes out, with white space folded as a browser does.
"""

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from mmsdk.loaders.charset import decode_text
from mmsdk.loaders.parsed import Job, Parsed, Tiles
from mmsdk.loaders.rows import table_lines
from mmsdk.types import JSON

_UNSEEN = frozenset(
    "head script style noscript template svg math nav iframe object select button input textarea canvas".split()  # noqa: SIM905
)
_INLINE = frozenset(
    (  # noqa: SIM905
        "-text a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark meter output q rp "
        "rt ruby s samp small span strike strong sub sup time tt u var wbr"
    ).split()
)
_KINDS = {**dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), "heading"), "pre": "code"}
_KINDS |= dict.fromkeys(("li", "dt", "dd"), "list")
_SPACE = re.compile(r"[ \t\r\n\f]+")
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w-]+)", re.IGNORECASE)
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
Block = tuple[str, str]


def load(data: bytes, _job: Job) -> Parsed:
    """Read a page; title and language go to the metadata."""
    found = _CHARSET.search(data[:4096])
    decoded = decode_text(data, found[1].decode("ascii") if found else None)
    tree = LexborHTMLParser(decoded.text)
    tiles = Tiles()
    for kind, text in blocks(tree):
        tiles.add(text, kind)
    metadata: dict[str, JSON] = dict(decoded.metadata)
    title, root = tree.css_first("title"), tree.css_first("html")
    if title is not None and title.text().strip():
        metadata["title"] = _SPACE.sub(" ", title.text()).strip()
    if root is not None and root.attributes.get("lang"):
        metadata["language"] = root.attributes["lang"]
    return Parsed(tiles.parts, metadata)


def visible_text(html: str) -> str:
    """Give the visible text of a fragment."""
    return "".join(text for _, text in blocks(LexborHTMLParser(html))).strip()


def blocks(tree: LexborHTMLParser) -> Iterator[Block]:
    """Give the kind and text of each visible block, line breaks at its end included."""
    root = tree.body or tree.root
    kinds: list[str] = []
    words: list[str] = []
    node, leaving = root, False
    while node is not None:
        if not leaving:
            rows = _rows(node) if node.tag == "table" else []
            opens = node.tag not in _INLINE and node.tag != "br"
            if opens or rows:
                yield from _flushed(words, kinds)
            for row in rows:
                yield "row", row + "\n"
            if opens:
                kinds.append(_kind(node, kinds))
            if node.tag in ("br", "-text"):
                words.append(_words(node, kinds))
            leaving = bool(rows) or _unseen(node) or node.first_child is None
            if not leaving:
                node = node.first_child
                continue
        if node.tag not in _INLINE and node.tag != "br":
            yield from _flushed(words, kinds)
            kinds.pop()
        if root is None or node.mem_id == root.mem_id:
            return
        leaving = node.next is None
        node = node.next or node.parent


def _kind(node: LexborNode, kinds: list[str]) -> str:
    """Name the block that ``node`` opens: its own kind, or that of the list or code it lies in."""
    around = kinds[-1] if kinds else "paragraph"
    return _KINDS.get(node.tag or "", around if around in ("list", "code") else "paragraph")


def _words(node: LexborNode, kinds: list[str]) -> str:
    if node.tag == "br":
        return "\x00"
    text = node.text_content or ""
    return text.replace("\n", "\x00") if kinds and kinds[-1] == "code" else _SPACE.sub(" ", text)


def _flushed(words: list[str], kinds: list[str]) -> Iterator[Block]:
    """Give what has been gathered as one block; NULs stand for line breaks that stay."""
    if not words:
        return
    kind = kinds[-1] if kinds else "paragraph"
    text = "".join(words)
    words.clear()
    if kind != "code":
        text = re.sub(" *\x00 *", "\x00", re.sub(" +", " ", text)).strip(" \x00")
    text = text.strip("\x00").rstrip().replace("\x00", "\n")
    if text.strip():
        yield kind, text + ("\n" if kind == "list" else "\n\n")


def _unseen(node: LexborNode) -> bool:
    if node.tag in _UNSEEN:
        return True
    if (node.tag in _INLINE and node.tag == "-text") or not node.is_element_node:
        return False
    said = node.attributes
    return (
        "hidden" in said
        or said.get("aria-hidden") == "true"
        or said.get("role") == "navigation"
        or _HIDDEN.search(said.get("style") or "") is not None
    )


def _rows(table: LexborNode) -> list[str]:
    """Give the rows of a table of data; nothing for one that only lays out the page."""
    if _unseen(table) or table.css("table table, h1, h2, h3, form, ul, ol") or len(table.css("table")) > 1:
        return []
    rows = []
    for row in table.css("tr"):
        cells: list[str] = []
        for cell in row.css("td, th"):
            span = cell.attributes.get("colspan") or "1"
            text = _SPACE.sub(" ", cell.text(separator=" ")).strip()
            cells += [text] + [""] * (min(int(span), 50) - 1 if span.isdecimal() else 0)
        if any(cells):
            rows.append(cells)
    return table_lines(rows) if max(map(len, rows), default=0) > 1 else []
