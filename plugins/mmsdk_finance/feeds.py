"""RSS and Atom as records with their times; what is no feed is an error that says what it is instead."""

import html
import io
import re
from collections.abc import Iterator
from typing import Any

from mmsdk.errors import InputError, MissingDependencyError

_ENTITY = re.compile(rb"<!ENTITY|<\x00!\x00E\x00N\x00T|\x00<\x00!\x00E\x00N\x00T", re.IGNORECASE)
_MARKUP = re.compile(r"<[^>]*>")


def read_feed(data: bytes, name: str) -> Iterator[dict[str, Any]]:
    """Give the entries of a feed with title and summary as text. Raises ``InputError`` when it is none."""
    try:
        import feedparser
    except ModuleNotFoundError as error:
        raise MissingDependencyError("feedparser", "documents") from error
    if _ENTITY.search(data):
        raise InputError("the feed declares XML entities, which can unfold without end; it is not read")
    feed = feedparser.parse(io.BytesIO(data))
    if not feed.get("version"):
        kind = "an HTML page" if re.search(rb"<html|<!doctype html", data[:2000], re.IGNORECASE) else "something else"
        raise InputError(f"this is {kind}, not RSS or Atom")
    source = _text(feed.feed.get("title")) or name
    for entry in feed.entries:
        title, summary = _text(entry.get("title")), _text(entry.get("summary"))
        text = title if not summary or (summary.startswith(title) and len(title) > 20) else f"{title}. {summary}"
        link = str(entry.get("link") or "")
        yield {
            "id": str(entry.get("id") or link),
            "text": text.removeprefix(". ").replace(".. ", ". "),
            "source": source,
            "event": entry.get("published") or entry.get("updated") or "",
            "author": str(entry.get("author") or ""),
            "url": link if link.startswith(("http://", "https://")) else "",
            "language": str(feed.feed.get("language") or "").partition("-")[0],
        }


def _text(written: Any) -> str:
    return " ".join(html.unescape(_MARKUP.sub(" ", str(written or ""))).split())
