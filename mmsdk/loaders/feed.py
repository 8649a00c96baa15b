"""RSS and Atom: one part an entry with its title, date, link and summary."""

import io
from typing import Any

import feedparser

from mmsdk.errors import DecodeError
from mmsdk.loaders.html import visible_text
from mmsdk.loaders.parsed import Job, Parsed, Problem, record
from mmsdk.types import JSON


def load(data: bytes, _job: Job) -> Parsed:
    """Read a feed. One that is broken is read as far as it goes, and that is named."""
    feed = feedparser.parse(io.BytesIO(data))
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


def _entry(entry: Any) -> str:
    contents = [str(content.get("value", "")) for content in entry.get("content", [])]
    body = max([str(entry.get("summary", "")), *contents], key=len)
    lines = (entry.get("title"), entry.get("published") or entry.get("updated"), entry.get("link"), body)
    return "\n".join(text for line in lines if line and (text := visible_text(str(line))))
