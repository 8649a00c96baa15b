"""Say what the words of a sentence carry: content, numbers, names, negation, limits, days and colours.

English words are stemmed by Snowball; Chinese, Japanese and Korean are read as pairs of neighbouring
characters. There is no grammar here: words are looked up in short closed lists, so what is not in them
counts as content.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

import snowballstemmer

from mmsdk.chunking import CJK
from mmsdk.kinds import COLOURS, DAYS

_WORD = re.compile(rf"[{CJK}]+|\d+(?:[.,:]\d+)*%?|[^\W\d_][\w+-]*(?:['’]\w+)*", re.UNICODE)
_IS_CJK = re.compile(f"[{CJK}]")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_MODEL = re.compile(r" (\d+)\b(?![.:]\d)")  # the number in a name such as "Breeze 3"
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_WORDS: dict[str, Any] = json.loads(files("mmsdk").joinpath("words.json").read_text("utf-8"))
_LIGHT = frozenset(_WORDS["light"].split())  # how a thing is asked or said, not what it is about
_NEGATIONS = frozenset(_WORDS["negations"].split())
_LIMITS = frozenset(_WORDS["limits"].split())  # they turn a meaning around, so they have to be the same on both sides
_LIGHT_CJK = frozenset(_WORDS["light_cjk"])
_IRREGULAR = {form: base for base, forms in _WORDS["irregular"].items() for form in forms.split()}
_STEM = snowballstemmer.stemmer("english").stemWord

_CJK_NEGATIONS = re.compile("不|没|無|无|未|非|勿|别|莫|否")
_NUMBER_WORDS = {word: str(value) for value, word in enumerate(_WORDS["numbers"].split())}
_DAY = re.compile(rf"\b(?=[A-Z])(?i:{DAYS})s?\b|(?:周|星期|礼拜)[一二三四五六日天]")
_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_YEAR = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MODAL = re.compile(r"May (?!is\b|was\b|to\b|and\b|or\b|until\b|through\b)(?:I\b|[a-z])")
_RANGE = re.compile(r"\s*(?:to|until|through|till|-|–|—|至|到)\s*")
_SPANS: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    (re.compile(r"\b(?:daily|every day|all week|seven days|any day)\b|每天|每日", re.IGNORECASE), _WEEK),
    (re.compile(r"\bweekdays?\b|工作日", re.IGNORECASE), _WEEK[:5]),
    (re.compile(r"\bweekends?\b|周末", re.IGNORECASE), _WEEK[5:]),
)
_COLOUR = re.compile(rf"\b(?:{COLOURS})\b", re.IGNORECASE)


def is_cjk(text: str) -> bool:
    """Tell whether a text is mainly Chinese, Japanese or Korean."""
    return 2 * len(_IS_CJK.findall(text)) >= len(re.findall(r"\w", text)) > 0


def tokens(text: str) -> list[str]:
    """Give words, numbers and runs of CJK characters in order, as written."""
    return [match.group().replace("’", "'") for match in _WORD.finditer(text)]


def content(text: str) -> list[str]:
    """Give the content of a text in order, each once: stems of English words, numbers, pairs of CJK characters.

    >>> content("How much does the return of two tents cost?")
    ['return', '2', 'tent', 'cost']
    """
    return list(dict.fromkeys(_terms(text)))


def surface(text: str) -> dict[str, str]:
    """Give content as in ``content``, each with the word it was written as."""
    found: dict[str, str] = {}
    for word in tokens(text):
        for term in _terms(word):
            found.setdefault(term, term if _IS_CJK.match(word) else word.casefold())
    return found


def _terms(text: str) -> Iterator[str]:
    for word in tokens(text):
        if _IS_CJK.match(word):
            kept = [letter for letter in word if letter not in _LIGHT_CJK and not _CJK_NEGATIONS.match(letter)]
            pairs = [a + b for a, b in pairwise(word) if a in kept and b in kept]
            yield from pairs or (kept if len(kept) == 1 else [])
        elif word[0].isdigit():
            yield number(word)
        else:
            folded = word.casefold()
            for piece in _unhyphened(folded):
                if piece in _NUMBER_WORDS and piece != "one":
                    yield _NUMBER_WORDS[piece]
                elif piece and piece not in _LIGHT and piece not in _NEGATIONS:
                    yield stem(piece)


def _unhyphened(word: str) -> list[str]:
    """Take ``two-person`` and ``price_eur`` apart, but not ``e-book``, which is no book."""
    pieces = [piece for part in word.split("_") if part for piece in _apart(part)]
    return pieces or [word]


def _apart(word: str) -> list[str]:
    pieces = word.split("-")
    return ["".join(pieces)] if min(len(piece) for piece in pieces) < 2 else pieces


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Give the Snowball stem of an English word, without a possessive."""
    bare = word.removesuffix("'s").removesuffix("'")
    return str(_STEM(_IRREGULAR.get(bare, bare)))


@cache
def _groups() -> dict[str, frozenset[int]]:
    groups: dict[str, set[int]] = {}
    for place, line in enumerate(_WORDS["synonyms"]):
        for word in line.split():
            groups.setdefault(word if _IS_CJK.match(word) else stem(word), set()).add(place)
    return {term: frozenset(places) for term, places in groups.items()}


def meanings(terms: Iterable[str]) -> set[int]:
    """Give the lines of synonyms in ``words.json`` that hold any of these terms, as ``content`` gives them."""
    groups = _groups()
    return {place for term in terms for place in groups.get(term, ())}


def number(written: str) -> str:
    """Write a number in one way: ``1,000.50`` and ``1000.5`` are the same, so are ``9:00`` and ``9``."""
    figure = written.rstrip("%")
    if _GROUPED.fullmatch(figure):
        figure = figure.replace(",", "")
    figure = figure.replace(",", ".")
    if figure.count(".") == 1:
        figure = figure.rstrip("0").rstrip(".")
    figure = figure.removesuffix(":00")
    return figure.lstrip("0") or "0"


def numbers(text: str) -> set[str]:
    """Give the numbers of a text, digits and English number words, written in one way."""
    found = {number(match.group()) for match in _NUMBER.finditer(text)}
    return found | {_NUMBER_WORDS[word] for word in re.findall(r"[a-z]+", text.casefold()) if word in _NUMBER_WORDS}


def names(text: str) -> set[str]:
    """Give the stems of words that look like names: capitals inside a sentence, all capitals, letters with digits."""
    found = set()
    for match in _WORD.finditer(text):
        word = match.group()
        before = text[: match.start()].rstrip(" \"'“‘(")
        begins = not before or before[-1] in ".!?:;\n。！？：；-*#|>"
        coded = any(letter.isdigit() for letter in word) and any(letter.isalpha() for letter in word)
        upper = len(word) > 1 and word.isupper()
        if word.casefold() in _LIGHT or word.casefold() in _NEGATIONS or _IS_CJK.match(word) or _DAY.fullmatch(word):
            continue
        if coded or upper or (word[0].isupper() and not begins):
            found.add(stem(word.casefold()))
            found.update(number(figure.group(1)) for figure in [_MODEL.match(text, match.end())] if figure)
    return found


def sequence(text: str) -> list[str]:
    """Give the content of a text in order, with its repetitions."""
    return list(_terms(text))


def negated(text: str) -> bool:
    """Tell whether a text negates: an odd number of negations, so that ``not without`` affirms."""
    words = [word.casefold() for word in tokens(text)]
    count = sum(word in _NEGATIONS or word.endswith("n't") for word in words)
    return (count + len(_CJK_NEGATIONS.findall(text))) % 2 == 1


def relations(text: str) -> set[str]:
    """Give the words that set limits and order: before, within, only, every, ..."""
    return {word for token in tokens(text) if (word := token.casefold()) in _LIMITS}


def specific(text: str, *, spans: bool = True) -> set[str]:
    """Give the days, months and colours of a text, ``Monday to Friday`` day by day: those asked about must be there.

    ``spans`` says whether words such as ``daily`` and ``weekdays`` stand for their days.
    """
    found = {match.group().casefold() for match in _COLOUR.finditer(text)}
    order = []
    for match in _DAY.finditer(text):
        if not _MODAL.match(text, match.start()):
            order.append((_day(match.group()), match.start(), match.end()))
            found.add(_day(match.group()))
    for (first, _, stop), (last, start, _) in pairwise(order):
        cycle = _WEEK if first in _WEEK else _YEAR
        if _RANGE.fullmatch(text[stop:start]) and last in cycle:
            begin, end = cycle.index(first), cycle.index(last)
            found.update(cycle[begin : end + 1] if begin <= end else [*cycle[begin:], *cycle[: end + 1]])
    for pattern, days in _SPANS if spans else ():
        if pattern.search(text):
            found.update(days)
    return found


def contradicted(asked: Iterable[str], said: Iterable[str], *, lists: bool = True) -> bool:
    """Tell whether days, months or colours asked about are missing where others of their sort are said.

    ``lists`` says whether two and more others count, too.

    >>> contradicted({"sun"}, specific("Open Monday to Saturday.")), contradicted({"sun"}, specific("Always open."))
    (True, False)
    """
    missing = {_sort(one) for one in set(asked) - set(said)}
    others = Counter(_sort(one) for one in set(said) - set(asked))
    return any(lists or others[sort] == 1 for sort in missing if others[sort])


def _sort(one: str) -> str:
    return "weekday" if one in _WEEK else "month" if one in _YEAR else "colour"


def _day(written: str) -> str:
    if written[0] in "周星礼":
        return _WEEK["一二三四五六日".index(written[-1].replace("天", "日"))]
    return written.casefold()[:3]
