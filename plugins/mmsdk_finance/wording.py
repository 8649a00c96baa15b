"""What the words of a sentence show by rule: the turn of a figure, negation, hedging, the future, the kind of event.

The rules, English and Chinese, stand in ``wording.json``. They read words only: irony, and figures compared without a
word for it ("1.2 after 1.4"), escape them.
"""

import json
import re
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

from mmsdk_finance.marking import TARGET

_RULES: dict[str, Any] = json.loads(files("mmsdk_finance").joinpath("wording.json").read_text("utf-8"))
_GAP = r"(?:[\s'’-]+[^\s.;]+){0,3}?[\s'’-]*"


def _compiled(pattern: str) -> re.Pattern[str]:
    """Compile a rule: Latin words count whole, Chinese ones anywhere."""
    latin = [part for part in _parts(pattern) if not re.search(r"[\u4e00-\u9fff]", part)]
    chinese = [part for part in _parts(pattern) if re.search(r"[\u4e00-\u9fff]", part)]
    return re.compile("|".join([rf"(?<!\w)(?:{'|'.join(latin)})(?!\w)", *chinese]), re.IGNORECASE)


def _parts(pattern: str) -> list[str]:
    """Split a rule at the bars that stand outside brackets."""
    parts, depth = [""], 0
    for sign in pattern:
        depth += (sign in "([") - (sign in ")]")
        if sign == "|" and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    return parts


def _beside(things: str, move: str) -> re.Pattern[str]:
    """Compile "profit (of the bank) falls" and "lower profit"."""
    thing, moved = _compiled(_RULES[things]).pattern, _compiled(_RULES[move]).pattern
    return re.compile(rf"(?:{thing}){_GAP}(?:{moved})|(?:{moved}){_GAP}(?:{thing})", re.IGNORECASE)


def _moved(move: str) -> re.Pattern[str]:
    """Compile "it falls" and "its shares fall" of the marked target."""
    return re.compile(rf"{TARGET}(?:['’]s?)?(?:\s+(?:shares?|stocks?))?\s+(?:{_RULES[move]})(?!\w)", re.IGNORECASE)


_TURNS = (
    ("bad_falls", _beside("bad_things", "fall")),
    ("bad_rises", _beside("bad_things", "rise")),
    ("good_falls", _beside("good_things", "fall")),
    ("good_rises", _beside("good_things", "rise")),
    *((name, _compiled(_RULES[name])) for name in ("softened", "disappointing", "beat", "miss")),
    *((name, _moved(name)) for name in ("target_rises", "target_falls")),
)
_BETTER = re.compile(r"better than|好于", re.IGNORECASE)
_BAD, _GOOD = _compiled(_RULES["bad_things"]), _compiled(_RULES["good_things"])
_NOT = _compiled(_RULES["not"])
_RUINED, _HARMED, _HELPED = _compiled(_RULES["ruined"]), _moved("target_harmed"), _moved("target_helped")
_FLAGS = {name: _compiled(pattern) for name, pattern in _RULES["flags"].items()}
_EVENTS = {name: _compiled(pattern) for name, pattern in _RULES["events"].items()}
TURNS = tuple(name for name, _ in _TURNS)
EVENTS = tuple(_EVENTS)
FLAGS = tuple(_FLAGS)
_NEAR = 30  # characters before a turn in which a negation turns it round


@lru_cache(maxsize=8192)
def turns(clause: str) -> tuple[str, ...]:
    """Give the turns that a clause tells of; one that is negated has ``not_`` in front.

    >>> turns("net loss narrows in Q2"), turns("does not see its margins falling")
    (('bad_falls',), ('not_good_falls',))
    """
    found = []
    for name, pattern in _TURNS:
        match = pattern.search(clause)
        if match:
            before = clause[max(0, match.start() - _NEAR) : match.start()]
            found.append(f"not_{name}" if _NOT.search(before) else name)
    return tuple(found)


def outcome(clause: str) -> Literal["positive", "negative"] | None:
    """Say what a move means that is denied or less than expected, or an event whose meaning is plain; else None.

    Headlines of SEntFiN hardly ever have these (3 moves and no bankruptcy, recall or cut of a dividend in 10,744
    entities), so no model learns them there.

    >>> outcome("profit falls less than feared"), outcome("profit rises less than expected"), outcome("profit rises")
    ('positive', 'negative', None)
    >>> outcome("it files for bankruptcy"), outcome("it denies that it filed for bankruptcy")
    ('negative', None)
    """
    told = set(turns(clause))
    if told & {"not_good_falls", "not_bad_rises"}:
        return "positive"
    if told & {"not_good_rises", "not_bad_falls"}:
        return "negative"
    if "softened" not in told:
        return _event(clause)
    if _BETTER.search(clause) or told & {"good_falls", "bad_rises"}:
        return "positive"
    if told & {"good_rises", "bad_falls"}:
        return "negative"
    return "positive" if _BAD.search(clause) else "negative" if _GOOD.search(clause) else None


def _event(clause: str) -> Literal["positive", "negative"] | None:
    """Read events that are asserted: neither denied nor hedged in the clause."""
    if _NOT.search(clause) or _FLAGS["hedged"].search(clause):
        return None
    if _RUINED.search(clause) or _HARMED.search(clause):
        return "negative"
    return "positive" if _HELPED.search(clause) else None


def flags(sentence: str) -> tuple[str, ...]:
    """Say which of negated, hedged and forward (it speaks of the future) a sentence is.

    >>> flags("Acme may not raise its dividend next year")
    ('negated', 'hedged', 'forward')
    """
    return tuple(name for name, pattern in _FLAGS.items() if pattern.search(sentence))


def events(sentence: str) -> tuple[str, ...]:
    """Give the kinds of event that a sentence tells of, in the order of ``EVENTS``; none is an empty tuple.

    >>> events("Acme sued over recall"), events("北辰科技被证监会立案调查")
    (('lawsuit', 'product'), ('regulator',))
    """
    return tuple(name for name, pattern in _EVENTS.items() if pattern.search(sentence))
