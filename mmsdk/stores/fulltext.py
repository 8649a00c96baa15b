"""Cut text into the words that full-text search counts; the same way for passages and for queries.

SQLite's FTS5 splits Latin words and stems them (Porter 1980). Chinese, Japanese and Korean have no
spaces that it could use, so their runs are cut here into single characters and pairs of neighbours.
It knows nothing of tables or ranking.
"""

import re
import unicodedata
from collections.abc import Iterable

from mmsdk.chunking import CJK

TOKENIZER = "porter unicode61 remove_diacritics 2"
"""What FTS5 does with the words given here."""
VERSION = 1
"""Counts changes of how words are cut; an index made by another version is rebuilt by ``repair``."""
_RUNS = re.compile(f"[{CJK}]+|[^\\W_{CJK}]+")
_STOP_WORDS = """
a about above after again against all also am among an and any are as at be because been before being below between both
but by can cannot could did do does doing don down during each few for from further had has have having he her here hers
herself him himself his how however i if in into is it its itself just may me might more most must my myself no nor not
now of off on once only or other ought our ours ourselves out over own per s same shall she should so some such t than
that the their theirs them themselves then there these they this those through to too toward towards under until up upon
very via was we were what when where whether which while who whom why will with within without would you your yours
yourself yourselves
"""
"""English function words, after the list of the Snowball project."""
_STOP = frozenset(_STOP_WORDS.split())
_STOP_CJK = frozenset(
    "与且个为么之也了于什从他以们会但何你個其几到及可向吗吧呀呢和哪啊問在地多她如它对将將對"
    "少就幾得從怎您想我或把於是會有果样樣此為用的着給给而能與被要該誰請该请谁还这這還那都问需"
)
"""Characters of how a thing is asked, as in ``words.json``."""
_MOST_WORDS = 512


def words(text: str, *, is_query: bool = False) -> list[str]:
    """Give the words of a text in order: Latin words, CJK characters and pairs.

    Queries are without stop words, and without CJK characters and pairs of how a thing is asked, unless nothing else is
    left.

    >>> words("Zelte: 两人帐篷 2024")
    ['zelte', '两', '两人', '人', '人帐', '帐', '帐篷', '篷', '2024']
    >>> words("What is the 帐篷?", is_query=True), words("怎么退货", is_query=True)
    (['帐', '帐篷', '篷'], ['么退', '退', '退货', '货'])
    """
    cut = [word for run in _RUNS.findall(_folded(text)) for word in _cut(run)]
    if not is_query:
        return cut
    kept = [word for word in cut if word not in _STOP and not _is_filler(word)]
    return list(dict.fromkeys(kept or cut))[:_MOST_WORDS]


def indexed(text: str) -> str:
    """Give a passage as FTS5 should see it."""
    return " ".join(words(text))


def expression(words: Iterable[str]) -> str:
    """Give an FTS5 expression of what has any of these words."""
    return " OR ".join(f'"{word}"' for word in words)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _cut(run: str) -> list[str]:
    if run.isascii() or not _is_cjk(run[0]):
        return [run]
    pieces = []
    for position, letter in enumerate(run):
        pieces.append(letter)
        if position + 1 < len(run):
            pieces.append(run[position : position + 2])
    return pieces


def _is_filler(word: str) -> bool:
    return _is_cjk(word[0]) and all(letter in _STOP_CJK for letter in word)


def _is_cjk(letter: str) -> bool:
    return _RUN_CJK.match(letter) is not None


_RUN_CJK = re.compile(f"[{CJK}]")
