"""RSS and Atom: one part an entry with its title, date, link and summary."""

import io
import re
from typing import Any

import feedparser

from mmsdk.errors import DecodeError
from mmsdk.loaders.charset import decode_text
from mmsdk.loaders.html import visible_text
from mmsdk.loaders.parsed import Job, Parsed, Problem, record
from mmsdk.types import JSON

_ENTITY = re.compile(rb"<!ENTITY|<\x00!\x00E\x00N\x00T|\x00<\x00!\x00E\x00N\x00T", re.IGNORECASE)


def load(data: bytes, _job: Job) -> Parsed:
    """Read a feed. One that is broken is read as far as it goes, and that is named."""
    if _ENTITY.search(data):
        raise DecodeError("the feed declares XML entities, which can unfold without end; they are not read")
    feed = _parsed(data)
    if not feed.version and not feed.entries:
        raise DecodeError(f"the feed cannot be read: {feed.get('bozo_exception') or 'it has no entries'}")
    parts = tuple(record(number, _entry(entry)) for number, entry in enumerate(feed.entries, 1))
    metadata: dict[str, JSON] = {"format": feed.version}
    for key in ("title", "link", "language"):
        if feed.feed.get(key):
            metadata[key] = str(feed.feed[key])
    broken = feed.bozo and "declared as" not in str(feed.bozo_exception)
    problems = (Problem("feed", f"it is broken: {feed.bozo_exception}"),) if broken else ()
    return Parsed(parts, metadata, problems)


def _parsed(data: bytes) -> Any:
    """Parse; bytes that their declared encoding cannot read are decoded by us first."""
    try:
        return feedparser.parse(io.BytesIO(data))
    except UnicodeDecodeError:
        text = re.sub(r"\A\s*<\?xml[^>]*\?>", "", decode_text(data).text)
        return feedparser.parse(io.BytesIO(text.encode("utf-8")))


def _entry(entry: Any) -> str:
    contents = [str(content.get("value", "")) for content in entry.get("content", [])]
    body = max([str(entry.get("summary", "")), *contents], key=len)
    lines = (entry.get("title"), entry.get("published") or entry.get("updated"), entry.get("link"), body)
    return "\n".join(text for line in lines if line and (text := visible_text(str(line))))
