"""What the monitor takes in: an item of news with its times, and what could not be taken in, with its reason.

Nothing here knows where items come from or what they say of whom.
"""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal

from mmsdk.errors import InputError

Kind = Literal["news", "social", "filing", "call", "picture"]
KINDS: tuple[Kind, ...] = ("news", "social", "filing", "call", "picture")
Code = Literal["decode", "date", "future", "empty", "size", "duplicate_id", "script", "kind"]
MOST_CHARACTERS = 200_000
AHEAD = timedelta(minutes=15)
"""How far a clock elsewhere may be ahead of ours."""
_OLDEST = datetime(1990, 1, 1, tzinfo=UTC)
_STEERING = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class Item:
    """Hold one piece of news. ``event`` is when it was published, ``arrival`` when we first saw it, both in UTC.

    ``about`` are tickers the source itself names. Of one ``source`` an ``id`` stands for one item: another text
    under it is a correction.
    """

    id: str
    text: str
    source: str
    event: datetime
    arrival: datetime
    kind: Kind = "news"
    author: str = ""
    url: str = ""
    language: str = ""
    about: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What is the same for an item and its corrections: source and id."""
        return f"{self.source}\n{self.id}"

    @property
    def digest(self) -> str:
        """SHA-256 of what the item says and when, to tell a correction from a repetition."""
        said = (self.text, self.event.isoformat(), self.kind, *self.about)
        return hashlib.sha256("\0".join(said).encode("utf-8", "replace")).hexdigest()


@dataclass(frozen=True)
class Rejected:
    """Hold what was not taken in: where it stood, a code, a reason for people, and how it began."""

    source: str
    code: Code
    reason: str
    excerpt: str = ""


def moment(written: str | float | datetime) -> datetime:
    """Read a time as feeds write it: ISO 8601, RFC 2822, or seconds or milliseconds since 1970; without zone UTC.

    Raises ``InputError``.

    >>> moment("Mon, 06 Jan 2025 09:30:00 +0100").isoformat()
    '2025-01-06T08:30:00+00:00'
    """
    try:
        found = written if isinstance(written, datetime) else _read(str(written).strip())
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, OSError, TypeError, IndexError) as error:
        raise InputError(f"{str(written)[:60]!r} is no time; write it as 2026-01-31T09:30:00Z") from error
    if found < _OLDEST:
        raise InputError(f"{str(written)[:60]!r} is before {_OLDEST.year}; it cannot be the time of this news")
    return found


def checked(item: Item) -> Item | Rejected:
    """Give an item without control characters, or say why it cannot be used."""
    text = unicodedata.normalize("NFC", _STEERING.sub("", item.text)).strip()
    reason = _wrong(text, item)
    if reason is not None:
        return Rejected(item.source, *reason, excerpt=text[:200])
    return item if text == item.text else Item(**{**vars(item), "text": text})


def _wrong(text: str, item: Item) -> tuple[Code, str] | None:
    """Give the code and reason for which a text cannot be scored, or None."""
    if len(text) > MOST_CHARACTERS:
        return "size", f"the text has {len(text)} characters, more than {MOST_CHARACTERS}"
    if item.event > item.arrival + AHEAD:
        return "future", f"it is dated {item.event.isoformat()}, but came at {item.arrival.isoformat()}"
    if item.kind not in KINDS:
        return "kind", f"its kind is {item.kind!r}, not one of {', '.join(KINDS)}"
    letters = [letter for letter in text[:2000] if letter.isalpha()]
    if not letters:
        return "empty", "it has no letters" if text else "it has no text"
    leftward = sum(unicodedata.bidirectional(letter) in ("R", "AL") for letter in letters)
    if 2 * leftward > len(letters):
        return "script", "it is mainly in a right-to-left script, which the sentiment model does not read"
    return None


def _read(written: str) -> datetime:
    if re.fullmatch(r"\d{9,}(?:\.\d+)?", written):
        seconds = float(written)
        return datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
    try:
        return datetime.fromisoformat(written)
    except ValueError:
        return parsedate_to_datetime(written)
