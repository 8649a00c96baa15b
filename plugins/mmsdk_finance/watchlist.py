"""The watch list: which of the user's names a text speaks of.

A name that is also a word (Apple, Target, Gap) counts where the text shows that the company is meant; everywhere
else it goes to review, as do companies that nobody listed. Nothing is put to a name on a guess.
"""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

from mmsdk.entities import Gazetteer, Mention, bare_name, short_name
from mmsdk.errors import InputError

_CONTEXT: Mapping[str, str] = json.loads(files("mmsdk_finance").joinpath("context.json").read_text("utf-8"))
_WORDS = frozenset(_CONTEXT["words"].split())  # company names that are words, places or people
_AFTER = re.compile(rf"(?:['’]s?)?[\s,]*(?:\((?:[A-Z]+:\s?)?[A-Z.]{{1,6}}\)|(?:{_CONTEXT['after']})\b)", re.IGNORECASE)
_BEFORE = re.compile(rf"\b(?:{_CONTEXT['before']})\s+(?:the\s+)?$", re.IGNORECASE)
_NOT_BEFORE = re.compile(rf"\b(?:{_CONTEXT['not_before']})\s+$", re.IGNORECASE)
_NOT_AFTER = re.compile(rf"\s+(?:{_CONTEXT['not_after']})\b", re.IGNORECASE)
_UNLISTED = re.compile(
    r"\b(?:[A-Z][\w&'’-]+\s+){1,3}(?:Inc|Corp|Corporation|Ltd|Limited|PLC|plc|LLC|GmbH|AG|SE|NV|Holdings)\b"
    r"|\$[A-Z]{1,6}\b|[\u4e00-\u9fff]{2,8}(?:股份|集团|有限公司|控股)"
)


@dataclass(frozen=True)
class Name:
    """Hold a watched name: a ticker, what it and its subsidiaries are called, sector, and weight in the portfolio.

    The first of ``names`` is shown. A negative weight is a short position.
    """

    ticker: str
    names: tuple[str, ...]
    sector: str = ""
    weight: float = 0.0
    subsidiaries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Doubt:
    """Hold what may be a name: for review. ``ticker`` is whose name it could be, empty for one not on the list."""

    written: str
    ticker: str
    reason: str


@dataclass(frozen=True)
class Names:
    """Hold which tickers a text speaks of, each with the form it is first written in, and what is in doubt."""

    watched: Mapping[str, str]
    doubts: tuple[Doubt, ...] = ()


class Watchlist:
    """Find watched names in texts. Raises ``InputError`` when two tickers share a ticker or a name.

    >>> watch = Watchlist([Name("GPS", ("Gap Inc",)), Name("BZ", ("Brightzone",))])
    >>> found = watch.find("Gap shares jump as the gap to Brightzone narrows")
    >>> dict(found.watched)
    {'GPS': 'Gap', 'BZ': 'Brightzone'}
    """

    def __init__(self, names: Sequence[Name]) -> None:
        self.names = {name.ticker: name for name in names}
        written = [pair for name in names for pair in _written(name)]
        _check(names, written)
        self._words = {form for alias, _ in written if is_word(alias) for form in (alias, alias.upper())}
        tickers = {name.ticker for name in names}
        self._gazetteer = Gazetteer(written, cased=[*self._words, *(t for t in tickers if t.isascii())])

    @classmethod
    def read(cls, file: str | Path) -> "Watchlist":
        """Read a CSV with the columns ticker and names, and if wanted aliases, subsidiaries, sector, weight.

        Several names in one cell are separated by ``|``. Raises ``InputError`` naming file and line.
        """
        try:
            text = Path(file).read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the watch list {file}: {error}") from error
        rows = csv.DictReader(io.StringIO(text))
        known = {"ticker", "names", "aliases", "subsidiaries", "sector", "weight"}
        columns = set(rows.fieldnames or ())
        if not {"ticker", "names"} <= columns or columns - known:
            raise InputError(f"{file} needs the columns ticker and names, may have {sorted(known)}; it has {columns}")
        return cls([_name(row, f"{file}, line {rows.line_num}") for row in rows])

    @cached_property
    def sectors(self) -> dict[str, tuple[str, ...]]:
        """The tickers of each sector."""
        sectors = dict.fromkeys(name.sector for name in self.names.values() if name.sector)
        return {sector: tuple(t for t, name in self.names.items() if name.sector == sector) for sector in sectors}

    def find(self, text: str, organizations: Sequence[Mention] = ()) -> Names:
        """Give the watched names in a text, and what is in doubt; ``organizations`` are what NER found in it."""
        mentions = self._gazetteer.find(text)
        sure = {mention.key for mention in mentions if mention.written not in self._words}
        watched: dict[str, str] = {}
        doubts: list[Doubt] = []
        for mention in mentions:
            reason = None if mention.key in sure else _reason(text, mention)
            if reason is None:
                watched.setdefault(mention.key, mention.written)
            else:
                doubts.append(Doubt(mention.written, mention.key, reason))
        doubts = [doubt for doubt in doubts if doubt.ticker not in watched]
        taken = [(mention.start, mention.stop) for mention in mentions]
        spans = [match.span() for match in _UNLISTED.finditer(text)] + [(o.start, o.stop) for o in organizations]
        for start, stop in sorted(spans):
            if all(stop <= first or last <= start for first, last in taken):
                taken.append((start, stop))
                doubts.append(Doubt(text[start:stop].strip(), "", "not on the watch list"))
        return Names(watched, tuple(dict.fromkeys(doubts)))


def is_word(alias: str) -> bool:
    """Tell whether a name could also be an ordinary word or abbreviation."""
    return alias.casefold().removeprefix("the ") in _WORDS or (alias.isascii() and alias.isalpha() and len(alias) < 4)


def _written(name: Name) -> Iterator[tuple[str, str]]:
    """Give every form in which a name is looked for, once."""
    forms = [form for alias in (*name.names, *name.subsidiaries) for form in (alias, short_name(alias))]
    if len(name.ticker) > 2:
        forms.append(name.ticker)
    yield from dict.fromkeys((form, name.ticker) for form in (*forms, f"${name.ticker}"))


def _check(names: Sequence[Name], written: Sequence[tuple[str, str]]) -> None:
    twice = sorted(ticker for ticker, count in Counter(name.ticker for name in names).items() if count > 1)
    if twice:
        raise InputError(f"the watch list has these tickers twice: {', '.join(twice)}")
    owners: dict[str, str] = {}
    for alias, ticker in written:
        owner = owners.setdefault(bare_name(alias), ticker)
        if owner != ticker:
            raise InputError(f"{alias!r} is a name of both {owner} and {ticker} on the watch list; keep it for one")


def _reason(text: str, mention: Mention) -> str | None:
    """Say why a name that is also a word is in doubt, or None when the text shows that the company is meant."""
    before, after = text[: mention.start], text[mention.stop :]
    if _NOT_BEFORE.search(before) or _NOT_AFTER.match(after):
        return f"{mention.written!r} is used as a word"
    if _AFTER.match(after) or _BEFORE.search(before):
        return None
    return f"{mention.written!r} is also a word, and nothing beside it says that the company is meant"


def _name(row: Mapping[str, str | None], where: str) -> Name:
    cell = {key: (value or "").strip() for key, value in row.items() if isinstance(value, str | None)}
    names = _listed(f"{cell['names']}|{cell.get('aliases', '')}")
    if not cell["ticker"] or not names:
        raise InputError(f"{where}: a name needs a ticker and at least one name")
    weight = cell.get("weight") or "0"
    try:
        return Name(cell["ticker"], names, cell.get("sector", ""), float(weight), _listed(cell.get("subsidiaries", "")))
    except ValueError as error:
        raise InputError(f"{where}: the weight {weight!r} is no number") from error


def _listed(cell: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in cell.split("|") if name.strip())
